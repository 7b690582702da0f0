"""What an entry's own files decide, kept between builds: a rebuild makes only what is new."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kwsbench import __version__
from kwsbench.leaderboard.board import Entry
from kwsbench.leaderboard.site.entry_page import OwnParts, own_parts
from kwsbench.leaderboard.site.rendering import Templates

_PARTS = "parts.json"
_UNFINISHED = ".tmp"
_READ_ONLY = 0o444
_OURS = re.compile(r"[0-9a-f]{64}|[0-9a-f]{16}\.tmp")


@dataclass(frozen=True)
class Put:
    """What goes into pages of an entry whose files are in the site.

    Attributes:
        body: The part of its own page.
        rows: Its row on each page of curves; empty where it has none.
    """

    body: str
    rows: tuple[str, ...]


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

    def put(self, entry: Entry, target: Path) -> Put:
        """Puts the downloads and pictures of an entry into the folder of its team, and returns what goes into pages."""
        if self._folder is None:
            parts = own_parts(entry, self.templates)
            _write(parts.files, target)
            return Put(parts.body, parts.rows)
        key = self._key(entry)
        self._used.add(key)
        kept = self._folder / key
        try:
            put = _put_kept(kept, target)
            self.num_reused += 1
        except (OSError, ValueError, TypeError, KeyError):
            _keep(own_parts(entry, self.templates), kept)
            put = _put_kept(kept, target)
        return put

    def forget_unused(self) -> None:
        """Removes what this build did not need, and what a build that was killed left behind."""
        if self._folder is None or not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            if path.name not in self._used and _OURS.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)

    def _key(self, entry: Entry) -> str:
        """A hash of everything that `own_parts` reads; the files of the entry go by their own hashes."""
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


def _keep(parts: OwnParts, kept: Path) -> None:
    """Writes files whole: a folder has its name only when everything is in it."""
    unfinished = kept.with_name(f"{secrets.token_hex(8)}{_UNFINISHED}")
    record = {"body": parts.body, "rows": parts.rows, "files": list(parts.files)}
    _write({**parts.files, _PARTS: json.dumps(record).encode()}, unfinished)
    for path in unfinished.rglob("*.*"):
        path.chmod(_READ_ONLY)  # the site shares them
    shutil.rmtree(kept, ignore_errors=True)
    unfinished.rename(kept)


def _write(files: Mapping[str, bytes], target: Path) -> None:
    for name, content in files.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _put_kept(kept: Path, target: Path) -> Put:
    """Gives files a second name where the file system can, else copies them.

    Raises:
        OSError: Something that was kept is not there.
        ValueError: What was kept is damaged.
        TypeError, KeyError: The same.
    """
    with open(f"{kept}/{_PARTS}", encoding="utf-8") as file:  # noqa: PTH123 -- a thousand of them
        record = json.load(file)
    for name in record["files"]:
        source, path = f"{kept}/{name}", f"{target}/{name}"
        try:
            os.link(source, path)
        except OSError:
            _link_or_copy(source, Path(path))
    return Put(record["body"], tuple(record["rows"]))


def _link_or_copy(source: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # of an earlier attempt
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
