"""What happened, by the times of submission: a board has no clock of its own."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kwsbench.leaderboard.board import Board, Entry
from kwsbench.leaderboard.site.addresses import entry_page
from kwsbench.leaderboard.site.figures import instant, metric_name, minute, percent
from kwsbench.leaderboard.site.text import CELL_LETTERS, shown

MOST_IN_FEED = 100
"""Changes that the feed holds; the page holds all."""

_NAMESPACE = uuid.UUID("7d1f8f0e-6c0b-5b53-9b43-2f6f3f5d9b1a")


@dataclass(frozen=True)
class Change:
    """An entry that was handed in.

    Attributes:
        id: A name that stays the same whatever happens to the entry's rank.
        when: When, for people.
        instant: The same for machines, in UTC.
        href: The entry's page.
        title: The entry's title.
        team: Its team.
        words: What it reached.
        leads: None or one sentence: it took the lead.
    """

    id: str
    when: str
    instant: str
    href: str
    title: str
    team: str
    words: str
    leads: tuple[str, ...]


def changes_of(board: Board) -> list[Change]:
    """Returns what was handed in, the latest first, with who took the lead when."""
    metric = metric_name(board.rules.ranking.metric)
    in_time = sorted(board.entries, key=lambda entry: (entry.submission.submitted, entry.key))
    leaders = _leaders(in_time, higher_is_better=metric.higher_is_better)
    return [_change(entry, metric.title, leads=entry.key in leaders) for entry in reversed(in_time)]


def _leaders(in_time: Sequence[Entry], *, higher_is_better: bool) -> set[str]:
    sign = 1 if higher_is_better else -1
    best, leaders = -float("inf"), set()
    for entry in in_time:
        if entry.rank is not None and sign * entry.main.value > best:
            best = sign * entry.main.value
            leaders.add(entry.key)
    return leaders


def _change(entry: Entry, metric: str, *, leads: bool) -> Change:
    submission = entry.submission
    return Change(
        name_of(entry.key, submission.submitted),
        minute(submission.submitted),
        instant(submission.submitted),
        entry_page(entry),
        shown(submission.title, CELL_LETTERS) or submission.entry,
        submission.team,
        f"{metric} {percent(entry.main.value)} %, {entry.verification.verdict}",
        ("takes the lead",) if leads else (),
    )


def name_of(text: str, moment: datetime | None) -> str:
    """Returns a lasting name for something that happened at an instant."""
    return uuid.uuid5(_NAMESPACE, f"{text} {instant(moment) if moment else ''}").urn
