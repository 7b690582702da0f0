"""Confusion matrices and every rate that follows from predicted labels alone.

Conventions: see `kwsbench.metrics`. Precision, recall and F1 are those of scikit-learn, except that a division by
zero is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kwsbench.metrics.codes import check_equal_length, checked_codes
from kwsbench.metrics.ratios import mean_where_defined, ratio

Counts = NDArray[np.int64 | np.float64]
"""Numbers of clips: integers, or floats where clips carry bootstrap weights."""


def confusion_matrix(truth: ArrayLike, predicted: ArrayLike, num_labels: int) -> NDArray[np.int64]:
    """Counts clips by truth and prediction.

    Args:
        truth: Label codes, shape (N,), each in 0 to `num_labels - 1`.
        predicted: Label codes, shape (N,), in the same range.
        num_labels: L, the number of labels.

    Returns:
        Counts of shape (L, L): rows truth, columns prediction.

    Raises:
        ValueError: The lengths differ or a code is out of range.

    >>> confusion_matrix([0, 0, 1, 2], [0, 2, 1, 1], num_labels=3).tolist()
    [[1, 0, 1], [0, 1, 0], [0, 1, 0]]
    """
    one_cluster = np.zeros(np.shape(truth), dtype=np.int64)
    return confusion_by_cluster(truth, predicted, one_cluster, num_labels, 1).reshape(num_labels, num_labels)


def confusion_by_cluster(
    truth: ArrayLike, predicted: ArrayLike, clusters: ArrayLike, num_labels: int, num_clusters: int
) -> NDArray[np.int64]:
    """Counts clips by cluster, truth and prediction.

    Weights of shape (R, C) times these counts, `np.tensordot(weights, counts, 1)`, are the matrices of R bootstrap
    replicates, which `Confusion` scores all at once.

    Args:
        truth: Label codes, shape (N,), each in 0 to `num_labels - 1`.
        predicted: Label codes, shape (N,), in the same range.
        clusters: Cluster codes, shape (N,), each in 0 to `num_clusters - 1`.
        num_labels: L, the number of labels.
        num_clusters: C, the number of clusters.

    Returns:
        Counts of shape (C, L, L): cluster, truth, prediction.

    Raises:
        ValueError: The lengths differ or a code is out of range.

    >>> confusion_by_cluster([0, 0, 1], [0, 1, 1], [1, 0, 1], num_labels=2, num_clusters=2).tolist()
    [[[0, 1], [0, 0]], [[1, 0], [0, 1]]]
    """
    rows = checked_codes(truth, num_labels, "truth")
    columns = checked_codes(predicted, num_labels, "predicted")
    blocks = checked_codes(clusters, num_clusters, "clusters")
    check_equal_length(truth=rows, predicted=columns, clusters=blocks)
    cells = (blocks * num_labels + rows) * num_labels + columns
    counts = np.bincount(cells, minlength=num_clusters * num_labels**2).astype(np.int64, copy=False)
    return counts.reshape(num_clusters, num_labels, num_labels)


@dataclass(frozen=True, eq=False)
class Confusion:
    """Confusion counts and the rates that follow from them.

    Counts may have any number of leading axes; every figure then has them too, so that the same code scores one
    matrix and 1,000 bootstrap replicates. Figures "per keyword" have one more axis at the end, of length K.

    Attributes:
        counts: Numbers of clips, shape (..., L, L): rows truth, columns prediction.
        num_keywords: K; codes 0 to K - 1 are keywords, the rest is background.

    Raises:
        ValueError: The last two axes differ, or there are fewer labels than keywords.

    Two keywords, `yes` and `no`, and one background label; 20 clips counted by hand:

    >>> one = Confusion(np.array([[6, 1, 1], [0, 3, 1], [2, 0, 6]]), num_keywords=2)
    >>> int(one.correct), int(one.total), float(one.accuracy)  # 6 + 3 + 6 of 20
    (15, 20, 0.75)
    >>> float(one.balanced_accuracy)  # (6/8 + 3/4 + 6/8) / 3
    0.75
    >>> int(one.keyword_rejects), int(one.keyword_total), float(one.frr)  # 1 + 1 + 0 + 1 of 8 + 4
    (3, 12, 0.25)
    >>> int(one.background_accepts), int(one.background_total), float(one.far)  # 2 + 0 of 8
    (2, 8, 0.25)
    >>> int(one.confusions), round(float(one.confusion_rate), 6)  # `yes` taken for `no` once: 1/12
    (1, 0.083333)
    >>> one.positives.tolist(), one.false_rejects.tolist(), one.keyword_frr.tolist()  # 2/8, 1/4
    ([8, 4], [2, 1], [0.25, 0.25])
    >>> one.negatives.tolist(), one.false_accepts.tolist(), one.keyword_far.round(6).tolist()  # 2/12, 1/16
    ([12, 16], [2, 1], [0.166667, 0.0625])
    >>> one.precision.tolist(), one.recall.tolist(), one.f1.tolist()  # 6/8, 3/4; 12/16, 6/8
    ([0.75, 0.75], [0.75, 0.75], [0.75, 0.75])
    >>> float(one.macro_frr), round(float(one.macro_far), 6), float(one.macro_f1)  # (1/6 + 1/16) / 2
    (0.25, 0.114583, 0.75)
    """

    counts: Counts
    num_keywords: int

    def __post_init__(self) -> None:
        shape = np.shape(self.counts)
        if len(shape) < 2 or shape[-1] != shape[-2]:
            raise ValueError(f"counts: expected shape (..., L, L), found {shape}")
        if not 0 <= self.num_keywords <= shape[-1]:
            raise ValueError(f"num_keywords: expected 0 to {shape[-1]}, found {self.num_keywords}")

    @property
    def _hits(self) -> Counts:
        return np.asarray(np.diagonal(self.counts, axis1=-2, axis2=-1))

    @property
    def _keyword_hits(self) -> Counts:
        return self._hits[..., : self.num_keywords]

    @property
    def total(self) -> Counts:
        """Number of clips."""
        return np.asarray(self.counts.sum(axis=(-2, -1)))

    @property
    def correct(self) -> Counts:
        """Number of clips with the right label."""
        return np.asarray(self._hits.sum(axis=-1))

    @property
    def keyword_total(self) -> Counts:
        """Number of keyword clips."""
        return np.asarray(self.positives.sum(axis=-1))

    @property
    def keyword_rejects(self) -> Counts:
        """Number of keyword clips that got another label, be it background or another keyword."""
        return np.asarray(self.false_rejects.sum(axis=-1))

    @property
    def background_total(self) -> Counts:
        """Number of background clips."""
        return np.asarray(self.counts[..., self.num_keywords :, :].sum(axis=(-2, -1)))

    @property
    def background_accepts(self) -> Counts:
        """Number of background clips that were taken for a keyword."""
        return np.asarray(self.counts[..., self.num_keywords :, : self.num_keywords].sum(axis=(-2, -1)))

    @property
    def confusions(self) -> Counts:
        """Number of keyword clips that were taken for another keyword."""
        among_keywords = self.counts[..., : self.num_keywords, : self.num_keywords].sum(axis=(-2, -1))
        return np.asarray(among_keywords - self._keyword_hits.sum(axis=-1))

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Share of clips with the right label."""
        return ratio(self.correct, self.total)

    @property
    def balanced_accuracy(self) -> NDArray[np.float64]:
        """Mean recall over the labels that occur."""
        return mean_where_defined(ratio(self._hits, self.counts.sum(axis=-1)))

    @property
    def frr(self) -> NDArray[np.float64]:
        """Overall false reject rate: keyword clips that got another label."""
        return ratio(self.keyword_rejects, self.keyword_total)

    @property
    def far(self) -> NDArray[np.float64]:
        """Overall false accept rate: background clips that were taken for a keyword."""
        return ratio(self.background_accepts, self.background_total)

    @property
    def confusion_rate(self) -> NDArray[np.float64]:
        """Keyword clips that were taken for another keyword, per keyword clip."""
        return ratio(self.confusions, self.keyword_total)

    @property
    def macro_frr(self) -> NDArray[np.float64]:
        """Mean of the keywords' false reject rates."""
        return mean_where_defined(self.keyword_frr)

    @property
    def macro_far(self) -> NDArray[np.float64]:
        """Mean of the keywords' false accept rates."""
        return mean_where_defined(self.keyword_far)

    @property
    def macro_f1(self) -> NDArray[np.float64]:
        """Mean of the keywords' F1."""
        return mean_where_defined(self.f1)

    @property
    def positives(self) -> Counts:
        """Per keyword: number of its clips."""
        return np.asarray(self.counts[..., : self.num_keywords, :].sum(axis=-1))

    @property
    def negatives(self) -> Counts:
        """Per keyword: number of clips of all other labels."""
        return np.asarray(self.total[..., np.newaxis] - self.positives)

    @property
    def false_rejects(self) -> Counts:
        """Per keyword: number of its clips that got another label."""
        return np.asarray(self.positives - self._keyword_hits)

    @property
    def false_accepts(self) -> Counts:
        """Per keyword: number of clips of other labels that were taken for it."""
        return np.asarray(self._predicted - self._keyword_hits)

    @property
    def _predicted(self) -> Counts:
        return np.asarray(self.counts[..., : self.num_keywords].sum(axis=-2))

    @property
    def keyword_frr(self) -> NDArray[np.float64]:
        """Per keyword: false reject rate."""
        return ratio(self.false_rejects, self.positives)

    @property
    def keyword_far(self) -> NDArray[np.float64]:
        """Per keyword: false accept rate."""
        return ratio(self.false_accepts, self.negatives)

    @property
    def precision(self) -> NDArray[np.float64]:
        """Per keyword: share of right ones among the clips taken for it; undefined where there are none."""
        return ratio(self._keyword_hits, self._predicted)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Per keyword: share of its clips that got its label."""
        return ratio(self._keyword_hits, self.positives)

    @property
    def f1(self) -> NDArray[np.float64]:
        """Per keyword: 2 TP/(2 TP + FP + FN).

        It is 0, not undefined, for a keyword that occurs and is never predicted, or the other way round: a model
        that never says `yes` does not get `yes` left out of its mean.
        """
        return ratio(2 * self._keyword_hits, self.positives + self._predicted)
