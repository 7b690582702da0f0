"""Detection of one keyword by its score: DET points, EER, ROC AUC and FRR at a FAR limit, over every threshold.

The threshold rule stands in `kwsbench.metrics`: accept when score >= threshold; the thresholds are the distinct
scores and +inf. Along them the false reject rate (FRR) never falls and the false accept rate (FAR) never rises.

Sources: Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997; Hanley and
McNeil, "The meaning and use of the area under a ROC curve", Radiology 143 (1982), for AUC as the Mann-Whitney
statistic.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kwsbench.metrics.ratios import ratio


class CurvePoints(NamedTuple):
    """Points of a detection curve, by ascending threshold.

    Attributes:
        thresholds: Distinct scores and, last, +inf; shape (M,).
        frr: False reject rate at each, in [0, 1], never falling.
        far: False accept rate at each, in [0, 1], never rising.
    """

    thresholds: NDArray[np.float64]
    frr: NDArray[np.float64]
    far: NDArray[np.float64]


@dataclass(frozen=True, eq=False, init=False)
class DetectionCurve:
    """How well one keyword's score tells its clips from all others.

    Without positives or without negatives there is no curve: it has no points, and its figures are NaN.

    Attributes:
        positives: Scores of the keyword's clips, shape (P,), finite, in any order; kept ascending.
        negatives: Scores of all other clips, shape (Q,), finite, in any order; kept ascending.

    Raises:
        ValueError: A score is NaN or infinite, or the scores are no vector.

    Three clips of the keyword and four others, by hand. At threshold 0.3 none of the three is rejected and two of the
    four are accepted; at 0.6 it is one and one, at 0.7 one and none.

    >>> curve = DetectionCurve([0.7, 0.3, 0.9], [0.1, 0.2, 0.3, 0.6])
    >>> curve.thresholds().tolist()
    [0.1, 0.2, 0.3, 0.6, 0.7, 0.9, inf]
    >>> (12 * curve.false_reject_rate([0.3, 0.6, 0.7])).round(9).tolist()  # 0/3, 1/3, 1/3
    [0.0, 4.0, 4.0]
    >>> curve.false_accept_rate([0.3, 0.6, 0.7]).tolist()  # 2/4, 1/4, 0/4
    [0.5, 0.25, 0.0]
    """

    positives: NDArray[np.float64]
    negatives: NDArray[np.float64]

    def __init__(self, positives: ArrayLike, negatives: ArrayLike) -> None:
        object.__setattr__(self, "positives", _ascending(positives, "positives"))
        object.__setattr__(self, "negatives", _ascending(negatives, "negatives"))

    @property
    def is_empty(self) -> bool:
        """Whether the curve has no points, for want of positives or of negatives."""
        return self.positives.size == 0 or self.negatives.size == 0

    def false_reject_rate(self, thresholds: ArrayLike) -> NDArray[np.float64]:
        """Returns the share of positives with score < threshold, in the shape of `thresholds`."""
        return ratio(np.searchsorted(self.positives, thresholds, side="left"), self.positives.size)

    def false_accept_rate(self, thresholds: ArrayLike) -> NDArray[np.float64]:
        """Returns the share of negatives with score >= threshold, in the shape of `thresholds`."""
        rejected = np.searchsorted(self.negatives, thresholds, side="left")
        return ratio(self.negatives.size - rejected, self.negatives.size)

    def thresholds(self) -> NDArray[np.float64]:
        """Returns all distinct scores, ascending, and +inf; nothing for an empty curve."""
        if self.is_empty:
            return np.empty(0)
        scores = np.unique(np.concatenate([_distinct(self.positives), _distinct(self.negatives)]))
        return np.append(scores, np.inf)

    def auc(self) -> float:
        """Returns the area under the ROC curve, exactly: P(positive > negative) + P(positive = negative)/2.

        >>> DetectionCurve([3, 2], [1, 2]).auc()  # 3 > 1, 3 > 2, 2 > 1, and 2 = 2 counts half: 3.5/4
        0.875
        """
        return self._auc

    @cached_property
    def _auc(self) -> float:
        if self.is_empty:
            return float("nan")
        below = np.searchsorted(self.negatives, self.positives, side="left").sum()
        below_or_equal = np.searchsorted(self.negatives, self.positives, side="right").sum()
        return (int(below) + int(below_or_equal)) / (2 * self.positives.size * self.negatives.size)

    def eer(self) -> float:
        """Returns the equal error rate: where FRR = FAR, on the line between the two points around the crossing.

        Those are neighbours along the distinct thresholds: the last one with FRR < FAR and the first one with
        FRR >= FAR. There always are both, because the lowest score accepts everything and +inf nothing.

        >>> curve = DetectionCurve([0.7, 0.3, 0.9], [0.1, 0.2, 0.3, 0.6])
        >>> round(curve.eer() * 7, 9)  # (FRR 0, FAR 1/2) at 0.3, (1/3, 1/4) at 0.6: equal 6/7 of the way, at 2/7
        2.0
        """
        if self.is_empty:
            return float("nan")
        upper = self._crossing()
        lower = max(_last_below(self.positives, upper), _last_below(self.negatives, upper))
        under, over = self._excess(lower), self._excess(upper)
        rejects = _count_below(self.positives, lower)
        step = _count_below(self.positives, upper) - rejects
        # In whole numbers until the last division, so that the result is the exact one, rounded once.
        return (rejects * (over - under) - under * step) / (self.positives.size * (over - under))

    def _excess(self, threshold: float) -> int:
        """FRR - FAR, times P Q: negative below the crossing and strictly growing with the distinct thresholds."""
        rejects = _count_below(self.positives, threshold)
        accepts = self.negatives.size - _count_below(self.negatives, threshold)
        return rejects * self.negatives.size - accepts * self.positives.size

    def _crossing(self) -> float:
        """The lowest threshold with FRR >= FAR."""
        return min(self._crossing_among(self.positives), self._crossing_among(self.negatives))

    def _crossing_among(self, scores: NDArray[np.float64]) -> float:
        index = bisect_left(range(scores.size), 0, key=lambda i: self._excess(float(scores[i])))
        return float(scores[index]) if index < scores.size else float("inf")

    def frr_at_far(self, limit: float) -> float:
        """Returns the lowest FRR among the points with FAR <= `limit`.

        A FAR is at most the limit when accepted / negatives, rounded to the nearest float, is: 3 of 10 are within
        0.3, although the float 0.3 is a little less than three tenths.

        Args:
            limit: Highest FAR allowed, in [0, 1].

        Returns:
            A rate in [0, 1]; NaN for an empty curve.

        Raises:
            ValueError: The limit is outside [0, 1].

        >>> curve = DetectionCurve([0.7, 0.3, 0.9], [0.1, 0.2, 0.3, 0.6])
        >>> [round(curve.frr_at_far(limit), 3) for limit in (0, 0.25, 0.5)]  # at 0.7, at 0.6, at 0.3
        [0.333, 0.333, 0.0]
        """
        if not 0 <= limit <= 1:
            raise ValueError(f"limit: expected a rate in 0 to 1, found {limit}")
        if self.is_empty:
            return float("nan")
        size = self.negatives.size
        allowed = bisect_right(range(size + 1), limit, key=lambda accepts: accepts / size) - 1
        if allowed == size:
            return 0.0
        highest_rejected = self.negatives[size - allowed - 1]
        # The threshold is the next score above, so that whatever ties with it is rejected with it.
        return int(np.searchsorted(self.positives, highest_rejected, side="right")) / self.positives.size

    def thinned(self, max_points: int) -> CurvePoints:
        """Returns at most `max_points` points of the curve, both ends kept; all of them where they are so few.

        Points stand where either rate changes: a third of them evenly in rank, among the positives and among the
        negatives; a third evenly on the logit axis of the rank, dense in the tails, down to the single false accept,
        where a DET plot on its probit axes looks; a third around the EER, ever denser towards it. From 14 points on
        they include the two that the EER is interpolated between.

        Args:
            max_points: Largest number of points, at least 2.

        Returns:
            Thresholds, which are scores and +inf, with FRR and FAR at each; nothing for an empty curve.

        Raises:
            ValueError: `max_points` is under 2.

        >>> points = DetectionCurve([0.7, 0.3, 0.9], [0.1, 0.2, 0.3, 0.6]).thinned(2)
        >>> points.thresholds.tolist(), points.frr.tolist(), points.far.tolist()
        ([0.1, inf], [0.0, 1.0], [1.0, 0.0])
        """
        if max_points < 2:
            raise ValueError(f"max_points: expected at least 2, found {max_points}")
        thresholds = self._few_thresholds(max_points)
        return CurvePoints(thresholds, self.false_reject_rate(thresholds), self.false_accept_rate(thresholds))

    def _few_thresholds(self, max_points: int) -> NDArray[np.float64]:
        if self.is_empty or max(_num_distinct(self.positives), _num_distinct(self.negatives)) < max_points:
            thresholds = self.thresholds()
            if thresholds.size <= max_points:
                return thresholds
        few, many = sorted((self.positives, self.negatives), key=len)
        crossing, budget = self._crossing(), max_points - 2
        from_few = few[_spread_ranks(few.size, budget // 2, _count_below(few, crossing))]
        from_many = many[_spread_ranks(many.size, budget - from_few.size, _count_below(many, crossing))]
        ends = [min(few[0], many[0]), np.inf]
        return np.unique(np.concatenate([from_few, from_many, ends]))


def _ascending(scores: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.sort(np.asarray(scores, dtype=np.float64))
    if array.ndim != 1:
        raise ValueError(f"{name}: expected one score per clip, found shape {array.shape}")
    # Sorting puts -inf first, and +inf and NaN last.
    if array.size and not np.isfinite(array[[0, -1]]).all():
        raise ValueError(f"{name}: expected finite scores, found {array[0]} to {array[-1]}")
    array.flags.writeable = False
    return array


def _num_distinct(ascending: NDArray[np.float64]) -> int:
    return int(np.count_nonzero(ascending[1:] != ascending[:-1])) + bool(ascending.size)


def _distinct(ascending: NDArray[np.float64]) -> NDArray[np.float64]:
    is_first = np.ones(ascending.size, dtype=np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=is_first[1:])
    return np.compress(is_first, ascending)


def _count_below(ascending: NDArray[np.float64], threshold: float) -> int:
    return int(np.searchsorted(ascending, threshold, side="left"))


def _last_below(ascending: NDArray[np.float64], threshold: float) -> float:
    count = _count_below(ascending, threshold)
    return float(ascending[count - 1]) if count else float("-inf")


def _spread_ranks(size: int, count: int, centre: int) -> NDArray[np.int64]:
    """At most `count` ranks in 0 to `size - 1`: spread evenly, into both tails, and around `centre`."""
    if size <= count:
        return np.arange(size, dtype=np.int64)
    third = count // 3
    evenly = np.linspace(0, size - 1, count - 2 * third)
    in_tails = (size - 1) / (1 + np.exp(np.linspace(-np.log(size), np.log(size), third)))
    below = centre - np.geomspace(1, max(centre, 1), third // 2)
    above = centre - 1 + np.geomspace(1, max(size - centre, 1), third - third // 2)
    ranks: NDArray[np.float64] = np.concatenate([evenly, in_tails, below, above])
    return np.rint(np.clip(ranks, 0, size - 1)).astype(np.int64)
