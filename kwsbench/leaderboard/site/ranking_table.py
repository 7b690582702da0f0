"""The table of the first page: rows in bands, intervals on one axis, and the columns that the entries have figures for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from kwsbench.leaderboard.board import Board, Entry
from kwsbench.leaderboard.site.addresses import entry_page
from kwsbench.leaderboard.site.figures import MetricName, count, day, interval, metric_name, percent, plural
from kwsbench.leaderboard.site.plots.whiskers import Whisker, WhiskerAxis, whisker_axis
from kwsbench.leaderboard.site.text import CELL_LETTERS, shown
from kwsbench.submission.record import Verdict

_RATES = ("balanced_accuracy", "frr", "far", "macro_f1", "macro_eer")
_FIRST_COLUMNS = 6
_LONG = 500
_MOST_TITLE_BYTES = 30_000
_CUTS = (CELL_LETTERS, 40, 32, 24, 16)
_HIDDEN_AT_FIRST = frozenset({"balanced_accuracy", "macro_f1", "late"})
_KINDS = {
    Verdict.PREDICTIONS_ONLY: "p",
    Verdict.MISMATCH: "m",
    Verdict.OVER_BUDGET: "o",
    Verdict.REFUSED: "m",
    Verdict.INVALID: "m",
}


@dataclass(frozen=True)
class Column:
    """A column after the first six.

    Attributes:
        name: What it is called in an address.
        title: What it is called on the page.
        help: What it means, where the title is short.
        kind: `number` or `text`: how it is sorted.
        best: `high` or `low`: what the first click brings to the top.
        is_hidden: Whether it is hidden until somebody asks for it.
    """

    name: str
    title: str
    help: str
    kind: str = "number"
    best: str = "low"
    is_hidden: bool = False


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        kinds: How it is marked, none or one: of the letters `b` for a baseline, `u` for no rank, `x` for a model that
            is not known to be within the budget, and `p`, `m`, `o` for verdicts other than verified.
        rank: Its rank; empty without one.
        href: Its page.
        title: Its title.
        reasons: Why it is not ranked; none or one.
        team: Its team.
        value: The figure that ranks.
        interval: Its interval.
        whisker: The same, drawn.
        verdict: How it was verified.
        cells: The other columns.
    """

    kinds: tuple[str, ...]
    rank: str
    href: str
    title: str
    reasons: tuple[str, ...]
    team: str
    value: str
    interval: str
    whisker: Whisker
    verdict: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Band:
    """Rows that cannot be told apart, or those without a rank."""

    title: str
    note: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class RankingTable:
    """The table.

    Attributes:
        metric: What the figure that ranks is called.
        axis: The axis of its intervals.
        columns: The columns after the first six.
        bands: The rows.
        hidden: Numbers of the columns that are hidden at first, from 1 on, with spaces between them.
    """

    metric: MetricName
    axis: WhiskerAxis
    columns: tuple[Column, ...]
    bands: tuple[Band, ...]
    hidden: str

    @property
    def num_columns(self) -> int:
        """How many columns there are in all."""
        return _FIRST_COLUMNS + len(self.columns)


def ranking_table(board: Board) -> RankingTable:
    """Returns the ranking of a board."""
    metric = metric_name(board.rules.ranking.metric)
    ranked = [entry for entry in board.entries if entry.rank is not None]
    axis = whisker_axis([entry.main for entry in ranked], higher_is_better=metric.higher_is_better)
    columns = tuple(_columns(board))
    letters = _title_letters(board.entries)
    cells = [_CELLS[column.name] if column.name in _CELLS else _rate(column.name) for column in columns]
    hidden = [number for number, column in enumerate(columns, start=_FIRST_COLUMNS + 1) if column.is_hidden]
    return RankingTable(
        metric,
        axis,
        columns,
        tuple(_bands(board.entries, lambda entry: _row(entry, axis, cells, letters))),
        " ".join(map(str, hidden)),
    )


def _title_letters(entries: Sequence[Entry]) -> int:
    """How long titles may be, so that all of them together leave room for the rest of a page of 300 kB."""
    titles = [shown(entry.submission.title, CELL_LETTERS) for entry in entries]
    sizes = ((cut, sum(len(title[:cut].encode()) for title in titles)) for cut in _CUTS)
    return next((cut for cut, size in sizes if size <= _MOST_TITLE_BYTES), _CUTS[-1])


def _columns(board: Board) -> Iterator[Column]:
    main = board.rules.ranking.metric
    known = {figure.metric for entry in board.entries for figure in entry.score.summary}
    # The page of a narrow screen counts on these two being the first.
    yield Column("params", "Params", "Parameters")
    yield Column("macs", "MACs", "Multiply-accumulates for one second of audio")
    for name in _RATES:
        is_hidden = name in _HIDDEN_AT_FIRST
        if name in known and name != main and not (is_hidden and len(board.entries) > _LONG):
            metric = metric_name(name)
            yield Column(name, metric.short, f"{metric.title}, %", best=metric.best, is_hidden=is_hidden)
    yield Column("submitted", "Submitted", "Day of submission", kind="text", best="high")
    if any(entry.late_days for entry in board.entries):
        yield Column("late", "Late", "Days after the deadline", is_hidden=True)


def _bands(entries: Sequence[Entry], row: Callable[[Entry], Row]) -> Iterator[Band]:
    for band, group in groupby(entries, key=attrgetter("band")):
        rows = tuple(map(row, group))
        if band is None:
            yield Band("Not ranked", plural(len(rows), "entry", "entries"), rows)
        else:
            yield Band(f"Band {band}", _note(band, len(rows)), rows)


def _note(band: int, size: int) -> str:
    if size == 1:
        return "ahead of all others by more than chance explains" if band == 1 else ""
    return f"{size:,} entries, too close to the first of them to tell apart"


def _row(entry: Entry, axis: WhiskerAxis, cells: Sequence[Callable[[Entry], str]], letters: int) -> Row:
    submission, main = entry.submission, entry.main
    return Row(
        _kinds(entry),
        "" if entry.rank is None else str(entry.rank),
        entry_page(entry),
        shown(submission.title, letters) or submission.entry,
        (shown(entry.unranked_because),) if entry.unranked_because else (),
        submission.team,
        percent(main.value),
        interval(main.low, main.high, digits=1),
        axis.whisker(main),
        str(entry.verification.verdict),
        tuple(cell(entry) for cell in cells),
    )


def _kinds(entry: Entry) -> tuple[str, ...]:
    within = (entry.verification.report or {}).get("within_budget")
    letters = (
        "b" * entry.is_baseline,
        "u" * (entry.rank is None),
        "x" * (within is not True),
        _KINDS.get(entry.verification.verdict, ""),
    )
    together = " ".join(letter for letter in letters if letter)
    return (together,) if together else ()


def _rate(name: str) -> Callable[[Entry], str]:
    def cell(entry: Entry) -> str:
        return next((percent(figure.value) for figure in entry.score.summary if figure.metric == name), "")

    return cell


_CELLS: dict[str, Callable[[Entry], str]] = {
    "params": lambda entry: count(entry.num_parameters),
    "macs": lambda entry: count(entry.macs),
    "submitted": lambda entry: day(entry.submission.submitted),
    "late": lambda entry: str(entry.late_days),
}
