"""Tasks of models that mean harm. Each is run in the sandbox only."""

# ruff: noqa: ARG001 - every task takes the same three arguments
from __future__ import annotations

import contextlib
import ctypes
import itertools
import mmap
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kwsbench.errors import InputError, Problem
from kwsbench.sandbox import wire
from kwsbench.sandbox.wire import Arrays

Request = dict[str, Any]
Files = Mapping[str, Path]
Answer = tuple[dict[str, Any], Arrays]

MAP_PRIVATE, MAP_ANONYMOUS, MAP_GROWSDOWN = 0x02, 0x20, 0x0100


def errno_of(action: Callable[[], object]) -> int:
    """Returns the number of the error that `action` ends in, or 0."""
    try:
        action()
    except OSError as error:
        return error.errno
    return 0


def system_calls(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Tries what no model needs, and returns the number of the error each time."""
    libc = ctypes.CDLL(None, use_errno=True)

    def plain(name: str, *arguments: int) -> int:
        ctypes.set_errno(0)
        result = getattr(libc, name)(*map(ctypes.c_long, arguments))
        return ctypes.get_errno() if result == -1 else 0

    tries = {
        "fork": lambda: errno_of(os.fork),
        "execve": lambda: errno_of(lambda: os.execv(sys.executable, [sys.executable])),  # noqa: S606
        "posix_spawn": lambda: errno_of(lambda: os.posix_spawn(sys.executable, [sys.executable], {})),
        "socket": lambda: errno_of(socket.socket),
        "unix_socket": lambda: errno_of(lambda: socket.socket(socket.AF_UNIX)),
        "socketpair": lambda: errno_of(socket.socketpair),
        "memfd": lambda: errno_of(lambda: os.memfd_create("x")),
        "ptrace": lambda: plain("ptrace", 0, 0, 0, 0),
        "unshare": lambda: plain("unshare", 0x1000_0000),
        "mount": lambda: plain("mount", 0, 0, 0, 0, 0),
        "shmget": lambda: plain("shmget", 0, 4096, 0o1600),
        "youngest": lambda: plain("syscall", 451, 0, 0, 0, 0),
        "clone3": lambda: plain("syscall", 435, 0, 0),
    }
    return {name: attempt() for name, attempt in tries.items()}, {}


def foreign_system_call(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Makes a system call in the x32 format of x86-64."""
    ctypes.CDLL(None).syscall(ctypes.c_long(0x4000_0000 + 39))
    return {}, {}


def raise_limits(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Tries to get its limits back, and returns what it has then."""
    import resource

    kinds = ("DATA", "AS", "CPU", "FSIZE", "STACK", "NOFILE", "CORE", "MSGQUEUE")
    numbers = {name: getattr(resource, f"RLIMIT_{name}") for name in kinds}
    for kind in numbers.values():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (1 << 60, 1 << 60))
    return {name: resource.getrlimit(kind)[1] for name, kind in numbers.items()}, {}


def eat_memory(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Grows until it is stopped."""
    kept = []
    while True:
        kept.append(np.ones(1 << 20))


def map_memory(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Maps memory of which `RLIMIT_DATA` counts nothing, and returns the errors."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p

    def growing_down() -> int:
        flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN
        place = libc.mmap(None, ctypes.c_size_t(1 << 20), 3, flags, -1, ctypes.c_long(0))
        return ctypes.get_errno() if place == ctypes.c_void_p(-1).value else 0

    shared = errno_of(lambda: mmap.mmap(-1, 1 << 20, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS))
    return {"shared": shared, "growing down": growing_down()}, {}


def reserve_addresses(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Maps a library over and over, which costs the kernel page tables; returns how many bytes it got."""
    size = 1 << 30
    path = Path("/tmp/sparse")  # noqa: S108
    with path.open("wb") as file, contextlib.suppress(OSError):
        file.truncate(request["file_bytes"])
    kept = []
    with path.open("rb") as file, contextlib.suppress(OSError):
        for _ in range(64):
            libc = ctypes.CDLL(None)
            libc.mmap.restype = ctypes.c_void_p
            place = libc.mmap(None, ctypes.c_size_t(size), 1, 1, file.fileno(), ctypes.c_long(0))
            if place == ctypes.c_void_p(-1).value:
                break
            kept.append(place)
    return {"bytes": len(kept) * size}, {}


def loop(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Never ends, and is busy."""
    for number in (signal.SIGXCPU, signal.SIGTERM) if request.get("ignore") else ():
        signal.signal(number, signal.SIG_IGN)
    while True:
        pass


def sleep(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Never ends, and does nothing."""
    while True:
        time.sleep(1000)


def sleep_in_silence(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Closes everything, so that it looks as if it had ended."""
    os.closerange(0, 256)
    while True:
        time.sleep(1000)


def print_for_ever(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Fills what it can print to."""
    while True:
        os.write(2, b"all work and no play\n" * 1000)


def giant_answer(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Answers more than it may."""
    return {}, {"zeros": np.zeros(1 << 20)}


def giant_text(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Answers more JSON than a frame may have."""
    return {"text": "x" * (wire.MAX_JSON_BYTES + 1)}, {}


def forge(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Writes an answer of its own to everything that can be written to, and then answers 0."""
    forged = b"".join(map(bytes, wire.encode({"outcome": "returned", "record": {"params": 1}}, {})))
    content = request["before"].encode() + forged
    for descriptor in (0, *range(3, 256)):
        with contextlib.suppress(OSError):
            os.write(descriptor, content)
    for process, descriptor in itertools.product(("self", "1", "2", "3"), range(20)):
        with contextlib.suppress(OSError):
            Path(f"/proc/{process}/fd/{descriptor}").write_bytes(content)
    return {"params": 0}, {}


def add_to_answer(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Sees to it that something follows its answer."""
    end = os._exit

    def add(code: int) -> None:
        os.write(3, b"more")
        end(code)

    os._exit = add
    return {}, {}


def paths_of_processes(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Returns what of /proc is there."""
    return {"proc": sorted(str(path) for path in Path("/proc").rglob("*")), "self": os.path.lexists("/proc/self")}, {}


def crash(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Ends the child in the way that it is asked for."""
    os.write(2, b"the last words\n")
    ways = {
        "abort": os.abort,
        "segfault": lambda: ctypes.string_at(0),
        "exit 0": lambda: os._exit(0),
        "exit 3": lambda: os._exit(3),
        "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    }
    ways[request["how"]]()


class Mute(Exception):  # noqa: N818
    """Fails to say what it is."""

    def __str__(self) -> str:
        """Fails."""
        raise ValueError


class Loud(Exception):  # noqa: N818
    """Says too much."""


def fail(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Raises what it is asked for."""
    errors = {
        "exit": SystemExit(0),
        "interrupt": KeyboardInterrupt(),
        "mute": Mute(),
        "loud": Loud("first words " + "x" * 100_000 + " last words"),
        "coloured": ValueError("\x1b[31mred\x1b[0m\r\nover\x07"),
        "no memory": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        "said without end": InputError(
            "first words " + "x" * 100_000 + " last words", [Problem("here", "y" * 100_000)]
        ),
        "said in lines": InputError("one\ntwo\r\x1b[31mthree", [Problem("a\nb", "c", "d\x1b[2J", "e")]),
        "said no memory": InputError("net.py:Net() failed: RuntimeError: DefaultCPUAllocator: can't allocate memory"),
    }
    raise errors[request["how"]]


def lie_about_problems(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Gets an error out whose problem is none."""
    number: Any = 7
    raise InputError("no", [Problem(where=number, found="x")])


def wrong_answer(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Answers what cannot cross the wall."""
    answers = {
        "object": ({}, {"x": np.array([object()])}),
        "nan": ({"x": float("nan")}, {}),
        "nothing": None,
        "text": ("text", {}),
        "set": ({"x": {1}}, {}),
    }
    return answers[request["what"]]


def walk(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Returns every file that can be seen outside the folders that it is told to leave out."""
    seen = []
    for root, folders, names in os.walk("/"):
        folders[:] = [name for name in folders if os.path.join(root, name) not in request["leave_out"]]  # noqa: PTH118
        seen += [os.path.join(root, name) for name in names]  # noqa: PTH118
    return {"files": [name for name in seen if name not in request["leave_out"]]}, {}


def read(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Returns the number of the error of reading each path."""
    return {path: errno_of(lambda path=path: os.close(os.open(path, os.O_RDONLY))) for path in request["paths"]}, {}


def write(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Tries to get a writable hold of what is there, and to make what is not; returns the paths that let it.

    It changes nothing that it did not make, so that a hole in the walls costs nobody a file.
    """
    there = (*request["there"], *map(str, files.values()))
    opened = [path for path in there if not _error_of_opening(path, os.O_RDWR)]
    made = [path for path in request["new"] if not _error_of_opening(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)]
    for path in made:
        Path(path).unlink()
    return {"done": opened + made}, {}


def _error_of_opening(path: str, flags: int) -> int:
    return errno_of(lambda: os.close(os.open(path, flags)))


def change(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Tries to change a folder that the caller made for it in every way, and returns the numbers of the errors."""
    folder = Path(request["folder"])
    tries: tuple[Callable[[], object], ...] = (
        lambda: (folder / "old.txt").write_text("new"),
        lambda: (folder / "old.txt").chmod(0o600),
        lambda: (folder / "old.txt").rename(folder / "other.txt"),
        (folder / "old.txt").unlink,
        (folder / "new").mkdir,
        lambda: (folder / "link").symlink_to("old.txt"),
    )
    return {"errors": [errno_of(action) for action in tries]}, {}


def fill_tmp(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Writes files to /tmp until it is full, and returns how many bytes that were."""
    before = sorted(os.listdir("/tmp"))  # noqa: PTH208, S108
    total = 0
    with contextlib.suppress(OSError):
        for number in range(100):
            with open(f"/tmp/fill-{number}", "wb", buffering=0) as file:  # noqa: PTH123, S108
                while written := file.write(bytes(1 << 16)):
                    total += written
                    if file.tell() >= 1 << 20:
                        break
    for path in Path("/tmp").glob("fill-*"):  # noqa: S108
        path.unlink()
    return {"before": before, "bytes": total}, {}


def grow_file(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Returns the number of the error of making one file larger than it may be."""
    with open("/tmp/sparse", "wb") as file:  # noqa: PTH123, S108
        return {"error": errno_of(lambda: file.truncate(request["bytes"]))}, {}


def descriptors(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Returns the numbers of all open files."""
    return {"open": [number for number in range(256) if not errno_of(lambda number=number: os.fstat(number))]}, {}


def leave_mark(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Writes a file, to show that it ran."""
    Path(request["path"]).write_text("ran", encoding="utf-8")
    return {}, {}
