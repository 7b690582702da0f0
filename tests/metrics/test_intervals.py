"""Oracles: the closed form of Wilson's interval solved as a quadratic, exact binomial sums, and simulation."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kwsbench.metrics.intervals import deal_clusters, percentile_interval, resample_weights, wilson

PROPERTY = settings(deadline=None, derandomize=True, max_examples=200, database=None)
Z_95 = 1.959963984540054

PROPORTIONS = st.integers(1, 10**7).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@PROPERTY
@given(PROPORTIONS)
def test_wilson_solves_the_score_equation(proportion: tuple[int, int]) -> None:
    """The ends are the two solutions of (p - x)^2 = z^2 x (1 - x)/n, which defines Wilson's interval."""
    count, total = proportion
    a = 1 + Z_95**2 / total
    b = -(2 * count / total + Z_95**2 / total)
    root = math.sqrt(max(b * b - 4 * a * (count / total) ** 2, 0.0))
    low, high = wilson(count, total)
    assert float(low) == pytest.approx((-b - root) / (2 * a), abs=1e-7)
    assert float(high) == pytest.approx((-b + root) / (2 * a), abs=1e-7)


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(0, 10, 0.0, 0.2775), (1, 10, 0.0179, 0.4042), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0)],
)
def test_wilson_agrees_with_printed_tables(count: int, total: int, low: float, high: float) -> None:
    """The interval of 0, 1, 5 and 10 successes of 10 is the one that tables give."""
    assert [round(float(end), 4) for end in wilson(count, total)] == [low, high]


def test_wilson_agrees_with_scipy() -> None:
    """Both ends are those of scipy's Wilson interval, at three confidences."""
    from scipy.stats import binomtest

    for count, total, confidence in [(3, 17, 0.9), (4740, 4890, 0.95), (12, 11005, 0.99)]:
        expected = binomtest(count, total).proportion_ci(confidence, method="wilson")
        low, high = wilson(count, total, confidence)
        assert (float(low), float(high)) == pytest.approx((expected.low, expected.high), rel=1e-10)


@PROPERTY
@given(PROPORTIONS, st.floats(0.01, 0.999))
def test_wilson_contains_the_point(proportion: tuple[int, int], confidence: float) -> None:
    """The interval lies in [0, 1], contains the point, and ends at exactly 0 or 1 where all clips agree."""
    count, total = proportion
    low, high = wilson(count, total, confidence)
    assert 0 <= low <= count / total <= high <= 1
    assert (low == 0) == (count == 0)
    assert (high == 1) == (count == total)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_ends_exactly_where_all_clips_agree(confidence: float) -> None:
    """For every number of trials up to 20,000, no success gives exactly 0 and nothing but successes exactly 1."""
    totals = np.arange(1, 20_001)
    assert (wilson(0, totals, confidence)[0] == 0).all()
    assert (wilson(totals, totals, confidence)[1] == 1).all()


def test_wilson_is_vectorised_and_undefined_without_trials() -> None:
    """Arrays broadcast, and 0 of 0 is NaN without a warning."""
    low, high = wilson([0, 1, 2], [0, 4, 4])
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [True, False, False]
    assert low[1] == wilson(1, 4)[0]
    assert wilson(np.zeros((2, 1)), np.ones(3))[1].shape == (2, 3)
    assert wilson([], [])[0].shape == (0,)


@pytest.mark.parametrize("true_rate", [0.5, 0.9, 0.97])
def test_wilson_covers(true_rate: float) -> None:
    """Summed exactly over all outcomes of 200 trials, the 95 % interval covers the true rate 93 to 97 % of the time."""
    trials = 200
    outcomes = np.arange(trials + 1)
    low, high = wilson(outcomes, trials)
    chances = [math.comb(trials, k) * true_rate**k * (1 - true_rate) ** (trials - k) for k in range(trials + 1)]
    assert 0.93 <= np.dot(chances, (low <= true_rate) & (true_rate <= high)) <= 0.97


@pytest.mark.parametrize(("count", "total"), [(-1, 3), (4, 3), (0, -1)])
def test_wilson_wants_counts_within_totals(count: int, total: int) -> None:
    """More successes than trials, or fewer than none, are an error."""
    with pytest.raises(ValueError, match="count"):
        wilson(count, total)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_confidence_is_a_share(confidence: float) -> None:
    """A confidence of 95 instead of 0.95 is an error."""
    with pytest.raises(ValueError, match="confidence"):
        wilson(1, 2, confidence)
    with pytest.raises(ValueError, match="confidence"):
        percentile_interval([1.0], confidence)


@PROPERTY
@given(st.integers(0, 30), st.integers(0, 20), st.integers(0, 2**32))
def test_weights_are_whole_draws(num_clusters: int, replicates: int, seed: int) -> None:
    """Each replicate draws as many clusters as there are, and equal seeds draw the same ones."""
    weights = resample_weights(num_clusters, replicates, seed)
    assert weights.shape == (replicates, num_clusters)
    assert (weights == np.rint(weights)).all()
    assert (weights >= 0).all()
    assert (weights.sum(axis=1) == num_clusters).all()
    np.testing.assert_array_equal(weights, resample_weights(num_clusters, replicates, seed))


def test_weights_follow_the_multinomial_law() -> None:
    """Every cluster is drawn once on average, with variance 1 - 1/C and covariance -1/C, and seeds differ."""
    weights = resample_weights(5, 40_000, seed=1)
    covariance = np.cov(weights.T)
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.02)
    np.testing.assert_allclose(covariance, np.eye(5) - 0.2, atol=0.03)
    assert (weights[:100] != resample_weights(5, 100, seed=2)).any()


def test_weights_leave_the_global_generator_alone() -> None:
    """Drawing weights and dealing clusters neither read nor move numpy's global random state."""
    state = np.random.get_state()[1].copy()  # noqa: NPY002 -- the global state is what must not move
    resample_weights(5, 5, seed=1)
    deal_clusters(np.arange(9), 3, seed=1)
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002 -- as above


def test_percentile_interval_is_numpys_quantiles() -> None:
    """The 95 % interval runs from the 2.5 % to the 97.5 % quantile, with NaN left out."""
    samples = np.random.default_rng(0).normal(size=999)
    with_gaps = np.insert(samples, [0, 500], np.nan)
    assert percentile_interval(with_gaps) == pytest.approx(np.quantile(samples, [0.025, 0.975]), rel=1e-12)


@pytest.mark.parametrize("samples", [[], [float("nan")] * 3])
def test_percentile_interval_of_nothing_is_undefined(samples: list[float]) -> None:
    """No replicate that defines the figure gives NaN without a warning."""
    assert np.isnan(percentile_interval(samples)).all()


SPEAKERS = st.lists(st.integers(-1, 12), max_size=60)


@PROPERTY
@given(SPEAKERS, st.integers(1, 20), st.integers(0, 1000))
def test_dealing_keeps_speakers_together(speakers: list[int], max_clusters: int, seed: int) -> None:
    """All clips of a speaker are in one cluster, codes are 0 to C - 1 and all in use, and C is at most the maximum."""
    clusters, num_clusters = deal_clusters(np.array(speakers, dtype=np.int64), max_clusters, seed)
    homes = {speaker: {c for s, c in zip(speakers, clusters, strict=True) if s == speaker} for speaker in speakers}
    independent = len(homes.keys() - {-1}) + speakers.count(-1)
    assert all(len(home) == 1 for speaker, home in homes.items() if speaker != -1)
    assert num_clusters == min(independent, max_clusters)
    assert set(clusters.tolist()) == set(range(num_clusters))
    again, _ = deal_clusters(np.array(speakers, dtype=np.int64), max_clusters, seed)
    np.testing.assert_array_equal(clusters, again)


@PROPERTY
@given(SPEAKERS)
def test_few_clusters_are_not_dealt(speakers: list[int]) -> None:
    """With no more clusters than allowed, two clips share one exactly when they share a known speaker."""
    clusters, num_clusters = deal_clusters(np.array(speakers, dtype=np.int64), 100, seed=0)
    pairs = Counter(zip(speakers, clusters.tolist(), strict=True))
    assert len(pairs) == num_clusters
    assert all(number == 1 for (speaker, _), number in pairs.items() if speaker == -1)


def test_dealt_groups_are_of_equal_number() -> None:
    """1,003 speakers dealt into 100 groups give groups of 10 or 11, and another seed deals otherwise."""
    clusters, _ = deal_clusters(np.arange(1003), 100, seed=0)
    assert set(np.bincount(clusters).tolist()) == {10, 11}
    assert (clusters != deal_clusters(np.arange(1003), 100, seed=1)[0]).any()


def test_huge_speaker_codes_are_fine() -> None:
    """Codes may be any integers, such as 62-bit hashes: only their equality counts."""
    clusters, num_clusters = deal_clusters(np.array([2**62, 5, 2**62]), 10, seed=0)
    assert (clusters.tolist(), num_clusters) == ([1, 0, 1], 2)


@pytest.mark.parametrize(("codes", "max_clusters"), [([-2, 0], 5), ([0.5], 5), ([[0]], 5), ([0], 0)])
def test_wrong_speaker_codes_are_errors(codes: list[int], max_clusters: int) -> None:
    """Codes under -1, no integers or no vector, and a maximum of no clusters, are errors."""
    with pytest.raises(ValueError, match="expected"):
        deal_clusters(codes, max_clusters, seed=0)


def speaker_study(seed: int, num_speakers: int) -> tuple[np.ndarray, np.ndarray]:
    """Clips and right answers of each speaker, whose accuracies differ around 0.9."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(5, 40, num_speakers)
    return sizes, generator.binomial(sizes, generator.beta(7.2, 0.8, num_speakers))


def test_cluster_bootstrap_covers_where_wilson_does_not() -> None:
    """With clips that depend on their speaker, the cluster bootstrap keeps near 95 % coverage and Wilson loses it."""
    covered, covered_by_wilson = [], []
    for seed in range(300):
        sizes, right = speaker_study(seed, num_speakers=60)
        weights = resample_weights(60, 300, seed)
        low, high = percentile_interval((weights @ right) / (weights @ sizes))
        wilson_low, wilson_high = wilson(right.sum(), sizes.sum())
        covered.append(low <= 0.9 <= high)
        covered_by_wilson.append(wilson_low <= 0.9 <= wilson_high)
    assert 0.91 <= np.mean(covered) <= 0.98
    assert np.mean(covered_by_wilson) < 0.75


def test_dealing_keeps_the_width_of_the_interval() -> None:
    """The standard error from 3,000 speakers dealt into 300 groups is that from the speakers, within a tenth."""
    sizes, right = speaker_study(seed=1, num_speakers=3000)
    groups, num_groups = deal_clusters(np.arange(3000), 300, seed=2)
    grouped = [np.bincount(groups, weights=figure, minlength=num_groups) for figure in (right, sizes)]
    errors = []
    for numerator, denominator in ((right, sizes), grouped):
        weights = resample_weights(len(numerator), 1000, seed=3)
        errors.append(np.std((weights @ numerator) / (weights @ denominator)))
    assert errors[1] == pytest.approx(errors[0], rel=0.1)
