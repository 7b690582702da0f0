"""The intervals of a ranking, drawn on one axis that suits its best entries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kwsbench.leaderboard.board import Estimate
from kwsbench.leaderboard.site.plots.axes import Axis, Tick, percent_axis

_START, _END = 6, 162
_SHARE_SHOWN = 0.8
_WIDEST = 0.25


@dataclass(frozen=True)
class Whisker:
    """An interval as it is drawn: the line, and the dot of the figure; both empty where nothing is known."""

    line: str
    dot: str


@dataclass(frozen=True)
class WhiskerAxis:
    """The axis of a column of intervals.

    Attributes:
        axis: The axis.
        ticks: Every second of its ticks or all of them, as many as have room.
        num_steps: How many steps its grid has.
    """

    axis: Axis
    ticks: tuple[Tick, ...]
    num_steps: int

    def whisker(self, estimate: Estimate) -> Whisker:
        """Returns an interval on this axis; for a figure beyond an end, an arrow there."""
        if math.isnan(estimate.value):
            return Whisker("", "")
        if estimate.value < self.axis.low:
            return Whisker(f"M{_START + 5}-4l-5 4l5 4", "")
        if estimate.value > self.axis.high:
            return Whisker(f"M{_END - 5}-4l5 4l-5 4", "")
        dot = round(self.axis.at(estimate.value))
        if math.isnan(estimate.low):
            return Whisker("", f"M{dot} 0h0")
        low, high = round(self.axis.at(estimate.low)), round(self.axis.at(estimate.high))
        return Whisker(f"M{low} 0h{high - low}", f"M{dot} 0h0")


def whisker_axis(ranked: Sequence[Estimate], *, higher_is_better: bool) -> WhiskerAxis:
    """Returns an axis from the best end to where four fifths of the ranked entries lie, 25 points at most.

    Args:
        ranked: The figures of ranked entries, the best first.
        higher_is_better: Which end is the best.
    """
    known = [one for one in ranked if not math.isnan(one.value)]
    near = known[: max(1, math.ceil(_SHARE_SHOWN * len(known)))]
    ends = [end for one in near for end in (one.low, one.high, one.value) if not math.isnan(end)]
    if ends:
        best = max(ends) if higher_is_better else min(ends)
        ends = [end for end in ends if abs(end - best) <= _WIDEST] or ends
    axis = percent_axis(ends, _START, _END, most_steps=6)
    every = 2 if len(axis.ticks) > 4 else 1
    return WhiskerAxis(axis, axis.ticks[::every], len(axis.ticks) - 1)
