"""Points from a board, each with its derivation: one line for every team."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kwsbench.errors import InputError
from kwsbench.leaderboard.board import Board, Entry
from kwsbench.leaderboard.rule_tables import Points
from kwsbench.leaderboard.site.downloads import csv_bytes

COLUMNS = (
    "team",
    "entry",
    "score",
    "ci_low",
    "ci_high",
    "rank",
    "band",
    "late_days",
    "points_before_lateness",
    "points_lost",
    "points",
    "why_this_entry",
    "why_these_points",
    "other_entries",
)
"""Columns of the CSV; `score` is the ranking metric on the private part, or on all clips where nothing is private."""

_DECIMALS = 2


@dataclass(frozen=True)
class Grade:
    """What a team gets.

    Attributes:
        team: The team.
        entry: Its best final entry; None where it has none.
        before: Points before lateness; None without a rule for points, or without an entry.
        lost: Points lost to lateness.
        why_entry: How the entry was chosen, or why there is none.
        why_points: How the points came about.
        others: The team's other entries and what became of them.
    """

    team: str
    entry: Entry | None
    before: float | None
    lost: float
    why_entry: str
    why_points: str
    others: str

    @property
    def points(self) -> float | None:
        """Points, never under 0."""
        return None if self.before is None else round(max(0.0, self.before - self.lost), _DECIMALS)


def grades(board: Board) -> list[Grade]:
    """Grades every team but the baselines, in the order of their names.

    A team is graded by the one of its ranked entries that brings most points after what lateness costs, and of
    several such by the one with the best rank. A team without a ranked entry gets 0 points.

    Args:
        board: The private part, from `collect(..., private=True)`.

    Raises:
        InputError: The scale of the points names an entry that is not on the board.
    """
    rule = board.rules.points
    ends = _ends(rule, board) if rule is not None and rule.by == "scale" else None
    teams: dict[str, list[Entry]] = defaultdict(list)
    for entry in board.entries:
        if not entry.is_baseline:
            teams[entry.submission.team].append(entry)
    rejected = _rejected_by_team(board)
    return [
        _grade(team, teams.get(team, []), rejected.get(team, []), board, ends) for team in sorted({*teams, *rejected})
    ]


def _rejected_by_team(board: Board) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for one in board.rejected:
        team, _, entry = one.key.partition("/")
        if team != "baselines":
            found[team].append(f"{entry}: rejected, {'; '.join(one.reasons)}")
    return found


def _grade(
    team: str, entries: Sequence[Entry], rejected: Sequence[str], board: Board, ends: tuple[float, float] | None
) -> Grade:
    ranked = [entry for entry in entries if entry.rank is not None]
    others = [f"{entry.submission.entry}: {entry.unranked_because}" for entry in entries if entry.rank is None]
    if not ranked:
        before = None if board.rules.points is None else 0.0
        reason = "none of its entries is ranked"
        return Grade(team, None, before, 0.0, reason, reason, _joined([*others, *rejected]))
    worth = {entry.key: _points(entry, board, ends) for entry in ranked}
    best = min(ranked, key=lambda entry: (-max(0.0, worth[entry.key].after), entry.rank or 0, entry.key))
    others = [_other(entry, worth[entry.key]) for entry in ranked if entry is not best] + others
    chosen = worth[best.key]
    why = "its only final entry" if len(ranked) == 1 else f"the best of its {len(ranked)} final entries"
    return Grade(team, best, chosen.before, chosen.lost, why, chosen.derivation, _joined([*others, *rejected]))


@dataclass(frozen=True)
class _Worth:
    before: float | None
    lost: float
    derivation: str

    @property
    def after(self) -> float:
        return (self.before or 0.0) - self.lost


def _points(entry: Entry, board: Board, ends: tuple[float, float] | None) -> _Worth:
    rule, late = board.rules.points, board.rules.late
    lost = round(entry.late_days * late.points_per_day, _DECIMALS)
    if rule is None:
        return _Worth(None, lost, "the rules have no points")
    before, how = _by_scale(entry, rule, ends) if ends else _by_band(entry, rule)
    if not lost:
        return _Worth(before, lost, how)
    after = max(0.0, round(before - lost, _DECIMALS))
    days = f"{entry.late_days} late day{'s' if entry.late_days > 1 else ''} x {late.points_per_day:g}"
    return _Worth(before, lost, f"{how}; less {days} = {lost:g}; together {after:g}")


def _by_band(entry: Entry, rule: Points) -> tuple[float, str]:
    band = entry.band or 1
    points = rule.bands[min(band, len(rule.bands)) - 1]
    return points, f"band {band} gets {points:g}"


def _by_scale(entry: Entry, rule: Points, ends: tuple[float, float]) -> tuple[float, str]:
    zero, full = ends
    share = min(1.0, max(0.0, (entry.main.value - zero) / (full - zero)))
    points = round(rule.most * share, _DECIMALS)
    line = f"{rule.most:g} x ({entry.main.value:.4f} - {zero:.4f}) / ({full:.4f} - {zero:.4f})"
    return points, f"{line}, from 0 to {rule.most:g} = {points:g}"


def _ends(rule: Points, board: Board) -> tuple[float, float]:
    values = {entry.key: entry.main.value for entry in board.entries}
    zero, full = (_anchor(name, getattr(rule, name), values) for name in ("zero_at", "full_at"))
    if zero == full or math.isnan(zero) or math.isnan(full):
        raise InputError(f"[points] zero_at and full_at are both worth {zero:g}: there is no scale between them")
    return zero, full


def _anchor(name: str, anchor: float | str | None, values: Mapping[str, float]) -> float:
    if isinstance(anchor, str):
        if anchor not in values:
            raise InputError(f"[points] {name} = {anchor!r} is no entry that could be scored")
        return values[anchor]
    return math.nan if anchor is None else anchor


def _other(entry: Entry, worth: _Worth) -> str:
    points = "" if worth.before is None else f", {max(0.0, worth.after):g} points"
    return f"{entry.submission.entry}: rank {entry.rank}, band {entry.band}{points}"


def _joined(texts: Iterable[str]) -> str:
    return " | ".join(" ".join(text.split()) for text in texts)


def grades_csv(found: Iterable[Grade]) -> bytes:
    """Returns grades as CSV in UTF-8; no cell of it is a formula to a spreadsheet."""
    return csv_bytes([COLUMNS, *map(row_of, found)])


def row_of(grade: Grade) -> list[object]:
    """Returns a line of the CSV, in the order of `COLUMNS`."""
    entry = grade.entry
    place = [entry.rank, entry.band, entry.late_days] if entry else [None, None, None]
    figures = [entry.main.value, entry.main.low, entry.main.high] if entry else [None, None, None]
    points = [grade.before, grade.lost if grade.before is not None else None, grade.points]
    name = entry.submission.entry if entry else None
    return [grade.team, name, *figures, *place, *points, grade.why_entry, grade.why_points, grade.others]
