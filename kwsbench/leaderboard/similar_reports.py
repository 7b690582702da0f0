"""Pairs of reports with passages in common: runs of eight words that stand in both, and in few others."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from kwsbench.submission.report import SECTIONS

WORDS = 8
"""Length of a passage."""

_LEAST_SHARE = 0.2
_FEWEST = 5  # passages in common
_MOST_PASSAGES = 5_000  # of one report; of longer ones a sample that is the same for equal text
_MOST_READERS = 20  # a passage that more teams have is common knowledge


@dataclass(frozen=True)
class Report:
    """The report of an entry.

    Attributes:
        key: Team and entry.
        team: The team.
        text: Markdown.
    """

    key: str
    team: str
    text: str


@dataclass(frozen=True)
class SharedText:
    """Two reports with passages in common.

    Attributes:
        first: An entry.
        second: Another one, of another team.
        passages: Runs of eight words that both have.
        share: Part of the shorter report's passages, in [0, 1].
        example: One of them.
    """

    first: str
    second: str
    passages: int
    share: float
    example: str


def shared_text(reports: Sequence[Report]) -> list[SharedText]:
    """Returns the pairs of reports of different teams that share at least a fifth of the shorter one's passages."""
    template = _passages(" ".join(f"{name} {question}" for name, question in SECTIONS.items()))
    passages = [_sample(_passages(report.text), template) for report in reports]
    common: Counter[tuple[int, int]] = Counter()
    for readers in _readers(reports, passages).values():
        common.update(pair for pair in combinations(readers, 2) if reports[pair[0]].team != reports[pair[1]].team)
    found = (_pair(reports, passages, pair, count) for pair, count in sorted(common.items()) if count >= _FEWEST)
    return [pair for pair in found if pair.share >= _LEAST_SHARE]


def _passages(text: str) -> dict[str, str]:
    """Passages by their hash."""
    words = re.findall(r"[^\W_]+", text.casefold())
    runs = (" ".join(words[start : start + WORDS]) for start in range(len(words) - WORDS + 1))
    return {hashlib.blake2b(run.encode(), digest_size=8).hexdigest(): run for run in runs}


def _sample(passages: Mapping[str, str], template: Mapping[str, str]) -> dict[str, str]:
    kept = sorted(passages.keys() - template.keys())[:_MOST_PASSAGES]
    return {name: passages[name] for name in kept}


def _readers(reports: Sequence[Report], passages: Iterable[Mapping[str, str]]) -> dict[str, list[int]]:
    """Who has each passage, where few teams do and more than one."""
    readers: dict[str, list[int]] = defaultdict(list)
    for place, names in enumerate(passages):
        for name in names:
            readers[name].append(place)
    return {
        name: places
        for name, places in readers.items()
        if 1 < len({reports[place].team for place in places}) <= _MOST_READERS
    }


def _pair(
    reports: Sequence[Report], passages: Sequence[Mapping[str, str]], pair: tuple[int, int], count: int
) -> SharedText:
    one, other = (passages[place] for place in pair)
    first, second = sorted(reports[place].key for place in pair)
    example = min(one[name] for name in one.keys() & other.keys())
    return SharedText(first, second, count, count / max(min(len(one), len(other)), 1), example)
