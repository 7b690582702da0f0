"""Bootstrap of AUC and EER over clusters of clips, fast enough for millions of scores.

Sorting every replicate anew would take minutes. Instead the scores of a keyword are binned once between at most
`MAX_BINS` thresholds of its curve; weights times the histograms of all clusters give the histograms of every
replicate, and cumulative sums of those its curve. With no more distinct scores than bins that is exact. Otherwise
the figures of every replicate are shifted by what binning does to the figure of the data itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kwsbench.metrics.codes import check_equal_length, checked_codes
from kwsbench.metrics.detection import DetectionCurve
from kwsbench.metrics.ratios import ratio

MAX_BINS = 512
"""Most bins that the scores of one keyword are sorted into."""

_EXACT_IN_FLOAT32 = 2**24


@dataclass(frozen=True, eq=False)
class CurveFigures:
    """AUC and EER of one keyword in R replicates.

    Attributes:
        auc: Area under the ROC curve, shape (R,), in [0, 1]; NaN where a replicate has no positives or no negatives.
        eer: Equal error rate, shape (R,), in [0, 1]; NaN as above.
    """

    auc: NDArray[np.float64]
    eer: NDArray[np.float64]


def bootstrap_curve(
    curve: DetectionCurve, scores: ArrayLike, is_positive: ArrayLike, clusters: ArrayLike, weights: NDArray[np.float64]
) -> CurveFigures:
    """Returns AUC and EER of one keyword in every bootstrap replicate.

    Args:
        curve: The keyword's curve from the same scores; its exact AUC and EER are what unit weights give.
        scores: The keyword's score of every clip, shape (N,).
        is_positive: Whether the clip is of the keyword, shape (N,).
        clusters: Cluster codes, shape (N,), each in 0 to C - 1. Time and memory grow with C:
            `kwsbench.metrics.intervals.deal_clusters` keeps it low.
        weights: How often each replicate has each cluster, shape (R, C);
            see `kwsbench.metrics.intervals.resample_weights`.

    Returns:
        The figures, shape (R,) each.

    Raises:
        ValueError: The lengths differ, a code is out of range, or the curve is not of these scores.

    Two clusters: one with scores 3 against 1, one with 2 against 2. Both once: pairs 3 > 1, 3 > 2, 2 > 1, 2 = 2.
    The first one twice: every positive is over every negative. The second one twice: all pairs tie.

    >>> scores, is_positive = np.array([3.0, 1.0, 2.0, 2.0]), np.array([True, False, True, False])
    >>> curve = DetectionCurve(scores[is_positive], scores[~is_positive])
    >>> weights = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]])
    >>> figures = bootstrap_curve(curve, scores, is_positive, np.array([0, 0, 1, 1]), weights)
    >>> figures.auc.tolist(), figures.eer.round(6).tolist()
    ([0.875, 1.0, 0.5], [0.25, 0.0, 0.5])
    """
    values, positive = np.asarray(scores, dtype=np.float64), np.asarray(is_positive, dtype=np.bool_)
    blocks = checked_codes(clusters, weights.shape[1], "clusters")
    check_equal_length(scores=values, is_positive=positive, clusters=blocks)
    num_positives = int(np.count_nonzero(positive))
    if (num_positives, positive.size - num_positives) != (curve.positives.size, curve.negatives.size):
        raise ValueError("curve: expected the curve of these very scores, found other numbers of clips")
    if curve.is_empty:
        undefined = np.full(weights.shape[0], np.nan)
        return CurveFigures(undefined, undefined)
    edges = curve.thinned(MAX_BINS + 1).thresholds[:-1]
    histograms = _histograms(edges, values, positive, blocks, weights.shape[1])
    binned = _figures(histograms.sum(axis=0, keepdims=True).astype(np.float64))
    replicates = _figures(_resampled(weights, histograms))
    return CurveFigures(
        auc=_shifted(replicates.auc, float(binned.auc[0]), curve.auc()),
        eer=_shifted(replicates.eer, float(binned.eer[0]), curve.eer()),
    )


def _histograms(
    edges: NDArray[np.float64],
    scores: NDArray[np.float64],
    is_positive: NDArray[np.bool_],
    clusters: NDArray[np.int64],
    num_clusters: int,
) -> NDArray[np.int64]:
    """Counts clips by cluster, negative or positive, and bin: shape (C, 2, G); a bin begins with its edge."""
    num_bins = edges.size
    cells = clusters * 2
    cells += is_positive
    cells *= num_bins
    cells += np.searchsorted(edges, scores, side="right")
    cells -= 1
    counts = np.bincount(cells, minlength=num_clusters * 2 * num_bins).astype(np.int64, copy=False)
    return counts.reshape(num_clusters, 2, num_bins)


def _resampled(weights: NDArray[np.float64], histograms: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums the clusters' histograms with the weights of each replicate: shape (R, 2, G)."""
    num_clusters, *shape = histograms.shape
    largest = np.max(weights @ histograms.sum(axis=(1, 2)), initial=0)
    number = np.float32 if largest <= _EXACT_IN_FLOAT32 else np.float64
    cells: NDArray[np.float32 | np.float64] = weights.astype(number) @ histograms.reshape(num_clusters, -1).astype(
        number
    )
    return cells.astype(np.float64).reshape(-1, *shape)


def _figures(histograms: NDArray[np.float64]) -> CurveFigures:
    """Reads AUC and EER off histograms of shape (R, 2, G)."""
    rejects, passed = _cumulative(histograms[:, 1]), _cumulative(histograms[:, 0])
    num_positives, num_negatives = rejects[:, -1], passed[:, -1]
    pairs = num_positives * num_negatives
    # Trapezoids: a negative loses to the positives of higher bins, and to half of those in its own.
    not_above = np.einsum("rg,rg->r", histograms[:, 0], rejects[:, :-1] + rejects[:, 1:])
    excess = rejects * num_negatives[:, np.newaxis]
    excess += passed * num_positives[:, np.newaxis]
    excess -= pairs[:, np.newaxis]
    return CurveFigures(auc=ratio(2 * pairs - not_above, 2 * pairs), eer=_crossing(rejects, excess))


def _cumulative(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Counts below each edge and below +inf: shape (R, G) to (R, G + 1)."""
    below = np.zeros((counts.shape[0], counts.shape[1] + 1))
    np.cumsum(counts, axis=1, out=below[:, 1:])
    return below


def _crossing(rejects: NDArray[np.float64], excess: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolates FRR to where FRR - FAR, here times P Q, is 0; NaN without pairs, where it is 0 all along."""
    rows = np.arange(len(excess))
    after = np.maximum(np.argmax(excess >= 0, axis=1), 1)
    under, over = excess[rows, after - 1], excess[rows, after]
    share = ratio(-under, over - under)
    interpolated = rejects[rows, after - 1] + share * (rejects[rows, after] - rejects[rows, after - 1])
    return ratio(interpolated, rejects[:, -1])


def _shifted(replicates: NDArray[np.float64], binned: float, exact: float) -> NDArray[np.float64]:
    return np.clip(replicates - binned + exact, 0, 1)
