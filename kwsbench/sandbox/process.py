"""Runs the child: gives it its input, reads what it answers and prints up to a limit, and ends it in time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from kwsbench.errors import InputError, reason_of
from kwsbench.sandbox.wire import write

_PRINTED_BYTES = 64 << 10
_READ_BYTES = 1 << 20
_LOWEST_FD = 10
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


class Cut(StrEnum):
    """Why the parent ended the child."""

    TIME = "time"
    ANSWER = "answer"


@dataclass(frozen=True)
class Ending:
    """What is left of a child.

    Attributes:
        answer: What it wrote as its answer.
        printed: The last 64 KiB of what it printed.
        exit_code: Its exit code, 128 and the signal's number where a signal ended it.
        cut: Why the parent ended it; None where it ended by itself.
    """

    answer: bytearray
    printed: str
    exit_code: int
    cut: Cut | None


@contextmanager
def bytes_in_memory(name: str, pieces: Iterable[bytes | memoryview]) -> Iterator[int]:
    """Gives a file descriptor of a file without a name that holds `pieces`, at its start, and that nobody can change.

    Raises:
        InputError: There is no room for it (`ulimit -f`).
    """
    first = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        # Away from 0, 1 and 2, which are free here where the parent has closed them, and taken in the child.
        descriptor = fcntl.fcntl(first, fcntl.F_DUPFD_CLOEXEC, _LOWEST_FD)
    finally:
        os.close(first)
    try:
        _fill(descriptor, pieces)
        os.lseek(descriptor, 0, os.SEEK_SET)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        yield descriptor
    finally:
        os.close(descriptor)


def _fill(descriptor: int, pieces: Iterable[bytes | memoryview]) -> None:
    try:
        write(descriptor, pieces)
    except OSError as error:
        reason = reason_of(error)
        raise InputError(f"cannot write into memory what the sandbox is to read: {reason}") from error


def run(command: Sequence[str], *, stdin: int, inherit: Sequence[int], wall_s: float, answer_bytes: int) -> Ending:
    """Runs `command` to its end, and not beyond `wall_s` or `answer_bytes`; whatever happens, it does not outlive this.

    Args:
        command: What to run; its end must end everything that it started.
        stdin: Descriptor of its input.
        inherit: Further descriptors that it gets under the same numbers.
        wall_s: Seconds that it may take.
        answer_bytes: Most bytes that it may answer.
    """
    deadline = time.monotonic() + wall_s
    process = subprocess.Popen(  # noqa: S603
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        pass_fds=inherit,
        env={},
        cwd="/",
        start_new_session=True,
    )
    try:
        return _follow(process, deadline, answer_bytes)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _follow(process: subprocess.Popen[bytes], deadline: float, answer_bytes: int) -> Ending:
    answer, printed = bytearray(), bytearray()
    cut = _read_both(process, answer, printed, deadline, answer_bytes)
    if cut is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        cut = Cut.TIME if process.poll() is None else None
    code = process.returncode or 0
    return Ending(answer, printed.decode(errors="replace"), 128 - code if code < 0 else code, cut)


def _read_both(
    process: subprocess.Popen[bytes], answer: bytearray, printed: bytearray, deadline: float, answer_bytes: int
) -> Cut | None:
    with selectors.DefaultSelector() as selector:
        for pipe, target in ((process.stdout, answer), (process.stderr, printed)):
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ, target)
        while selector.get_map():
            left = deadline - time.monotonic()
            ready = selector.select(left) if left > 0 else []
            if not ready:
                return Cut.TIME
            for key, _ in ready:
                _take(selector, key)
            del printed[:-_PRINTED_BYTES]
            if len(answer) > answer_bytes:
                return Cut.ANSWER
    return None


def _take(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    piece = os.read(key.fd, _READ_BYTES)
    if piece:
        key.data.extend(piece)
    else:
        selector.unregister(key.fileobj)
