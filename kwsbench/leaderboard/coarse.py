"""Figures of the public part, shown no finer than chance: whoever climbs by single clips climbs on noise.

A figure is rounded to a step of 1, 2 or 5 times a power of ten that is not below its standard error, as the Ladder does
(Blum and Hardt, "The Ladder: a reliable leaderboard for machine learning competitions", ICML 2015). Many coarse figures
together could give a fine one away. So the counts of the confusion matrix, and figures of single keywords, are rounded
more coarsely by the square root of the number of labels or keywords.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.metrics.detection import CurvePoints
from kwsbench.score.evaluate import Figure, KeywordScore, Score

_HALF_WIDTH = 1.959963984540054  # of a 95 % interval, in standard errors
_NICE = (1, 2, 5, 10)
_DECIMALS = 12
_LIKE_FRR = ("precision", "f1", "auc", "eer", "frr_at_far_1pct", "frr_at_far_01pct")


def step_for(standard_error: float) -> float:
    """Returns the smallest of 1, 2, 5 times a power of ten that is not below a standard error.

    >>> [step_for(error) for error in (0.0044, 0.002, 0.05, 3)]
    [0.005, 0.002, 0.05, 5.0]
    """
    power = 10.0 ** math.floor(math.log10(standard_error))
    return next(step for nice in _NICE if (step := round(nice * power, _DECIMALS)) >= standard_error * (1 - 1e-9))


def coarse_figure(figure: Figure, num_clips: int) -> Figure:
    """Returns a figure rounded to a step that is not below its standard error, and its interval rounded outwards."""
    step = step_for(_standard_error(figure.ci_low, figure.ci_high, num_clips))
    low, high = outwards(figure.ci_low, figure.ci_high, step)
    return replace(figure, value=_rounded(figure.value, step), ci_low=low, ci_high=high, count=None)


def coarse_score(score: Score) -> Score:
    """Returns a score that tells no more about the clips than its figures are sure of.

    The counts of the confusion matrix are rounded to a common step, so that its rows no longer add up exactly.
    """
    accuracy, spread = score.summary[0], math.sqrt(len(score.labels))
    error = spread * _standard_error(accuracy.ci_low, accuracy.ci_high, score.num_clips)
    step = max(round(score.num_clips * step_for(error)), 1)
    return replace(
        score,
        summary=tuple(coarse_figure(figure, score.num_clips) for figure in score.summary),
        keywords=tuple(_coarse_keyword(row, len(score.keywords)) for row in score.keywords),
        confusion=(np.rint(score.confusion / step) * step).astype(np.int64),
        det={row.keyword: _coarse_curve(score.det[row.keyword], row) for row in score.keywords if score.det},
    )


def outwards(low: float, high: float, step: float) -> tuple[float, float]:
    """Returns the ends of an interval in [0, 1] on multiples of a step, so that it holds what it held before."""
    if math.isnan(low) or math.isnan(high):
        return low, high
    ends = (math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step)
    return max(0.0, round(ends[0], _DECIMALS)), min(1.0, round(ends[1], _DECIMALS))


def _standard_error(low: float, high: float, num_clips: int) -> float:
    """From a 95 % interval; at least that of one clip, where all clips agree or there is no interval."""
    width = high - low
    return max(0.0 if math.isnan(width) else width / (2 * _HALF_WIDTH), 1 / max(num_clips, 1))


def _rounded(value: float, step: float) -> float:
    return value if math.isnan(value) else min(1.0, round(round(value / step) * step, _DECIMALS))


def _coarse_keyword(row: KeywordScore, num_keywords: int) -> KeywordScore:
    spread = math.sqrt(num_keywords)
    reject = step_for(spread * _standard_error(row.frr_low, row.frr_high, row.positives))
    accept = step_for(spread * _standard_error(row.far_low, row.far_high, row.negatives))
    frr, far = _rounded(row.frr, reject), _rounded(row.far, accept)
    frr_low, frr_high = outwards(row.frr_low, row.frr_high, reject)
    far_low, far_high = outwards(row.far_low, row.far_high, accept)
    others: dict[str, Any] = {name: _rounded(getattr(row, name), reject) for name in _LIKE_FRR}
    return replace(
        row,
        **others,
        frr=frr,
        frr_low=frr_low,
        frr_high=frr_high,
        far=far,
        far_low=far_low,
        far_high=far_high,
        recall=1 - frr,
        false_rejects=_count(frr, row.positives),
        false_accepts=_count(far, row.negatives),
    )


def _count(rate: float, total: int) -> int:
    return 0 if math.isnan(rate) else round(rate * total)


def _coarse_curve(curve: CurvePoints, row: KeywordScore) -> CurvePoints:
    """Rounds every point to its own step, and keeps one of those that have become equal."""
    frr = np.maximum.accumulate(_coarse_rates(curve.frr, row.positives))
    far = np.minimum.accumulate(_coarse_rates(curve.far, row.negatives))
    kept = np.ones(len(frr), dtype=np.bool_)
    kept[1:] = (np.diff(frr) != 0) | (np.diff(far) != 0)
    return CurvePoints(curve.thresholds[kept], frr[kept], far[kept])


def _coarse_rates(rates: NDArray[np.float64], total: int) -> NDArray[np.float64]:
    errors = np.maximum(np.sqrt(rates * (1 - rates) / max(total, 1)), 1 / max(total, 1))
    steps = np.array([step_for(error) for error in errors.tolist()])
    return np.asarray(np.minimum(1.0, np.round(np.rint(rates / steps) * steps, _DECIMALS)))
