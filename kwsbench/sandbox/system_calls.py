"""A filter of system calls (seccomp): what no model needs, answered with "not permitted" by the kernel.

Denied are new processes and programs, the network, debugging and reading other processes, mounts and namespaces, the
kernel's keyrings, tracing and modules, memory that no resource limit counts, and system calls younger than the table.
Threads are let through. A system call in the format of another processor kills the process.

On a processor that is not in the table there is no filter, and namespaces and resource limits stand alone.

Sources: Linux, `include/uapi/linux/{seccomp,filter,bpf_common,audit}.h`, `Documentation/userspace-api/seccomp_filter.rst`,
and the tables of system calls of x86-64 (`asm/unistd_64.h`) and arm64 (`asm-generic/unistd.h`).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from kwsbench.errors import RefusedError

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand: one `struct sock_filter`."""

LOAD_WORD = 0x20
AND = 0x54
JUMP_EQUAL = 0x15
JUMP_GREATER = 0x25
JUMP_AT_LEAST = 0x35
JUMP_ANY_BIT = 0x45
RETURN = 0x06

ALLOW = 0x7FFF_0000
KILL = 0x8000_0000
EPERM = 0x0005_0000 | errno.EPERM
ENOSYS = 0x0005_0000 | errno.ENOSYS

_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_YOUNGEST = 450
_X32_BIT = 0x4000_0000

_CLONE_THREAD = 0x0001_0000
_MAP_SHARED, _MAP_ANONYMOUS, _MAP_GROWSDOWN = 0x01, 0x20, 0x0100

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_TSYNC = 1


@dataclass(frozen=True)
class Architecture:
    """The numbers of system calls on one kind of processor.

    Attributes:
        audit: What the kernel calls it (`AUDIT_ARCH_*`).
        clone: Number of `clone`, which makes threads and processes.
        clone3: Number of its successor, whose flags a filter cannot see.
        mmap: Number of `mmap`.
        seccomp: Number of `seccomp`.
        denied: Numbers of what no model needs.
    """

    audit: int
    clone: int
    clone3: int
    mmap: int
    seccomp: int
    denied: tuple[int, ...]


_DENIED = {
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "recvfrom": (45, 207),
    "recvmsg": (47, 212),
    "recvmmsg": (299, 243),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_setup": (206, 0),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "ioperm": (173, None),
    "iopl": (172, None),
    "modify_ldt": (154, None),
    "personality": (135, 92),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "fanotify_init": (300, 262),
    "syslog": (103, 116),
    "vmsplice": (278, 75),
}
"""System call: its number on x86-64, and on arm64; None where there is no such call."""

X86_64 = Architecture(
    audit=0xC000_003E,
    clone=56,
    clone3=435,
    mmap=9,
    seccomp=317,
    denied=tuple(x86_64 for x86_64, _ in _DENIED.values()),
)
ARM64 = Architecture(
    audit=0xC000_00B7,
    clone=220,
    clone3=435,
    mmap=222,
    seccomp=277,
    denied=tuple(arm64 for _, arm64 in _DENIED.values() if arm64 is not None),
)


def program(here: Architecture) -> list[Instruction]:
    """Returns the filter for one kind of processor, in the order in which the kernel reads it."""
    return [
        (LOAD_WORD, 0, 0, _ARCHITECTURE_AT),
        (JUMP_EQUAL, 1, 0, here.audit),
        (RETURN, 0, 0, KILL),
        (LOAD_WORD, 0, 0, _NUMBER_AT),
        *_when(JUMP_AT_LEAST, _X32_BIT, [(RETURN, 0, 0, KILL)]),
        *_when(JUMP_GREATER, _YOUNGEST, [(RETURN, 0, 0, ENOSYS)]),
        *_when(JUMP_EQUAL, here.clone3, [(RETURN, 0, 0, ENOSYS)]),
        *_when(JUMP_EQUAL, here.clone, _only_threads()),
        *_when(JUMP_EQUAL, here.mmap, _only_counted_memory()),
        *(instruction for number in here.denied for instruction in _when(JUMP_EQUAL, number, [(RETURN, 0, 0, EPERM)])),
        (RETURN, 0, 0, ALLOW),
    ]


def _when(test: int, operand: int, then: Sequence[Instruction]) -> list[Instruction]:
    return [(test, 0, len(then), operand), *then]


def _only_threads() -> list[Instruction]:
    return [
        (LOAD_WORD, 0, 0, _argument(0)),
        *_when(JUMP_ANY_BIT, _CLONE_THREAD, [(RETURN, 0, 0, ALLOW)]),
        (RETURN, 0, 0, EPERM),
    ]


def _only_counted_memory() -> list[Instruction]:
    shared_memory = _MAP_SHARED | _MAP_ANONYMOUS
    return [
        (LOAD_WORD, 0, 0, _argument(3)),
        *_when(JUMP_ANY_BIT, _MAP_GROWSDOWN, [(RETURN, 0, 0, EPERM)]),
        (AND, 0, 0, shared_memory),
        *_when(JUMP_EQUAL, shared_memory, [(RETURN, 0, 0, EPERM)]),
        (RETURN, 0, 0, ALLOW),
    ]


def _argument(index: int) -> int:
    # The low half of a 64-bit argument: both processors are little-endian.
    return _ARGUMENTS_AT + 8 * index


def install() -> None:
    """Puts the filter on every thread of this process, for good; does nothing on a processor without a table.

    Raises:
        RefusedError: The kernel does not take it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))):
        raise RefusedError(f"the sandbox cannot give up privileges: {os.strerror(ctypes.get_errno())}")
    here = {"x86_64": X86_64, "aarch64": ARM64}.get(platform.machine())
    if here is not None:
        _put_on(libc, here)


class _SockFprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def _put_on(libc: ctypes.CDLL, here: Architecture) -> None:
    instructions = program(here)
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    argument = _SockFprog(len(instructions), code)
    numbers = map(ctypes.c_long, (here.seccomp, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC))
    if libc.syscall(*numbers, ctypes.byref(argument)):
        raise RefusedError(f"the sandbox cannot filter system calls: {os.strerror(ctypes.get_errno())}")
