"""Two models on the same clips: is one better, and by how much.

Direction, once: a difference is the accuracy of B minus that of A, so positive means that B is better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kwsbench.metrics.codes import check_equal_length, checked_codes
from kwsbench.metrics.intervals import percentile_interval, resample_weights
from kwsbench.metrics.ratios import ratio


@dataclass(frozen=True)
class PairedTable:
    """How many clips both models, one of them, or neither gets right.

    Attributes:
        both: Clips that both get right.
        only_a: Clips that A gets right and B does not.
        only_b: Clips that B gets right and A does not.
        neither: Clips that both get wrong.
    """

    both: int
    only_a: int
    only_b: int
    neither: int


@dataclass(frozen=True)
class AccuracyDifference:
    """Accuracy of B minus accuracy of A, with its interval.

    Attributes:
        difference: In [-1, 1], positive where B is better; NaN without clips.
        low: Lower end of the interval; NaN with fewer than two clusters.
        high: Upper end of the interval; NaN likewise.
    """

    difference: float
    low: float
    high: float


def paired_table(correct_a: ArrayLike, correct_b: ArrayLike) -> PairedTable:
    """Counts clips by which of the two models gets them right.

    Args:
        correct_a: Whether A is right, shape (N,).
        correct_b: Whether B is right on the same clips, shape (N,).

    Returns:
        The four counts; they add up to N.

    Raises:
        ValueError: The lengths differ.

    >>> paired_table([True, True, False, True], [True, False, False, True])
    PairedTable(both=2, only_a=1, only_b=0, neither=1)
    """
    right_a, right_b = _paired(correct_a, correct_b)
    both = int(np.count_nonzero(right_a & right_b))
    only_a = int(np.count_nonzero(right_a)) - both
    only_b = int(np.count_nonzero(right_b)) - both
    return PairedTable(both, only_a, only_b, right_a.size - both - only_a - only_b)


def mcnemar_exact(only_a_correct: int, only_b_correct: int) -> float:
    """Returns the two-sided p-value of McNemar's exact test (McNemar, Psychometrika 12 (1947), 153-157).

    Where the models are equally good, a clip that only one gets right is as likely A's as B's. The test takes clips
    as independent; with many clips per speaker the interval of `difference_interval` is the safer answer.

    Args:
        only_a_correct: Number of clips that only A gets right.
        only_b_correct: Number of clips that only B gets right.

    Returns:
        Probability, in (0, 1], of a split at least as uneven by chance; 1 where there is no such clip. The order of
        the models does not matter.

    Raises:
        ValueError: A count is negative.

    1 against 5: both tails of six fair coins, 2 (1 + 6)/64.

    >>> mcnemar_exact(1, 5)
    0.21875
    """
    if min(only_a_correct, only_b_correct) < 0:
        raise ValueError(f"expected counts from 0 up, found {only_a_correct} and {only_b_correct}")
    if only_a_correct + only_b_correct == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(only_a_correct, only_a_correct + only_b_correct, 0.5).pvalue)


def difference_interval(  # noqa: PLR0913 -- two models, the clusters, and the two settings of the bootstrap
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    clusters: ArrayLike,
    num_clusters: int,
    *,
    replicates: int,
    seed: int,
) -> AccuracyDifference:
    """Returns how much more accurate B is than A, with the 95 % interval of a bootstrap over clusters.

    Both models are scored on the same replicates, so what makes a speaker hard for both cancels out.

    Args:
        correct_a: Whether A is right, shape (N,).
        correct_b: Whether B is right on the same clips, shape (N,).
        clusters: Cluster codes, shape (N,), each in 0 to `num_clusters - 1`;
            see `kwsbench.metrics.intervals.deal_clusters`.
        num_clusters: C; clusters without clips are not drawn.
        replicates: Number of bootstrap replicates.
        seed: Seed of the bootstrap; equal seeds give equal intervals.

    Returns:
        Accuracy of B minus accuracy of A, and the ends of its interval.

    Raises:
        ValueError: The lengths differ or a cluster code is out of range.

    B gets one clip of four right that A misses, and all else is equal:

    >>> difference_interval([1, 0, 0, 1], [1, 1, 0, 1], [0, 0, 1, 1], num_clusters=2, replicates=1000, seed=0)
    AccuracyDifference(difference=0.25, low=0.0, high=0.5)
    """
    right_a, right_b = _paired(correct_a, correct_b)
    blocks = checked_codes(clusters, num_clusters, "clusters")
    check_equal_length(correct_a=right_a, clusters=blocks)
    sizes = np.bincount(blocks, minlength=num_clusters)
    gains = np.bincount(blocks[right_b], minlength=num_clusters) - np.bincount(blocks[right_a], minlength=num_clusters)
    sizes, gains = sizes[sizes > 0], gains[sizes > 0]
    difference = float(ratio(gains.sum(), sizes.sum()))
    if sizes.size < 2:
        return AccuracyDifference(difference, float("nan"), float("nan"))
    weights = resample_weights(sizes.size, replicates, seed)
    low, high = percentile_interval(ratio(weights @ gains, weights @ sizes))
    return AccuracyDifference(difference, low, high)


def _paired(correct_a: ArrayLike, correct_b: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    right_a, right_b = np.asarray(correct_a, dtype=np.bool_), np.asarray(correct_b, dtype=np.bool_)
    check_equal_length(correct_a=right_a, correct_b=right_b)
    return right_a, right_b
