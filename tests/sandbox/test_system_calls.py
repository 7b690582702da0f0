"""The filter of system calls, executed by a slow machine of its own for both kinds of processor."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwsbench.sandbox import system_calls
from kwsbench.sandbox.system_calls import ALLOW, ARM64, ENOSYS, EPERM, KILL, X86_64, Architecture

BOTH = pytest.mark.parametrize("here", [X86_64, ARM64], ids=["x86-64", "arm64"])
CLONE_THREAD, CLONE_NEWUSER, SIGCHLD = 0x1_0000, 0x1000_0000, 17
GLIBC_THREAD = 0x3D0F00

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "arm64": Path("/usr/include/asm-generic/unistd.h"),
}


def _verdict(here: Architecture, number: int, arguments: tuple[int, ...] = (), audit: int | None = None) -> int:
    """Executes the filter as the kernel does: see `Documentation/networking/filter.rst` of Linux."""
    padded = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("<iIQ6Q", number, here.audit if audit is None else audit, 0, *padded)
    program, place, value = system_calls.program(here), 0, 0
    while True:
        code, if_true, if_false, operand = program[place]
        place += 1
        if code == system_calls.RETURN:
            return operand
        if code == system_calls.LOAD_WORD:
            value = struct.unpack_from("<I", data, operand)[0]
        elif code == system_calls.AND:
            value &= operand
        else:
            tests = {0x15: value == operand, 0x25: value > operand, 0x35: value >= operand, 0x45: bool(value & operand)}
            place += if_true if tests[code] else if_false


@BOTH
def test_what_is_denied_is_denied_and_the_rest_allowed(here: Architecture) -> None:
    """Every number of the table gets its verdict, and with harmless arguments no other number is touched."""
    special = {here.clone: EPERM, here.clone3: ENOSYS}
    for number in range(460):
        expected = EPERM if number in here.denied else ENOSYS if number > 450 else ALLOW
        assert _verdict(here, number) == special.get(number, expected), number


@BOTH
def test_threads_are_told_from_processes(here: Architecture) -> None:
    """`clone` is allowed with the flags of a thread, and with no others."""
    assert _verdict(here, here.clone, (GLIBC_THREAD,)) == ALLOW
    for flags in (SIGCHLD, CLONE_NEWUSER | SIGCHLD, 0, 0x100 | SIGCHLD, CLONE_THREAD << 32):
        assert _verdict(here, here.clone, (flags,)) == EPERM


@BOTH
@pytest.mark.parametrize(
    ("flags", "allowed"),
    [
        (0x22, True),
        (0x02, True),
        (0x01, True),
        (0x20022, True),
        (0x21, False),
        (0x23, False),
        (0x122, False),
        (0x101, False),
    ],
)
def test_memory_is_mapped_only_where_it_is_counted(here: Architecture, flags: int, allowed: bool) -> None:  # noqa: FBT001
    """Private memory and files are mapped; shared anonymous and growing-down memory is not."""
    assert _verdict(here, here.mmap, (0, 4096, 3, flags)) == (ALLOW if allowed else EPERM)


@BOTH
@given(audit=st.integers(0, 2**32 - 1), number=st.integers(-(2**31), 2**31 - 1))
def test_another_processors_format_kills(here: Architecture, audit: int, number: int) -> None:
    """The 32-bit format, and any other but this processor's own, is no way around the numbers."""
    if audit != here.audit:
        assert _verdict(here, number, audit=audit) == KILL


@given(st.integers(0x4000_0000, 0x4000_0000 + 600))
def test_the_x32_format_kills(number: int) -> None:
    """The x32 format has the same processor as x86-64, and a bit in the number."""
    assert _verdict(X86_64, number) == KILL


@pytest.mark.parametrize("column", [0, 1], ids=HEADERS)
def test_the_numbers_are_the_kernels(column: int) -> None:
    """Each number stands for its name in the headers of Linux, where they are installed."""
    header = list(HEADERS.values())[column]
    if not header.is_file():
        pytest.skip(f"the kernel's headers are not installed: {header}")
    text = header.read_text(encoding="utf-8")
    numbers = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    here = (X86_64, ARM64)[column]
    expected = {name: pair[column] for name, pair in system_calls._DENIED.items()}
    expected |= {"clone": here.clone, "clone3": here.clone3, "mmap": here.mmap, "seccomp": here.seccomp}
    assert expected == {name: numbers.get(name) for name in expected}
