"""Folders written whole or not at all, as `kwsbench.files` does for files."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kwsbench.errors import InputError

_NEW, _OLD = ".new.tmp", ".old.tmp"


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Gives an empty temporary folder beside `target`, which takes its place when the block succeeds.

    A block that fails or is interrupted leaves `target` as it was and nothing beside it. A process that is killed
    also leaves `target` as it was; its temporary folder is removed by the next run. Replacing a folder that exists
    takes two renames; when the process is killed between them, the next run puts the old folder back first.

    Raises:
        InputError: The folder cannot be made or written to, or the disk is full.
    """
    target = target.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.parent):
            _clean_up_after_killed_runs(target)
            folder = _beside(target, _NEW)
            folder.mkdir()
            lock = _lock(folder)
        try:
            yield folder
            with _locked(target.parent):
                _swap(folder, target)
        finally:
            _unlock(lock)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise InputError(
            f"cannot write the folder {target}: {error.strerror or error}; what was there before is unchanged"
        ) from error


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}{suffix}")


def _swap(new: Path, target: Path) -> None:
    if not target.exists():
        new.rename(target)
        return
    old = _beside(target, _OLD)
    try:
        target.rename(old)
        new.rename(target)
    finally:
        _put_back_or_remove(old, target)


def _put_back_or_remove(old: Path, target: Path) -> None:
    if not target.exists() and old.exists():
        old.rename(target)
    else:
        shutil.rmtree(old, ignore_errors=True)


def _clean_up_after_killed_runs(target: Path) -> None:
    for old in target.parent.glob(f".{target.name}.*{_OLD}"):
        _put_back_or_remove(old, target)
    for new in target.parent.glob(f".{target.name}.*{_NEW}"):
        lock = _lock(new)
        if lock is not None:
            shutil.rmtree(new, ignore_errors=True)
            _unlock(lock)


if sys.platform == "win32":

    def _lock(_folder: Path) -> int | None:
        return None

    def _unlock(lock: int | None) -> None:
        pass

    @contextmanager
    def _locked(_folder: Path) -> Iterator[None]:
        yield

else:
    import fcntl

    def _lock(folder: Path) -> int | None:
        """Marks a folder as in use until this process ends in whatever way; None where it is, or cannot be marked."""
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return None
        return handle

    def _unlock(lock: int | None) -> None:
        if lock is not None:
            os.close(lock)

    @contextmanager
    def _locked(folder: Path) -> Iterator[None]:
        """Waits until no other process is in such a block on the same folder."""
        handle = os.open(folder, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # a network folder without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
