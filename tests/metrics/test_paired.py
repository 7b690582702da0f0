"""Oracles: exact binomial sums with fractions for McNemar, and replicates drawn clip by clip for the interval."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kwsbench.metrics.intervals import resample_weights
from kwsbench.metrics.paired import PairedTable, difference_interval, mcnemar_exact, paired_table

PROPERTY = settings(deadline=None, derandomize=True, max_examples=150, database=None)
CLIPS = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 5)), max_size=40)


def slow_mcnemar(only_a: int, only_b: int) -> Fraction:
    """Chance of all splits of fair coins that are no likelier than the one found."""
    coins = only_a + only_b
    ways = [math.comb(coins, heads) for heads in range(coins + 1)]
    return Fraction(sum(way for way in ways if way <= ways[only_a]), 2**coins)


@PROPERTY
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_sum(only_a: int, only_b: int) -> None:
    """The p-value is the exact binomial sum, and the order of the models does not matter."""
    assert mcnemar_exact(only_a, only_b) == pytest.approx(float(slow_mcnemar(only_a, only_b)), rel=1e-9)
    assert mcnemar_exact(only_a, only_b) == pytest.approx(mcnemar_exact(only_b, only_a), rel=1e-12)
    assert 0 < mcnemar_exact(only_a, only_b) <= 1


@pytest.mark.parametrize("split", [(0, 0), (1, 1), (1, 0), (500, 500)])
def test_mcnemar_of_an_even_split_is_one(split: tuple[int, int]) -> None:
    """Without discordant clips, and with as even a split as can be, the p-value is 1."""
    assert mcnemar_exact(*split) == pytest.approx(1)


def test_mcnemar_wants_counts() -> None:
    """A negative count is an error."""
    with pytest.raises(ValueError, match="counts"):
        mcnemar_exact(-1, 3)


@PROPERTY
@given(CLIPS)
def test_the_table_counts_every_clip_once(clips: list[tuple[bool, bool, int]]) -> None:
    """The four counts are those of the four kinds of clips."""
    kinds = [(a, b) for a, b, _ in clips]
    expected = [kinds.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False))]
    assert paired_table([a for a, _ in kinds], [b for _, b in kinds]) == PairedTable(*expected)


@PROPERTY
@given(CLIPS)
def test_the_difference_is_b_minus_a(clips: list[tuple[bool, bool, int]]) -> None:
    """The difference is the accuracy of B minus that of A, NaN without clips, and changes sign with the models."""
    a, b, clusters = ([clip[column] for clip in clips] for column in range(3))
    found = difference_interval(a, b, clusters, 6, replicates=50, seed=1)
    swapped = difference_interval(b, a, clusters, 6, replicates=50, seed=1)
    if not clips:
        assert np.isnan([found.difference, found.low, found.high]).all()
        return
    assert found.difference == pytest.approx((sum(b) - sum(a)) / len(clips), abs=1e-15)
    assert swapped.difference == -found.difference
    np.testing.assert_allclose([swapped.low, swapped.high], [-found.high, -found.low], rtol=0, atol=1e-12)
    assert found.low <= found.high or len(set(clusters)) < 2
    assert np.isnan(found.low) == (len(set(clusters)) < 2)


def test_the_interval_is_that_of_resampled_clips() -> None:
    """The interval is that of the differences among the clips that each replicate draws."""
    generator = np.random.default_rng(0)
    clusters = np.append(np.arange(20), generator.integers(0, 20, 280))
    right_a, right_b = generator.random(300) < 0.8, generator.random(300) < 0.85
    differences = []
    for weights in resample_weights(20, 100, seed=4):
        times = weights[clusters].astype(np.int64)
        differences.append(np.repeat(right_b, times).mean() - np.repeat(right_a, times).mean())
    found = difference_interval(right_a, right_b, clusters, 20, replicates=100, seed=4)
    np.testing.assert_allclose([found.low, found.high], np.quantile(differences, [0.025, 0.975]), atol=1e-12)


def test_equal_seeds_give_equal_intervals() -> None:
    """The same seed gives the same interval, another seed another one, and unused clusters change nothing."""
    generator = np.random.default_rng(1)
    right_a, right_b = generator.random(500) < 0.7, generator.random(500) < 0.8
    clusters = np.arange(500) % 37
    first = difference_interval(right_a, right_b, clusters, 37, replicates=200, seed=5)
    assert first == difference_interval(right_a, right_b, clusters, 37, replicates=200, seed=5)
    assert first == difference_interval(right_a, right_b, clusters * 2, 80, replicates=200, seed=5)
    assert first != difference_interval(right_a, right_b, clusters, 37, replicates=200, seed=6)
    assert first.low < first.difference < first.high


def test_lengths_must_match() -> None:
    """Models that are scored on different numbers of clips are an error."""
    with pytest.raises(ValueError, match="equal length"):
        paired_table([True], [True, False])
    with pytest.raises(ValueError, match="equal length"):
        difference_interval([True], [True], [0, 0], 1, replicates=10, seed=0)
