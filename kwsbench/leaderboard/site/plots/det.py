"""DET curves of entries on one grid of false accept rates, so that a page can hold many and draw those that are chosen."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from kwsbench.leaderboard.site.plots.axes import Axis, place, probit_axis
from kwsbench.metrics.detection import CurvePoints

WIDTH, HEIGHT = 620, 560
LEFT, RIGHT, TOP, BOTTOM = 56, 604, 18, 512

_LOWEST, _HIGHEST = 0.0005, 0.5
_NUM_POINTS = 36
_NORMAL = NormalDist()

GRID: tuple[float, ...] = tuple(
    _NORMAL.cdf(step) for step in np.linspace(_NORMAL.inv_cdf(_LOWEST), _NORMAL.inv_cdf(_HIGHEST), _NUM_POINTS).tolist()
)
"""False accept rates that every curve is drawn at, evenly spaced on a probit axis."""


def x_axis() -> Axis:
    """Returns the axis of the false accept rate."""
    return probit_axis(_LOWEST, _HIGHEST, LEFT, RIGHT)


def y_axis() -> Axis:
    """Returns the axis of the false reject rate, upwards."""
    return probit_axis(_LOWEST * 2, 0.9, BOTTOM, TOP)


def frr_on_grid(points: CurvePoints) -> NDArray[np.float64]:
    """Returns the lowest false reject rate of a curve with a false accept rate of at most each of `GRID`."""
    first = np.searchsorted(-points.far, -np.asarray(GRID), side="left")  # the rate falls along the thresholds
    return np.asarray(points.frr)[first]


def mean_curve(curves: Iterable[CurvePoints]) -> NDArray[np.float64] | None:
    """Returns the mean of several curves at each of `GRID`, shape (points,); None where none has points."""
    known = [frr_on_grid(curve) for curve in curves if len(curve.far)]
    return np.mean(known, axis=0) if known else None


def heights(curve: NDArray[np.float64]) -> str:
    """Returns the places of a curve on the y axis, in whole units, with spaces between them."""
    return " ".join(map(str, (BOTTOM - np.searchsorted(_rates_between(), curve)).tolist()))


@cache
def _rates_between() -> NDArray[np.float64]:
    """The rate halfway between each unit of the y axis and the next one up."""
    axis = y_axis()
    low, high = axis.scale(axis.low), axis.scale(axis.high)
    steps = (np.arange(BOTTOM - TOP) + 0.5) / (BOTTOM - TOP)
    return np.array([_NORMAL.cdf(low + step * (high - low)) for step in steps.tolist()])


def path_of(heights_of_curve: str, axis: Axis) -> str:
    """Returns the path of a curve through its heights."""
    across = [place(axis.at(rate)) for rate in GRID]
    return "M" + "L".join(f"{x} {y}" for x, y in zip(across, heights_of_curve.split(), strict=True))
