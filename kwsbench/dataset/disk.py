"""Room on the disk, and one process at a time: what downloading and unpacking share."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kwsbench.errors import InputError, Problem

_FULL = {errno.ENOSPC, errno.EDQUOT}


def gigabytes(num_bytes: int) -> str:
    """Returns a size as people read it: `2.43 GB` (10^9 bytes)."""
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 10_000_000 else f"{num_bytes:,} bytes"


def require_free_space(folder: Path, num_bytes: int, purpose: str) -> None:
    """Checks that the disk that holds `folder` has room for `num_bytes` more.

    Raises:
        InputError: It has not; the message begins with `purpose` and says how much is needed and how much is free.
    """
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        remedy = "free some space, or use another disk"
        problem = Problem(str(folder.parent), f"{gigabytes(free)} free", gigabytes(num_bytes), remedy)
        raise InputError(f"{purpose}: the disk has too little room", [problem])


def cannot_write(purpose: str, error: OSError, kept: str) -> InputError:
    """Returns the error to raise when writing failed: what was to be done, why it failed, what became of the rest."""
    if error.errno in _FULL:
        return InputError(f"{purpose}: the disk is full; {kept}; free some space and run it again")
    place = f" ({error.filename})" if error.filename is not None else ""
    return InputError(f"{purpose}: {error.strerror or error}{place}; {kept}")


@contextmanager
def sole_owner(path: Path, busy: str) -> Iterator[int]:
    """Opens `path` for reading and writing, makes it where it is missing, and keeps other processes out of it.

    The lock ends with the block or with the process, in whatever way.

    Yields:
        The open file descriptor, at position 0.

    Raises:
        InputError: Another process has it; `busy` is the message.
        OSError: It cannot be opened.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(handle, busy)
        if _was_replaced(handle, path):
            raise InputError(busy)
        yield handle
    finally:
        os.close(handle)


def _was_replaced(handle: int, path: Path) -> bool:
    # The former owner may have renamed the file away between our opening and our locking it.
    try:
        return not os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return True


def _lock(handle: int, busy: str) -> None:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(busy) from error
    except OSError as error:
        # Some network file systems have no locks; there, two runs at once are the user's to avoid.
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
            raise
