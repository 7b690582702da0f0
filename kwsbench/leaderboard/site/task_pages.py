"""The page of the task, the pages of metrics, and what was rejected."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from kwsbench.leaderboard.board import Board, Entry
from kwsbench.leaderboard.rules import Rules
from kwsbench.leaderboard.site.addresses import entry_page
from kwsbench.leaderboard.site.entry_body import Fact
from kwsbench.leaderboard.site.figures import METRICS, interval, metric_name, minute, percent, plural
from kwsbench.leaderboard.site.rendering import Templates
from kwsbench.leaderboard.site.text import CELL_LETTERS, shown

_LIMITS = {
    "max_params": "Parameters",
    "max_macs": "MACs for one second of audio",
    "max_macs_above_8_bit": "MACs above 8 bit",
    "max_front_end_macs": "MACs of the front-end",
    "max_weight_bytes": "Weight bytes",
    "max_activation_bytes": "Activation bytes",
    "max_receptive_field_s": "Receptive field, seconds",
    "max_latency_ms": "Latency, milliseconds",
}
_FINAL = {
    "best private": "the best by private score",
    "latest": "the latest",
    "named": "those that the team names, or else its latest",
}
_TIES = {"band": "share a rank", "earlier": "are ordered by when they were handed in"}
_TEXT_LETTERS = 600
_BEST = 5


@dataclass(frozen=True)
class Group:
    """Rules about one thing."""

    name: str
    title: str
    facts: tuple[Fact, ...]


def rule_groups(board: Board) -> list[Group]:
    """Returns the rules as facts; a group that says nothing is left out."""
    rules = board.rules
    groups = (
        Group("limits", "Limits", tuple(_limits(rules))),
        Group("dates", "Dates", tuple(_dates(rules))),
        Group("entries", "Entries", tuple(_entries(rules))),
        Group("ranks", "Ranking", tuple(_ranking(board))),
        Group("points", "Points", tuple(_points(rules))),
        Group("data", "Data", tuple(Fact(shown(name), shown(value)) for name, value in board.provenance.items())),
    )
    return [group for group in groups if group.facts]


def _limits(rules: Rules) -> Iterator[Fact]:
    for name, title in _LIMITS.items():
        limit = getattr(rules.limits, name)
        if limit is not None:
            yield Fact(title, f"at most {limit:,.10g}")


def _dates(rules: Rules) -> Iterator[Fact]:
    if rules.opens:
        yield Fact("Opens", minute(rules.opens.astimezone(rules.zone)))
    if rules.deadline:
        yield Fact("Deadline", minute(rules.deadline.astimezone(rules.zone)))
    if rules.late.days:
        cost = f"; each costs {_points_word(rules.late.points_per_day)}" if rules.late.points_per_day else ""
        yield Fact("After that", f"entries are taken for {plural(rules.late.days, 'day')}{cost}")
    if (rules.opens or rules.deadline) and rules.timezone:
        yield Fact("Time zone", rules.timezone)


def _points_word(points: float) -> str:
    return f"{points:g} point{'' if points == 1 else 's'}"


def _entries(rules: Rules) -> Iterator[Fact]:
    if rules.entries.per_day:
        yield Fact("A day", f"{plural(rules.entries.per_day, 'entry', 'entries')} of a team")
    if rules.entries.final_per_team:
        which = _FINAL[rules.entries.final_by]
        yield Fact("In the end", f"{plural(rules.entries.final_per_team, 'entry', 'entries')} of a team: {which}")


def _ranking(board: Board) -> Iterator[Fact]:
    rules = board.rules
    metric = metric_name(rules.ranking.metric)
    yield Fact("By", f"{metric.title}, {'higher' if metric.higher_is_better else 'lower'} is better")
    yield Fact("Equal figures", _TIES[rules.ranking.ties])
    yield Fact("Bands", "entries of a band cannot be told apart from the first of them")
    if rules.private:
        yield Fact("Private part", private_words(board))
        yield Fact("Hash of the key", rules.private.key_sha256)
    if rules.private and rules.private.key:
        yield Fact("Key", shown(rules.private.key, 200))


def private_words(board: Board) -> str:
    """Returns what is hidden and what that means for the figures."""
    private = board.rules.private
    if private is None:
        return ""
    share = f"about {100 * private.share:g} % of the speakers"
    if board.hidden_clips:
        return f"{share}, {plural(board.hidden_clips, 'clip')}, stay hidden until the end; figures are shown no finer than their standard error"
    return f"{share}; the key is revealed and every figure is on all clips"


def _points(rules: Rules) -> Iterator[Fact]:
    points = rules.points
    if points is None:
        return
    if points.by == "band":
        for number, value in enumerate(points.bands, start=1):
            after = " and below" if number == len(points.bands) else ""
            yield Fact(f"Band {number}{after}", f"{value:g}")
        return
    yield Fact("No points at", shown(_anchor(points.zero_at)))
    yield Fact(f"{points.most:g} points at", shown(_anchor(points.full_at)))
    yield Fact("In between", "on a straight line")


def _anchor(anchor: float | str | None) -> str:
    return anchor if isinstance(anchor, str) else f"{100 * (anchor or 0):g} %"


@dataclass(frozen=True)
class BestLine:
    """An entry that is good at a metric."""

    href: str
    title: str
    team: str
    value: str
    interval: str


@dataclass(frozen=True)
class MetricPage:
    """The page of a metric; `best` is none or one list of entries."""

    name: str
    href: str
    title: str
    words: str
    best: tuple[tuple[BestLine, ...], ...]


def metric_pages(board: Board, templates: Templates) -> list[MetricPage]:
    """Returns the pages of metrics: one for each file in the templates' folder `metrics`."""
    files = sorted((templates.folder / "metrics").glob("*.html"), key=lambda path: _order(path.stem))
    return [_metric_page(board, PurePosixPath(path.name).stem, templates) for path in files]


def _order(name: str) -> tuple[int, str]:
    names = list(METRICS)
    return (names.index(name) if name in METRICS else len(names), name)


def _metric_page(board: Board, name: str, templates: Templates) -> MetricPage:
    template = f"metrics/{name}.html"
    best = tuple(_best(board, name)) if name in METRICS else ()
    return MetricPage(
        name, template, templates.block(template, "name"), templates.block(template, "words"), (best,) if best else ()
    )


def _best(board: Board, name: str) -> Iterator[BestLine]:
    """The best of the ranked entries: what is not ranked would be compared with what is."""
    sign = -1 if METRICS[name].higher_is_better else 1
    valued = [
        (entry, figure)
        for entry in board.entries
        if entry.rank
        for figure in entry.score.summary
        if figure.metric == name and not math.isnan(figure.value)
    ]
    for entry, figure in sorted(valued, key=lambda pair: (sign * pair[1].value, pair[0].rank, pair[0].key))[:_BEST]:
        yield BestLine(
            entry_page(entry),
            _title(entry),
            entry.submission.team,
            percent(figure.value),
            interval(figure.ci_low, figure.ci_high),
        )


def _title(entry: Entry) -> str:
    return shown(entry.submission.title, CELL_LETTERS) or entry.submission.entry


@dataclass(frozen=True)
class RejectedLine:
    """A folder that became no entry, and why."""

    key: str
    reasons: tuple[str, ...]


def rejected_lines(board: Board) -> list[RejectedLine]:
    """Returns what was rejected, with every reason."""
    return [
        RejectedLine(shown(one.key) or "(no name)", tuple(shown(reason, _TEXT_LETTERS) for reason in one.reasons))
        for one in board.rejected
    ]
