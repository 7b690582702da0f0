"""The page of plots: accuracy against cost and over time, each with its table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from kwsbench.leaderboard.board import Board, Entry
from kwsbench.leaderboard.site.addresses import entry_page
from kwsbench.leaderboard.site.figures import MetricName, day, interval, metric_name, percent
from kwsbench.leaderboard.site.plots import scatter
from kwsbench.leaderboard.site.plots.axes import Axis, log_axis, percent_axis, time_axis
from kwsbench.leaderboard.site.plots.scatter import Measured, Scatter
from kwsbench.leaderboard.site.text import CELL_LETTERS, shown

_LABEL_LETTERS = 28
_SHARE_SHOWN = 0.93


@dataclass(frozen=True)
class TwinLine:
    """An entry in the table beside a plot; `marks` says whether it is on the line of the best."""

    href: str
    title: str
    team: str
    x: str
    value: str
    interval: str
    marks: tuple[str, ...]


@dataclass(frozen=True)
class Plot:
    """A plot with its words and its table.

    Attributes:
        name: Its place on the page.
        title: What it shows.
        words: What there is to be seen.
        x_title: What its x axis is.
        y_title: What its y axis is.
        drawing: The plot.
        twin: The same as a table.
    """

    name: str
    title: str
    words: str
    x_title: str
    y_title: str
    drawing: Scatter
    twin: tuple[TwinLine, ...]


@dataclass(frozen=True)
class Cost:
    """Something that an entry costs: what it is called, what it is of an entry, and its limit."""

    name: str
    noun: str
    title: str
    of: Callable[[Entry], int | None]
    limit: int | None


def plots_of(board: Board) -> list[Plot]:
    """Returns accuracy against MACs, against parameters and over time; those of them that there are figures for."""
    limits = board.rules.limits
    costs = (
        Cost("macs", "MACs", "MACs for one second of audio", attrgetter("macs"), limits.max_macs),
        Cost("params", "parameters", "Parameters", attrgetter("num_parameters"), limits.max_params),
    )
    plots = [_against(board, cost) for cost in costs if any(map(cost.of, board.entries))]
    return [*plots, *([_over_time(board)] if board.entries else [])]


def _against(board: Board, cost: Cost) -> Plot:
    metric, noun = metric_name(board.rules.ranking.metric), cost.noun
    known = [(entry, number) for entry in board.entries if (number := cost.of(entry))]
    measured = [_measured(entry, float(number), f"{number:,} {noun}") for entry, number in known]
    x = log_axis([*(one.x for one in measured), *([cost.limit] if cost.limit else [])], scatter.LEFT, scatter.RIGHT)
    y = _y_axis(measured, metric)
    front = scatter.front_of(measured, higher_is_better=metric.higher_is_better)
    words = (
        f"{'Up' if metric.higher_is_better else 'Down'} and to the left is better."
        f" {len(front):,} of {len(measured):,} entries are on the Pareto front:"
        f" nothing with as few {noun} has a better figure.{_clipped(measured, y)}"
    )
    return Plot(
        cost.name,
        f"{metric.title} against {noun}",
        words,
        f"{cost.title}, log scale",
        f"{metric.title}, %",
        scatter.draw(measured, front, x, y, _limit(cost.limit, noun)),
        _twin(sorted(measured, key=lambda one: (one.x, one.href)), front, board),
    )


def _limit(limit: int | None, noun: str) -> tuple[float, str] | None:
    return None if limit is None else (float(limit), f"limit {limit:,} {noun}")


def _over_time(board: Board) -> Plot:
    metric = metric_name(board.rules.ranking.metric)
    days = [(entry, entry.submission.submitted) for entry in board.entries]
    measured = [_measured(entry, moment.timestamp(), day(moment)) for entry, moment in days]
    x = time_axis([moment for _, moment in days], scatter.LEFT, scatter.RIGHT)
    y = _y_axis(measured, metric)
    front = scatter.front_of(measured, higher_is_better=metric.higher_is_better)
    return Plot(
        "time",
        f"{metric.title} over time",
        f"Each entry on the day it was handed in. The line is the best ranked figure so far.{_clipped(measured, y)}",
        "Day of submission",
        f"{metric.title}, %",
        scatter.draw(measured, front, x, y),
        _twin(sorted(measured, key=lambda one: (one.x, one.href)), front, board),
    )


def _measured(entry: Entry, x: float, words: str) -> Measured:
    main, title = entry.main, shown(entry.submission.title, _LABEL_LETTERS) or entry.submission.entry
    ranked = "ranked" if entry.rank is not None else "unranked"
    kind = "baseline" if entry.is_baseline else ranked
    said = f"{title}, {entry.submission.team}: {percent(main.value)} %, {words}"
    return Measured(x, main.value, main.low, main.high, kind, title, said, entry_page(entry))


def _y_axis(measured: Sequence[Measured], metric: MetricName) -> Axis:
    """An axis around the better nine tenths; what is worse lies at its lower edge."""
    known = sorted((one.y for one in measured if not math.isnan(one.y)), reverse=metric.higher_is_better)
    return percent_axis(known[: max(1, math.ceil(_SHARE_SHOWN * len(known)))], scatter.BOTTOM, scatter.TOP)


def _clipped(measured: Sequence[Measured], y: Axis) -> str:
    number = sum(not y.low <= one.y <= y.high for one in measured if not math.isnan(one.y))
    return f" {number:,} that would be off the plot {'lies' if number == 1 else 'lie'} on its edge." if number else ""


def _twin(measured: Sequence[Measured], front: Iterable[Measured], board: Board) -> tuple[TwinLine, ...]:
    entries = {entry_page(entry): entry for entry in board.entries}
    best = {one.href for one in front}
    return tuple(_twin_line(one, entries[one.href], is_best=one.href in best) for one in measured)


def _twin_line(one: Measured, entry: Entry, *, is_best: bool) -> TwinLine:
    x = one.words.rpartition(" %, ")[2].split(" ")[0]
    return TwinLine(
        one.href,
        shown(entry.submission.title, CELL_LETTERS) or entry.submission.entry,
        entry.submission.team,
        x,
        percent(one.y),
        interval(one.low, one.high, 1),
        ("yes",) if is_best else (),
    )
