"""Folders written whole or not at all, as `kwsbench.files` does for files."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kwsbench.errors import InputError
from kwsbench.locks import release, try_lock, waiting_for_turn

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
        with waiting_for_turn(target.parent):
            _clean_up_after_killed_runs(target)
            folder = _beside(target, _NEW)
            folder.mkdir()
            lock = try_lock(folder)
        try:
            yield folder
            with waiting_for_turn(target.parent):
                _swap(folder, target)
        finally:
            release(lock)
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
        lock = try_lock(new)
        if lock is not None:
            shutil.rmtree(new, ignore_errors=True)
            release(lock)
