"""What the child may use, put on in the child itself before it touches anything of a stranger.

Memory is limited by `RLIMIT_DATA`, which counts what a program writes to (heap and private mappings) and not the code
of libraries: PyTorch with CUDA maps gigabytes of those. Memory that it does not count (shared and growing-down
mappings, memfd, System V) is closed by `system_calls`. `RLIMIT_AS` stands behind it with room for libraries, which
bounds the kernel's own page tables too, and is all there is on a processor without a filter.

Processes are kept out by `system_calls`, because `RLIMIT_NPROC` does not bind root; threads are let through.
"""

from __future__ import annotations

import contextlib
import os
import resource
import threading
from dataclasses import dataclass

from kwsbench.errors import RefusedError
from kwsbench.sandbox import system_calls

NOBODY = 65_534

_LIBRARIES_BYTES = 16 << 30
_STACK_BYTES = 8 << 20
_OPEN_FILES = 256
_THREADS = 512


@dataclass(frozen=True)
class Limits:
    """The most that one call may use.

    Attributes:
        memory_bytes: Memory that the child writes to, Python and libraries included.
        cpu_s: Processor seconds, all threads together.
        wall_s: Seconds from start to answer.
        file_bytes: Bytes in its private /tmp, which are kept in memory.
        reply_bytes: Bytes of the answer.
    """

    memory_bytes: int = 2 << 30
    cpu_s: int = 60
    wall_s: float = 120
    file_bytes: int = 64 << 20
    reply_bytes: int = 256 << 20


class _State:
    locked = False


def inside() -> bool:
    """Returns whether this process is the sandbox's child, and locked."""
    return _State.locked


def require_inside() -> None:
    """Keeps a loader that a model could abuse from being called anywhere else.

    Raises:
        RefusedError: This process is not the sandbox's child.
    """
    if not inside():
        raise RefusedError("this model can run code when it is loaded, and is loaded in the sandbox only")


def lock(limits: Limits) -> None:
    """Gives up, for good, all that the child does not need. Only the worker calls it.

    Raises:
        RefusedError: The process is not confined, or the kernel does not take the filter.
    """
    if not _confined():
        raise RefusedError("the sandbox's child is not confined: is `bwrap` on the PATH really bubblewrap?")
    _limit_resources(limits)
    _limit_threads()
    system_calls.install()
    _State.locked = True


def _confined() -> bool:
    read_only = bool(os.statvfs("/").f_flag & os.ST_RDONLY)
    return read_only and os.getuid() == NOBODY and not os.path.lexists("/proc/self")


def _limit_resources(limits: Limits) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = limits.cpu_s + round(used.ru_utime + used.ru_stime)
    _lower(resource.RLIMIT_CPU, cpu_s, cpu_s + 1)
    _lower(resource.RLIMIT_DATA, limits.memory_bytes)
    _lower(resource.RLIMIT_AS, limits.memory_bytes + _LIBRARIES_BYTES)
    _lower(resource.RLIMIT_STACK, _STACK_BYTES)
    _lower(resource.RLIMIT_FSIZE, limits.file_bytes)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _lower(resource.RLIMIT_MSGQUEUE, 0)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(kind: int, soft: int, hard: int | None = None) -> None:
    _, most = resource.getrlimit(kind)
    within = [soft, soft if hard is None else hard]
    if most != resource.RLIM_INFINITY:
        within = [min(value, most) for value in within]
    resource.setrlimit(kind, (within[0], within[1]))


def _limit_threads() -> None:
    """Best effort: a kernel before 5.14 counts everything that the user runs, and then there is no limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NPROC)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NPROC, (_THREADS, most))
        kept = _THREADS if _can_start_thread() else most
        resource.setrlimit(resource.RLIMIT_NPROC, (kept, kept))


def _can_start_thread() -> bool:
    try:
        thread = threading.Thread(target=int)
        thread.start()
    except RuntimeError:
        return False
    thread.join()
    return True
