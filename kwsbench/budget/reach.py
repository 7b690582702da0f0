"""What part of the input one value sees along the last axis, and how that grows: the receptive field, for every format.

Source: Araujo, Norris, Sim (2019), Computing Receptive Fields of Convolutional Neural Networks, Distill,
https://distill.pub/2019/computing-receptive-fields/; from the last layer to the first, n neighbours are made from
(n - 1) x stride + kernel values before them. Where a stride is no whole number, as in interpolation, neighbours fall
between the values before them, and the count is rounded up: it is that of the worst place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

NEIGHBOURS = {"nearest": 1, "linear": 2, "bilinear": 2, "trilinear": 2, "cubic": 4, "bicubic": 4}
"""From how many values along one axis an interpolated value is made, by the mode of interpolation."""

MOST_FRAMES = 10**12
"""More than any clip has; what would see more is said to see that many."""

_MOST_STAGES = 16
"""Layers of fractional strides that are followed exactly; strides and spans of further ones are rounded up."""


@dataclass(frozen=True)
class _Stage:
    """A layer, or several in which nothing is rounded: n neighbours see ceil((n - 1) x stride + span) + 1 before it."""

    stride: Fraction
    span: Fraction

    @property
    def is_whole(self) -> bool:
        return self.stride.denominator == self.span.denominator == 1

    def seen_by(self, values: int) -> int:
        return math.ceil((values - 1) * self.stride + self.span) + 1

    @property
    def rounded_up(self) -> _Stage:
        return _Stage(Fraction(math.ceil(self.stride)), Fraction(math.ceil(self.span)))

    def then(self, later: _Stage) -> _Stage:
        return _Stage(self.stride * later.stride, self.span + later.span * self.stride)


@dataclass(frozen=True)
class Reach:
    """What part of the input one value sees.

    Attributes:
        stages: What lies between the input and the value, the first layer first; without any it is the input.
    """

    stages: tuple[_Stage, ...] = ()

    @cached_property
    def frames(self) -> int:
        """The most frames that one value sees, wherever it lies, with those in the padding."""
        values = 1
        for stage in reversed(self.stages):
            values = min(stage.seen_by(values), MOST_FRAMES)
        return values

    def behind_window(self, span: int, stride: int) -> Reach:
        """Returns what one value behind a sliding window sees.

        Args:
            span: How many values the last one in the window lies behind the first.
            stride: Values that the window moves on.
        """
        return self._behind(_Stage(Fraction(stride), Fraction(span)))

    def behind_transposed(self, span: int, stride: int) -> Reach:
        """Returns what one value behind a transposed convolution sees; the arguments are those of its window."""
        return self._behind(_Stage(Fraction(1, stride), Fraction(span + 1, stride) - 1))

    def behind_resizing(self, mode: str, before: int, after: int, *, aligns_corners: bool = False) -> Reach:
        """Returns what one value sees that was interpolated between neighbours.

        Args:
            mode: A key of `NEIGHBOURS`.
            before: Values along the axis before.
            after: Values along the axis after; where they are as many, nothing is interpolated.
            aligns_corners: The first and last values stay where they are.
        """
        if before == after:
            return self
        stride = Fraction(before - 1, max(after - 1, 1)) if aligns_corners else Fraction(before, max(after, 1))
        return self._behind(_Stage(stride, Fraction(NEIGHBOURS[mode] - 1)))

    def _behind(self, stage: _Stage) -> Reach:
        stage = stage if len(self.stages) < _MOST_STAGES else stage.rounded_up
        if self.stages and stage.is_whole:
            return Reach((*self.stages[:-1], self.stages[-1].then(stage)))
        return Reach((*self.stages, stage))
