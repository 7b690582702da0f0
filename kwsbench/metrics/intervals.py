"""Confidence intervals: Wilson for one proportion, and the bootstrap over clusters of clips for everything else.

Clips of one speaker resemble each other, so speakers are resampled, not clips: the cluster bootstrap of Field and
Welsh, "Bootstrapping clustered data", J. R. Statist. Soc. B 69 (2007). A replicate is a weight per cluster: how often
the cluster was drawn.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kwsbench.metrics.ratios import ratio


def wilson(
    count: ArrayLike, total: ArrayLike, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the Wilson score interval of a proportion (Wilson, JASA 22 (1927), 209-212).

    Args:
        count: Successes, of any shape, each in 0 to `total`.
        total: Trials, in a shape that broadcasts; the interval of 0 trials is NaN.
        confidence: Nominal coverage, in (0, 1).

    Returns:
        Low and high ends in [0, 1], in the broadcast shape; the low one is exactly 0 for no success and the high
        one exactly 1 for nothing but successes.

    Raises:
        ValueError: A count is outside 0 to its total, or the confidence outside (0, 1).

    8 of 10 with z = 1.96: centre (0.8 + 0.1921)/1.3841 = 0.7167, half width 1.4160 sqrt(0.0160 + 0.0096) = 0.2266.

    >>> low, high = wilson(8, 10)
    >>> round(float(low), 4), round(float(high), 4)
    (0.4902, 0.9433)
    """
    successes, trials = np.broadcast_arrays(np.asarray(count, np.float64), np.asarray(total, np.float64))
    if not ((successes >= 0) & (successes <= trials)).all():
        raise ValueError("count: expected 0 <= count <= total everywhere")
    z_squared = _two_sided_z(confidence) ** 2
    point = ratio(successes, trials)
    scale = 1 + ratio(z_squared, trials)
    centre = (point + ratio(z_squared, 2 * trials)) / scale
    half = np.sqrt(z_squared * (ratio(point * (1 - point), trials) + ratio(z_squared, 4 * trials**2))) / scale
    # Clipping at the point makes the ends exact where all clips agree, and keeps it inside after rounding.
    return np.clip(centre - half, 0, point), np.clip(centre + half, point, 1)


def resample_weights(num_clusters: int, replicates: int, seed: int) -> NDArray[np.float64]:
    """Draws as many clusters as there are, with replacement, once per replicate.

    A single cluster has nothing to resample: its weights are all 1 and any interval from them has no width.

    Args:
        num_clusters: C.
        replicates: R.
        seed: Seed of the PCG64 generator; equal seeds give equal weights.

    Returns:
        How often each cluster was drawn, shape (R, C); each row adds up to C.

    >>> weights = resample_weights(num_clusters=4, replicates=3, seed=1)
    >>> weights.shape, weights.sum(axis=1).tolist()
    ((3, 4), [4.0, 4.0, 4.0])
    """
    draws = _generator(seed).integers(0, max(num_clusters, 1), size=(replicates, num_clusters))
    draws += np.arange(replicates)[:, np.newaxis] * num_clusters
    counts = np.bincount(draws.ravel(), minlength=replicates * num_clusters)
    return counts.reshape(replicates, num_clusters).astype(np.float64)


def percentile_interval(samples: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """Returns the percentile interval of bootstrap replicates (Efron and Tibshirani 1993, chapter 13).

    Args:
        samples: The figure in each replicate, shape (R,); those where it is undefined (NaN) are left out.
        confidence: Nominal coverage, in (0, 1).

    Returns:
        Low and high ends; NaN where no replicate defines the figure.

    Raises:
        ValueError: The confidence is outside (0, 1).

    The middle 50 % of 0, 1, 2, 3, 4 lies between the first and the third quartile:

    >>> percentile_interval([4, 0, np.nan, 2, 1, 3], confidence=0.5)
    (1.0, 3.0)
    """
    _check_confidence(confidence)
    values = np.asarray(samples, dtype=np.float64)
    values = values[~np.isnan(values)]
    if values.size == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def deal_clusters(speaker_codes: ArrayLike, max_clusters: int, seed: int) -> tuple[NDArray[np.int64], int]:
    """Makes clusters of clips: one per speaker, and one per clip that has no known speaker.

    Where those are more than `max_clusters`, they are dealt at random into that many groups of equal number, give or
    take one, and the groups are the clusters. Speakers are independent, so groups of whole speakers are too, and the
    variance between groups estimates the same variance with less work.

    Args:
        speaker_codes: One integer per clip, shape (N,), equal for clips of one speaker; -1 = no known speaker.
        max_clusters: Largest number of clusters, at least 1.
        seed: Seed of the PCG64 generator that deals.

    Returns:
        The cluster code of every clip, shape (N,), and the number of clusters. The codes run from 0; speakers come
        in order of their code, then clips without a speaker in the order given, so callers who want equal results
        from reordered files sort their clips first.

    Raises:
        ValueError: `max_clusters` is under 1, or the codes are no vector of integers from -1 up.

    >>> deal_clusters([7, -1, 3, 7, -1], max_clusters=10, seed=0)
    (array([1, 2, 0, 1, 3]), 4)
    """
    if max_clusters < 1:
        raise ValueError(f"max_clusters: expected at least 1, found {max_clusters}")
    clusters, num_clusters = _cluster_per_speaker(_speakers(speaker_codes))
    if num_clusters <= max_clusters:
        return clusters, num_clusters
    groups = _generator(seed).permutation(num_clusters) % max_clusters
    return groups[clusters], max_clusters


def _speakers(speaker_codes: ArrayLike) -> NDArray[np.int64]:
    codes = np.asarray(speaker_codes)
    if codes.ndim != 1 or (codes.size and (codes.dtype.kind not in "iu" or codes.min() < -1)):
        raise ValueError("speaker_codes: expected one integer from -1 up per clip")
    return codes.astype(np.int64, copy=False)


def _cluster_per_speaker(speakers: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    known = speakers >= 0
    distinct, inverse = np.unique(speakers[known], return_inverse=True)
    num_unknown = speakers.size - inverse.size
    clusters = np.empty(speakers.size, dtype=np.int64)
    clusters[known] = inverse
    clusters[~known] = distinct.size + np.arange(num_unknown)
    return clusters, distinct.size + num_unknown


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _two_sided_z(confidence: float) -> float:
    _check_confidence(confidence)
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: expected a number between 0 and 1, found {confidence}")
