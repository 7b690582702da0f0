"""Ranks, and bands of entries that cannot be told apart.

The procedure, once. Entries are put in order of their figure as the board shows it; of equal ones the one that was
handed in first is ahead, and then the one whose name comes first. Every pair of ranked entries is compared on the same
clips by a two-sided paired test: with accuracy the exact McNemar test, with any other metric a sign-flip test of the
summed difference (below). The p-values of all pairs are corrected together by Holm's step-down method (Holm, Scand. J.
Statist. 6 (1979), 65-70). The first entry leads band 1. Going down, an entry joins the band as long as its corrected
p-value against the band's leader is at least 0.05; the first that is below it leads the next band.

All pairs are corrected for, not only those that the walk looks at: a leader is who it is because of the same clips, so
which pairs are looked at is decided by the results. This way the probability that any two equally good entries end up
in different bands because of chance is at most 5 % (where clips are independent), whoever leads.

The sign-flip test: where two entries are equally good, the difference of their costs on a clip (`clip_costs`) is as
likely of one sign as of the other. The sum of the differences then has mean 0 and the sum of squared differences as its
variance, and is taken as normal, after one clip's largest cost has been taken off it, which keeps the test on the safe
side where few clips differ. With accuracy it would be McNemar's test with a continuity correction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from kwsbench.leaderboard.clip_costs import clip_costs
from kwsbench.leaderboard.rule_tables import Ranking
from kwsbench.predictions import Truth
from kwsbench.score.compare import SIGNIFICANCE

Pairs = NDArray[np.float64]
"""One number for each pair of entries, shape (pairs,)."""


@dataclass(frozen=True, eq=False)
class Contender:
    """An entry that takes part in the ranking.

    Attributes:
        key: Team and entry.
        value: Its figure as the board shows it.
        submitted: When it was handed in.
        predicted: Codes of the predicted labels on the clips that are compared, shape (clips,).
    """

    key: str
    value: float
    submitted: datetime
    predicted: NDArray[np.integer]


@dataclass(frozen=True)
class Place:
    """Where an entry stands.

    Attributes:
        rank: From 1.
        band: From 1; entries of one band cannot be told apart from its leader.
    """

    rank: int
    band: int


def places(truth: Truth, contenders: Sequence[Contender], ranking: Ranking) -> dict[str, Place]:
    """Ranks entries on the clips of `truth`.

    Args:
        truth: What the clips are.
        contenders: All entries that are ranked, in any order; their figures are numbers.
        ranking: Metric and rule for ties.

    Returns:
        The place of each entry, best first.
    """
    ordered = in_order(contenders, ranking)
    if not ordered:
        return {}
    predicted = np.stack([contender.predicted for contender in ordered])
    bands = bands_of(holm(paired_p_values(truth, predicted, ranking)), len(ordered))
    ranks = _ranks([contender.value for contender in ordered], ranking)
    return {one.key: Place(rank, band) for one, rank, band in zip(ordered, ranks, bands, strict=True)}


def in_order(contenders: Sequence[Contender], ranking: Ranking) -> list[Contender]:
    """Returns entries best first; of equal figures the earlier one first, then by name."""
    sign = -1 if ranking.higher_is_better else 1
    return sorted(contenders, key=lambda one: (sign * one.value, one.submitted, one.key))


def paired_p_values(truth: Truth, predicted: NDArray[np.integer], ranking: Ranking) -> Pairs:
    """Returns the p-value of each pair of entries.

    Args:
        truth: What the clips are.
        predicted: Codes of the predicted labels, shape (entries, clips).
        ranking: The metric.

    Returns:
        Two-sided p-values in (0, 1]: of the pairs (0, 1), (0, 2), ..., (1, 2), ..., shape (pairs,).
    """
    if ranking.metric == "accuracy":
        return _mcnemar(predicted == truth.truth)
    return _sign_flip(clip_costs(truth, predicted, ranking.metric))


def _mcnemar(correct: NDArray[np.bool_]) -> Pairs:
    """Exact: twice the smaller tail of fair coins, as many as clips that only one of the two gets right."""
    if len(correct) < 2:
        return np.zeros(0)
    right = correct.astype(np.float32)  # sums of up to 2**24 clips are exact
    upper = np.triu_indices(len(right), k=1)
    both, counts = (right @ right.T)[upper], right.sum(axis=1)
    only_first, only_second = counts[upper[0]] - both, counts[upper[1]] - both
    fewer, total = np.minimum(only_first, only_second).astype(np.int64), (only_first + only_second).astype(np.int64)
    return np.asarray(np.minimum(1.0, 2 * _tails(fewer, total)))


def _tails(heads: NDArray[np.int64], coins: NDArray[np.int64]) -> Pairs:
    """Probability of so many heads or fewer among fair coins, for up to half of them; shape as given.

    Looked up in a table of all tails of each number of coins, because SciPy takes longer to import than this takes.
    """
    present = np.flatnonzero(np.bincount(coins))
    log_factorials = np.cumsum(np.log(np.maximum(np.arange(present[-1] + 1), 1)))
    starts, tails, size = np.zeros(present[-1] + 1, dtype=np.int64), [], 0
    for number in present.tolist():
        few = np.arange(number // 2 + 1)
        ways = log_factorials[number] - log_factorials[few] - log_factorials[number - few]
        tails.append(np.cumsum(np.exp(ways - number * np.log(2))))
        starts[number] = size
        size += len(few)
    return np.asarray(np.concatenate(tails)[starts[coins] + heads])


def _sign_flip(costs: NDArray[np.float64]) -> Pairs:
    from scipy.special import erfc

    first, second = np.triu_indices(len(costs), k=1)
    totals, squares = costs.sum(axis=1), (costs**2).sum(axis=1)
    gap = np.maximum(np.abs(totals[first] - totals[second]) - costs.max(initial=0), 0)
    variance = squares[first] + squares[second] - 2 * (costs @ costs.T)[first, second]
    normal = np.zeros_like(gap)
    np.divide(gap, np.sqrt(np.maximum(variance, 0)), out=normal, where=(gap > 0) & (variance > 0))
    return np.asarray(erfc(normal / np.sqrt(2)))


def holm(p_values: Pairs) -> Pairs:
    """Corrects p-values together, by Holm's step-down method.

    Args:
        p_values: Of all comparisons, shape (comparisons,).

    Returns:
        Corrected p-values in the same order, none under what it was and none over 1.

    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1)
    return corrected


def bands_of(corrected: Pairs, num_entries: int) -> list[int]:
    """Returns the band of each entry, best first.

    Args:
        corrected: Corrected p-values of all pairs, as `paired_p_values` orders them.
        num_entries: How many entries.

    Four entries, of which the third differs from the first and the fourth not from the third:

    >>> bands_of(np.array([0.2, 0.01, 0.01, 0.3, 0.01, 0.9]), num_entries=4)
    [1, 1, 2, 2]
    """
    bands, leader = [1] * num_entries, 0
    for number in range(1, num_entries):
        pair = leader * (2 * num_entries - leader - 1) // 2 + number - leader - 1
        splits = bool(corrected[pair] < SIGNIFICANCE)
        leader = number if splits else leader
        bands[number] = bands[number - 1] + splits
    return bands


def _ranks(values: Sequence[float], ranking: Ranking) -> list[int]:
    ranks = list(range(1, len(values) + 1))
    if ranking.ties == "earlier":
        return ranks
    for number in range(1, len(values)):
        if values[number] == values[number - 1]:
            ranks[number] = ranks[number - 1]
    return ranks
