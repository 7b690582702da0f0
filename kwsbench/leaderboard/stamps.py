"""Knows without reading it whether a folder is as it was: by the sizes and times of its files, as git's index does.

Reading a thousand entries to hash them takes seconds; looking at their files takes a tenth of one. The time of the last
change of a file's metadata (ctime), which no program can set, is among what is compared. A folder that was changed less
than `_SETTLED_S` before it was hashed is hashed again, because a further change could have got the same times.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from kwsbench.errors import InputError

_SETTLED_S = 2.0
_NS = 10**9
_MOST_FILES = 1_000


class Stamps:
    """Hashes of folders, each with what its files looked like when it was hashed.

    Args:
        file: Where they are kept; a missing or damaged file is an empty one.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, list[str]] = _read(file)
        self._seen: dict[str, list[str]] = {}

    def content_of(self, folder: Path) -> str | None:
        """Returns the hash of a folder that is as it was when it was hashed; None where it has to be read."""
        name = str(folder.absolute())
        known = self._known.get(name)
        if known is None or known[0] != _look(folder):
            return None
        self._seen[name] = known
        return known[1]

    def note(self, folder: Path, content_sha256: str, look: str | None) -> None:
        """Keeps the hash of a folder, and what `look` gave before it was read."""
        if look is not None and content_sha256:
            self._seen[str(folder.absolute())] = [look, content_sha256]

    def forget(self) -> None:
        """Forgets all hashes."""
        self._seen.clear()

    def save(self) -> None:
        """Writes down the folders that were seen, and forgets the others."""
        if self._seen == self._known:
            return
        temporary = self._file.with_name(f"{self._file.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(self._seen), encoding="utf-8")
        temporary.replace(self._file)


def look(folder: Path) -> str | None:
    """Returns a hash of the names, sizes and times of all files below a folder; None where they cannot be relied on."""
    now_ns = time.time_ns()
    found = _look(folder)
    newest = max((changed for *_, changed in _files(folder)), default=now_ns) if found else now_ns
    return found if newest < now_ns - _SETTLED_S * _NS else None


def _look(folder: Path) -> str | None:
    if sys.platform == "win32":  # where ctime is the time of creation
        return None
    try:
        return hashlib.sha256(repr(sorted(_files(folder))).encode()).hexdigest()
    except (OSError, InputError):
        return None


def _files(folder: Path) -> Iterator[tuple[str, int, int, int, int, int]]:
    """Path, kind, size, place, and the times of the last change of content and of anything, in nanoseconds."""
    waiting, count = [str(folder)], 0
    while waiting:
        with os.scandir(waiting.pop()) as listed:
            for file in listed:
                count += 1
                if count > _MOST_FILES:
                    raise InputError(f"{folder} holds too many files")
                info = file.stat(follow_symlinks=False)
                yield file.path, info.st_mode, info.st_size, info.st_ino, info.st_mtime_ns, info.st_ctime_ns
                if file.is_dir(follow_symlinks=False):
                    waiting.append(file.path)


def _read(file: Path) -> dict[str, list[str]]:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    fits = isinstance(known, dict) and all(isinstance(pair, list) and len(pair) == 2 for pair in known.values())
    return known if fits else {}
