"""What an entry's own files decide, kept between builds: a rebuild makes only what is new."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kwsbench import __version__
from kwsbench.leaderboard.board import Entry
from kwsbench.leaderboard.site.entry_page import BODY, ROWS, body_files
from kwsbench.leaderboard.site.rendering import Templates

_UNFINISHED = ".tmp"
_READ_ONLY = 0o444
_OURS = re.compile(r"[0-9a-f]{64}|[0-9a-f]{16}\.tmp")


_PARTS = (BODY, ROWS)


@dataclass(frozen=True)
class Parts:
    """What goes into pages.

    Attributes:
        body: The part of the entry's own page.
        rows: Its row on each page of curves; empty where it has none.
    """

    body: str
    rows: tuple[str, ...]

    @classmethod
    def of(cls, body: str, rows: str) -> Parts:
        """Returns the parts as `body_files` makes them."""
        return cls(body, tuple(rows.split("\n")))


class Bodies:
    """Files of entries, made or taken from an earlier build.

    Args:
        folder: Where they are kept; None keeps none.
        templates: The templates that they are made with.

    Attributes:
        templates: The same.
        num_reused: How many entries were taken from an earlier build.
    """

    def __init__(self, folder: Path | None, templates: Templates) -> None:
        self._folder = folder
        self._made_by = f"{__version__} {templates.sha256()} {_code_sha256()}"
        self._used: set[str] = set()
        self.templates = templates
        self.num_reused = 0

    def put(self, entry: Entry, target: Path) -> Parts:
        """Puts the downloads and pictures of an entry into a folder, and returns what goes into pages."""
        if self._folder is None:
            files = body_files(entry, self.templates)
            _write(files, target)
            return _parts_of(files)
        key = self._key(entry)
        self._used.add(key)
        kept = self._folder / key
        try:
            parts = Parts.of(*((kept / name).read_text(encoding="utf-8") for name in _PARTS))
            self.num_reused += 1
        except OSError:
            parts = self._keep(body_files(entry, self.templates), kept)
        _link(kept, target)
        return parts

    def _keep(self, files: Mapping[str, bytes], kept: Path) -> Parts:
        """Writes files whole: a folder has its name only when everything is in it."""
        unfinished = kept.with_name(f"{secrets.token_hex(8)}{_UNFINISHED}")
        _write(files, unfinished)
        for name in _PARTS:
            (unfinished / name).write_bytes(files[name])
        for path in unfinished.rglob("*.*"):
            path.chmod(_READ_ONLY)  # the site shares them
        shutil.rmtree(kept, ignore_errors=True)
        unfinished.rename(kept)
        return _parts_of(files)

    def forget_unused(self) -> None:
        """Removes what this build did not need, and what a build that was killed left behind."""
        if self._folder is None or not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            if path.name not in self._used and _OURS.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)

    def _key(self, entry: Entry) -> str:
        """A hash of everything that `body_files` reads; the files of the entry go by their own hashes."""
        score = entry.score
        figures = (score.labels, score.num_keywords, score.num_clips, score.num_speakers, score.summary, score.keywords)
        costs = (entry.num_parameters, entry.macs, entry.weight_bytes, entry.worst_speakers)
        stated = (self._made_by, entry.submission, entry.verification, figures, costs)
        total = hashlib.sha256(repr(stated).encode("utf-8", "replace"))
        total.update(score.confusion.tobytes())
        for keyword, curve in score.det.items():
            total.update(keyword.encode())
            for points in curve:
                total.update(points.tobytes())
        return total.hexdigest()


def _code_sha256() -> str:
    total = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()


def _parts_of(files: Mapping[str, bytes]) -> Parts:
    return Parts.of(*(files[name].decode() for name in _PARTS))


def _write(files: Mapping[str, bytes], target: Path) -> None:
    for name, content in files.items():
        if name not in _PARTS:
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _link(kept: Path, target: Path) -> None:
    """Gives files a second name where the file system can, else copies them."""
    for name in _names_in(kept):
        path = target / name
        try:
            os.link(kept / name, path)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(kept / name, path)
        except OSError:
            shutil.copyfile(kept / name, path)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _names_in(folder: Path, prefix: str = "") -> Iterator[str]:
    with os.scandir(folder) as found:
        for item in found:
            if item.is_dir():
                yield from _names_in(folder / item.name, f"{prefix}{item.name}/")
            elif item.name not in _PARTS:
                yield f"{prefix}{item.name}"
