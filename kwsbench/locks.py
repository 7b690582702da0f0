"""Folders that one process at a time works in; a lock ends with its process, in whatever way that ends.

Windows has no such locks on folders, and some network file systems have none at all: there nobody is kept out.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kwsbench.errors import InputError

if sys.platform == "win32":

    def try_lock(_folder: Path) -> int | None:
        """Locks nothing."""
        return None

    def release(_lock: int | None) -> None:
        """Has nothing to release."""

    @contextmanager
    def waiting_for_turn(_folder: Path) -> Iterator[bool]:
        """Waits for nobody, and says so."""
        yield False

    @contextmanager
    def refusing_others(_folder: Path, _busy: str) -> Iterator[None]:
        """Refuses nobody."""
        yield

else:
    import fcntl

    def try_lock(folder: Path) -> int | None:
        """Marks a folder as in use until this process ends in whatever way; None where it is, or cannot be marked."""
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return None
        return handle

    def release(lock: int | None) -> None:
        """Ends what `try_lock` began."""
        if lock is not None:
            os.close(lock)

    @contextmanager
    def waiting_for_turn(folder: Path) -> Iterator[bool]:
        """Waits until no other process is in such a block on the same folder; says whether it could wait."""
        handle = os.open(folder, os.O_RDONLY)
        try:
            yield _waited(handle)
        finally:
            os.close(handle)

    @contextmanager
    def refusing_others(folder: Path, busy: str) -> Iterator[None]:
        """Keeps other processes out of such blocks on the same folder; where one is in, raises InputError `busy`."""
        handle = os.open(folder, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):
                _lock_or_refuse(handle, busy)
            yield
        finally:
            os.close(handle)

    def _waited(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            return False
        return True

    def _lock_or_refuse(handle: int, busy: str) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(busy) from error
