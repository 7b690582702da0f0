"""The rules that give each clip its split: official lists, hash of the name, folder, or the whole source."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from kwsbench.errors import InputError, Problem
from kwsbench.manifest import SPLITS, FolderRule, HashRule, ListsRule, Split, SplitRule

SplitOf = Callable[[str], Split]
"""From a clip's path inside its archive to its split."""

_MAX_NUM_CLIPS_PER_WORD = 2**27 - 1


def split_by_hash(path: str, validation_percent: float, test_percent: float) -> Split:
    """Returns the split of a clip by the hash of its speaker, so that a growing data set never moves a clip.

    Source: Warden, "Speech Commands", arXiv 1804.03209, section 5.2; it reproduces the official lists.

    >>> split_by_hash("bed/0c40e715_nohash_0.wav", 10, 10)
    'test'
    """
    group = re.sub(r"_nohash_.*$", "", PurePosixPath(path).name)
    digest = int(hashlib.sha1(group.encode(), usedforsecurity=False).hexdigest(), 16)
    percent = (digest % (_MAX_NUM_CLIPS_PER_WORD + 1)) * (100.0 / _MAX_NUM_CLIPS_PER_WORD)
    if percent < validation_percent:
        return "validation"
    return "test" if percent < validation_percent + test_percent else "train"


def split_rule(rule: SplitRule, archive_root: Path) -> SplitOf:
    """Returns the function from path to split that a manifest's rule stands for.

    Raises:
        InputError: An official list is missing or names a clip for two splits, or a folder is not named like a split.
    """
    if isinstance(rule, HashRule):
        return lambda path: split_by_hash(path, rule.validation_percent, rule.test_percent)
    if isinstance(rule, ListsRule):
        listed = _read_lists(rule, archive_root)
        return lambda path: listed.get(path, "train")
    if isinstance(rule, FolderRule):
        return _split_by_folder
    return lambda _: rule.split


def _split_by_folder(path: str) -> Split:
    folder = path.split("/", 1)[0]
    for split in SPLITS:
        if folder == split:
            return split
    raise InputError(f"the folder {folder!r} of {path!r} is not named like a split: {', '.join(SPLITS)}")


def _read_lists(rule: ListsRule, archive_root: Path) -> dict[str, Split]:
    validation = _read_list(archive_root / rule.validation)
    test = _read_list(archive_root / rule.test)
    both = sorted(set(validation) & set(test))
    if both:
        where = f"{archive_root / rule.test}, line {test[both[0]]}"
        found = f"{both[0]!r}, which {rule.validation} lists too"
        problem = Problem(where, found, "each clip in one split", "take it off one of the lists", len(both))
        raise InputError("overlapping splits: the validation list and the test list share clips", [problem])
    return {**dict.fromkeys(validation, "validation"), **dict.fromkeys(test, "test")}


def _read_list(path: Path) -> dict[str, int]:
    """Clip path to line number."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(
            f"cannot read the official list {path}: {reason}; the split of the clips rests on it"
        ) from error
    # A name that is spelt otherwise than in the folder would silently become a training clip.
    return {posixpath.normpath(line.strip()): number for number, line in enumerate(lines, start=1) if line.strip()}
