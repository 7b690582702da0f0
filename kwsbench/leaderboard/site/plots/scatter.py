"""Accuracy against cost or time: points with intervals, the line of the best, the limit, and labels that do not overlap."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

from kwsbench.leaderboard.site.plots.axes import Axis, Tick, place

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 56, 744, 18, 372

_LETTER_WIDTH, _LINE_HEIGHT = 6.6, 15.0
_MOST_WHISKERS = 80
_ABOVE = 9.0


@dataclass(frozen=True)
class Measured:
    """An entry as a plot sees it.

    Attributes:
        x: What it costs, or when it was handed in.
        y: Its figure.
        low: Lower end of the interval; NaN without one.
        high: Upper end.
        kind: How it is drawn: `ranked`, `baseline` or `unranked`.
        title: Its name, ready to be shown.
        words: What a pointer that rests on it reads.
        href: Its page.
    """

    x: float
    y: float
    low: float
    high: float
    kind: str
    title: str
    words: str
    href: str


@dataclass(frozen=True)
class Point:
    """A point as it is drawn; `whisker` is the path of its interval, empty without one."""

    x: str
    y: str
    whisker: str
    kind: str
    words: str
    href: str


@dataclass(frozen=True)
class Label:
    """A name beside a point."""

    x: str
    y: str
    text: str


@dataclass(frozen=True)
class Scatter:
    """A plot as it is drawn.

    Attributes:
        x_ticks: Ticks of the x axis.
        y_ticks: Ticks of the y axis.
        points: Points, those that matter most last, so that they lie on top.
        lines: Paths of the line of the best; none or one.
        labels: Names of the entries on it, as far as there is room.
        limits: The limit of the competition; none or one.
    """

    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    points: tuple[Point, ...]
    lines: tuple[str, ...]
    labels: tuple[Label, ...]
    limits: tuple[Tick, ...]


def front_of(entries: Iterable[Measured], *, higher_is_better: bool) -> list[Measured]:
    """Returns the Pareto front: ranked entries that are better than every one that has less x, or as much of it."""
    sign = -1 if higher_is_better else 1
    candidates = [entry for entry in entries if entry.kind != "unranked" and not math.isnan(entry.y)]
    front: list[Measured] = []
    for entry in sorted(candidates, key=lambda one: (one.x, sign * one.y, one.href)):
        if not front or sign * entry.y < sign * front[-1].y:
            front.append(entry)
    return front


def draw(
    entries: Sequence[Measured], front: Sequence[Measured], x: Axis, y: Axis, limit: tuple[float, str] | None = None
) -> Scatter:
    """Returns the plot of `entries` on the axes `x` and `y`; `limit` is a value of x and its name."""
    with_whiskers = len(entries) <= _MOST_WHISKERS
    order = {"unranked": 0, "ranked": 1, "baseline": 2}
    known = sorted((one for one in entries if not math.isnan(one.y)), key=lambda one: order[one.kind])
    return Scatter(
        x.ticks,
        y.ticks,
        tuple(_point(one, x, y, with_whisker=with_whiskers) for one in known),
        tuple(_steps(front, x, y)),
        tuple(_labels(front, x, y)),
        () if limit is None or not x.low <= limit[0] <= x.high else (Tick(place(x.at(limit[0])), limit[1]),),
    )


def _point(one: Measured, x: Axis, y: Axis, *, with_whisker: bool) -> Point:
    across, up = place(x.at(one.x)), place(y.at(one.y))
    has_interval = with_whisker and not math.isnan(one.low)
    whisker = f"M{across} {place(y.at(one.low))}V{place(y.at(one.high))}" if has_interval else ""
    return Point(across, up, whisker, one.kind, one.words, one.href)


def _steps(front: Sequence[Measured], x: Axis, y: Axis) -> Iterator[str]:
    if not front:
        return
    first, *rest = front
    steps = "".join(f"H{place(x.at(one.x))}V{place(y.at(one.y))}" for one in rest)
    yield f"M{place(x.at(first.x))} {place(y.at(first.y))}{steps}H{place(x.end)}"


@dataclass(frozen=True)
class _Box:
    left: float
    right: float
    top: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


def _labels(front: Sequence[Measured], x: Axis, y: Axis) -> Iterator[Label]:
    """Names from the best down; one that would cover another, or leave the plot, is left out."""
    taken: list[_Box] = [_Box(x.at(one.x) - 4, x.at(one.x) + 4, y.at(one.y) - 4, y.at(one.y) + 4) for one in front]
    for one in sorted(front, key=attrgetter("x"), reverse=True):
        width = _LETTER_WIDTH * len(one.title)
        right, bottom = x.at(one.x) - 6, y.at(one.y) - _ABOVE + 3
        box = _Box(right - width, right, bottom - _LINE_HEIGHT, bottom)
        if box.left > LEFT and box.top > TOP and not any(box.meets(other) for other in taken):
            taken.append(box)
            yield Label(place(right), place(bottom - 3), one.title)
