"""Plots as geometry: axes, whiskers, the front, and DET curves."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwsbench.leaderboard.board import Estimate
from kwsbench.leaderboard.site.plots import det, scatter
from kwsbench.leaderboard.site.plots.axes import log_axis, percent_axis, probit_axis, time_axis
from kwsbench.leaderboard.site.plots.scatter import Measured
from kwsbench.leaderboard.site.plots.whiskers import whisker_axis
from kwsbench.metrics.detection import DetectionCurve

RATES = st.floats(0, 1, allow_nan=False)


def measured(x: float, y: float, kind: str = "ranked", title: str = "") -> Measured:
    """An entry with a cost and a figure."""
    return Measured(x, y, y - 0.01, y + 0.01, kind, title or f"{x} {y}", "", f"{x}-{y}")


@given(st.lists(RATES, min_size=1, max_size=8))
def test_an_axis_of_rates_holds_its_values_between_round_ticks(values: list[float]) -> None:
    """Every value lies between the ends, the ends are ticks in 0 to 1, the ticks rise evenly, and none are too many."""
    axis = percent_axis(values, 0, 100)
    assert axis.low <= min(values) + 1e-9
    assert axis.high >= max(values) - 1e-9
    assert axis.low >= 0
    assert axis.high <= 1 + 1e-9
    labels = [float(tick.label) for tick in axis.ticks]
    assert 2 <= len(labels) <= 8
    assert np.ptp(np.diff(labels)) < 1e-6
    assert len(set(labels)) == len(labels)


def test_axes_put_values_where_they_belong() -> None:
    """The ends are at the ends, the middle of the scale in the middle, and what lies beyond at the end."""
    axis = log_axis([100, 10_000], 0, 100)
    assert axis.at(1_000) == pytest.approx(50)
    assert [tick.label for tick in axis.ticks] == ["100", "200", "500", "1k", "2k", "5k", "10k"]
    assert probit_axis(0.001, 0.999, 0, 100).at(0.5) == pytest.approx(50)
    upwards = percent_axis([0.8, 0.9], 300, 20)
    assert upwards.at(0.0) == 300
    assert upwards.at(1.0) == 20


def test_days_stand_under_an_axis_of_time() -> None:
    """Ticks are midnights with names of months, however long or short the time is."""
    start = datetime(2026, 10, 29, 18, 30, tzinfo=UTC)
    for days in (0, 3, 40, 400):
        labels = [tick.label for tick in time_axis([start, start + timedelta(days=days)], 0, 100).ticks]
        assert len(labels) <= 8
        assert len(set(labels)) == len(labels)
    assert "30 Oct" in [tick.label for tick in time_axis([start, start + timedelta(days=3)], 0, 100).ticks]


def test_whiskers_show_figure_and_interval_on_the_scale_of_the_best() -> None:
    """The dot is at the figure, the line from end to end, what is far worse is an arrow, what is unknown is nothing."""
    best = [Estimate(value, value - 0.01, value + 0.01) for value in (0.95, 0.94, 0.93, 0.92)]
    axis = whisker_axis([*best, Estimate(0.2, 0.19, 0.21)], higher_is_better=True)
    at = {value: round(axis.axis.at(value)) for value in (0.94, 0.95, 0.96)}
    whisker = axis.whisker(best[0])
    assert whisker.line == f"M{at[0.94]} 0h{at[0.96] - at[0.94]}"
    assert whisker.dot == f"M{at[0.95]} 0h0"
    far = axis.whisker(Estimate(0.2, 0.19, 0.21))
    assert far.dot == ""
    assert far.line.startswith("M11")
    unknown = axis.whisker(Estimate(math.nan, math.nan, math.nan))
    assert (unknown.line, unknown.dot) == ("", "")
    assert axis.whisker(Estimate(0.95, math.nan, math.nan)).line == ""


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=12), st.booleans())
def test_the_front_is_what_nothing_beats(points: list[tuple[int, int]], higher_is_better: bool) -> None:  # noqa: FBT001
    """An entry is on the front exactly if none is at least as good at no more cost and differs, by brute force."""
    entries = [measured(x, y / 10) for x, y in dict.fromkeys(points)]
    sign = 1 if higher_is_better else -1
    front = scatter.front_of([*entries, measured(0, 5.0, "unranked")], higher_is_better=higher_is_better)

    def beaten(one: Measured) -> bool:
        return any(
            other.x <= one.x and sign * other.y >= sign * one.y and (other.x, other.y) != (one.x, one.y)
            for other in entries
        )

    assert {(one.x, one.y) for one in front} == {(one.x, one.y) for one in entries if not beaten(one)}


def test_names_beside_points_do_not_cover_each_other() -> None:
    """Of two neighbours on the front one name is left out, and the one that stays is the better entry's."""
    entries = [measured(100, 0.900, title="the worse of the two"), measured(101, 0.901, title="the better of the two")]
    x, y = log_axis([10, 1_000], scatter.LEFT, scatter.RIGHT), percent_axis([0.8, 0.95], scatter.BOTTOM, scatter.TOP)
    drawing = scatter.draw(entries, entries, x, y, limit=(500.0, "limit 500"))
    assert [label.text for label in drawing.labels] == ["the better of the two"]
    assert len(drawing.points) == 2
    assert drawing.limits[0].label == "limit 500"
    assert scatter.draw(entries, entries, x, y, limit=(5_000.0, "far away")).limits == ()


def test_a_curve_is_read_off_at_the_grid_as_the_metrics_read_it() -> None:
    """At each rate of the grid the curve has what `frr_at_far` says, and the mean of two curves lies half way."""
    draws = np.random.default_rng(3)
    curves = [DetectionCurve(draws.normal(2, 1, 400), draws.normal(0, 1, 3_000)) for _ in range(2)]
    expected = [[curve.frr_at_far(limit) for limit in det.GRID] for curve in curves]
    points = [curve.thinned(10_000) for curve in curves]
    assert [det.frr_on_grid(one).tolist() for one in points] == expected
    mean = det.mean_curve(points)
    assert mean is not None
    assert mean.tolist() == np.mean(expected, axis=0).tolist()
    assert det.mean_curve([]) is None
    assert det.mean_curve([DetectionCurve([], [1.0]).thinned(10)]) is None


def test_heights_are_places_on_the_probit_axis() -> None:
    """Heights are those of the axis to the nearest unit, the ends of the axis hold what lies beyond them."""
    rates = np.array([0.0, 0.002, 0.01, 0.3, 0.5, 1.0])
    axis = det.y_axis()
    assert det.heights(rates) == " ".join(str(round(axis.at(rate))) for rate in rates.tolist())
    path = det.path_of(det.heights(np.full(len(det.GRID), 0.5)), det.x_axis())
    assert path.startswith(f"M{det.LEFT} ")
    assert NormalDist().inv_cdf(det.GRID[-1]) == pytest.approx(0, abs=1e-9)
