"""Oracle: the exact curve of the clips that a replicate drew, each repeated as often as it was drawn."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kwsbench.metrics.curve_bootstrap import MAX_BINS, CurveFigures, _histograms, bootstrap_curve
from kwsbench.metrics.detection import DetectionCurve
from kwsbench.metrics.intervals import percentile_interval, resample_weights

PROPERTY = settings(deadline=None, derandomize=True, max_examples=150, database=None)

CLIPS = st.lists(st.tuples(st.integers(-4, 4), st.booleans(), st.integers(0, 3)), min_size=1, max_size=30)


class Clips(NamedTuple):
    """Clips of one keyword and of others, in clusters."""

    scores: NDArray[np.float64]
    is_positive: NDArray[np.bool_]
    clusters: NDArray[np.int64]

    def curve(self) -> DetectionCurve:
        """The exact curve."""
        return DetectionCurve(self.scores[self.is_positive], self.scores[~self.is_positive])

    def bootstrap(self, weights: NDArray[np.float64]) -> CurveFigures:
        """What the module under test makes of the weights."""
        return bootstrap_curve(self.curve(), *self, weights)

    def drawn(self, weights: NDArray[np.float64]) -> "Clips":
        """The clips of one replicate, each as often as its cluster was drawn."""
        times = weights[self.clusters].astype(np.int64)
        return Clips(*(np.repeat(column, times) for column in self))


def from_rows(rows: list[tuple[int, bool, int]]) -> Clips:
    """Clips from rows of score, is_positive and cluster."""
    scores, is_positive, clusters = zip(*rows, strict=True)
    return Clips(np.array(scores, dtype=np.float64), np.array(is_positive), np.array(clusters))


def speakers(num_clips: int, num_clusters: int, seed: int = 0) -> Clips:
    """Clips whose scores depend on their speaker too, all of them distinct."""
    generator = np.random.default_rng(seed)
    is_positive = generator.random(num_clips) < 0.2
    clusters = generator.integers(0, num_clusters, num_clips)
    moods = generator.normal(0, 0.5, num_clusters)
    return Clips(generator.normal(2 * is_positive, 1) + moods[clusters], is_positive, clusters)


def exact_figures(clips: Clips, weights: NDArray[np.float64]) -> CurveFigures:
    """AUC and EER of the exact curve of every replicate."""
    curves = [clips.drawn(row).curve() for row in weights]
    return CurveFigures(np.array([curve.auc() for curve in curves]), np.array([curve.eer() for curve in curves]))


@PROPERTY
@given(CLIPS, st.integers(0, 10**6))
def test_few_distinct_scores_are_exact(rows: list[tuple[int, bool, int]], seed: int) -> None:
    """With no more distinct scores than bins, every replicate has the exact figures of the clips it drew."""
    clips, weights = from_rows(rows), resample_weights(4, 5, seed)
    found = clips.bootstrap(weights)
    expected = exact_figures(clips, weights)
    if clips.curve().is_empty:
        assert np.isnan([found.auc, found.eer]).all()
    else:
        np.testing.assert_allclose(found.auc, expected.auc, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.eer, expected.eer, rtol=0, atol=1e-12)


def test_as_many_distinct_scores_as_bins_are_exact() -> None:
    """At exactly `MAX_BINS` distinct scores nothing is binned yet."""
    clips, weights = speakers(MAX_BINS, 30), resample_weights(30, 20, seed=1)
    found, expected = clips.bootstrap(weights), exact_figures(clips, weights)
    np.testing.assert_allclose(found.auc, expected.auc, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.eer, expected.eer, rtol=0, atol=1e-12)


def test_replicate_auc_agrees_with_scikit_learn() -> None:
    """The AUC of a replicate is scikit-learn's roc_auc_score with the cluster weights as sample weights."""
    from sklearn.metrics import roc_auc_score

    clips, weights = speakers(400, 25, seed=2), resample_weights(25, 10, seed=3)
    expected = [roc_auc_score(clips.is_positive, clips.scores, sample_weight=row[clips.clusters]) for row in weights]
    np.testing.assert_allclose(clips.bootstrap(weights).auc, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_clips", [50, 20_000])
def test_unit_weights_give_the_exact_figures(num_clips: int) -> None:
    """With every cluster drawn once the figures are those of the data, also where scores are binned."""
    clips = speakers(num_clips, 40)
    figures = clips.bootstrap(np.ones((2, 40)))
    assert figures.auc.tolist() == [clips.curve().auc()] * 2
    assert figures.eer.tolist() == [clips.curve().eer()] * 2


def test_binned_replicates_are_close_to_exact_ones() -> None:
    """Binning 50,000 distinct scores moves a replicate, and the interval, by far less than replicates differ."""
    clips, weights = speakers(50_000, 400, seed=4), resample_weights(400, 100, seed=5)
    found, expected = clips.bootstrap(weights), exact_figures(clips, weights)
    for binned, exact in ((found.auc, expected.auc), (found.eer, expected.eer)):
        spread = np.std(exact)
        assert np.sqrt(np.mean((binned - exact) ** 2)) < 0.05 * spread
        assert np.std(binned) == pytest.approx(spread, rel=0.02)
        assert percentile_interval(binned) == pytest.approx(percentile_interval(exact), abs=0.1 * spread)


def test_the_interval_covers_the_true_auc() -> None:
    """Over 60 simulated tests of 50 speakers, the 95 % interval of AUC covers the true one about that often."""
    from scipy.stats import norm

    true_auc = norm.cdf(2 / np.sqrt(2 * (1 + 0.25)))
    covered = []
    for seed in range(60):
        low, high = percentile_interval(speakers(800, 50, seed).bootstrap(resample_weights(50, 200, seed)).auc)
        covered.append(low <= true_auc <= high)
    assert 0.88 <= np.mean(covered) <= 0.99


def test_only_proportions_of_weights_count() -> None:
    """Weights a million times as large, which no longer fit into 32-bit floats exactly, give the same figures."""
    clips, weights = speakers(3000, 20), resample_weights(20, 30, seed=6)
    small, large = clips.bootstrap(weights), clips.bootstrap(weights * 1_000_003)
    np.testing.assert_allclose(large.auc, small.auc, rtol=0, atol=1e-12)
    np.testing.assert_allclose(large.eer, small.eer, rtol=0, atol=1e-12)


def test_clip_order_is_irrelevant() -> None:
    """Shuffled clips give the same figures, bit by bit."""
    clips, weights = speakers(3000, 20), resample_weights(20, 30, seed=7)
    order = np.random.default_rng(8).permutation(3000)
    shuffled = Clips(*(column[order] for column in clips)).bootstrap(weights)
    np.testing.assert_array_equal(clips.bootstrap(weights).auc, shuffled.auc)
    np.testing.assert_array_equal(clips.bootstrap(weights).eer, shuffled.eer)


def test_a_replicate_without_positives_is_undefined() -> None:
    """A replicate that drew no positive, or no negative, has NaN figures and leaves the others alone."""
    clips = Clips(np.array([1.0, 0.0, 2.0]), np.array([True, False, True]), np.array([0, 1, 2]))
    figures = clips.bootstrap(np.array([[0.0, 3.0, 0.0], [2.0, 0.0, 1.0], [1.0, 1.0, 1.0]]))
    assert np.isnan(figures.auc).tolist() == np.isnan(figures.eer).tolist() == [True, True, False]
    assert figures.auc[2] == 1


def test_an_empty_curve_is_undefined() -> None:
    """Without positives, or without clips, every replicate is NaN without a warning."""
    for count in (0, 3):
        clips = Clips(np.zeros(count), np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.int64))
        figures = clips.bootstrap(np.ones((4, 1)))
        assert np.isnan(figures.auc).tolist() == np.isnan(figures.eer).tolist() == [True] * 4


@pytest.mark.parametrize("separation", [5, 7])
def test_figures_stay_rates(separation: int) -> None:
    """The figures of near-perfect scores stay within 0 and 1, although binned ones are shifted."""
    for seed in range(15):
        generator = np.random.default_rng(seed)
        is_positive, clusters = generator.random(2000) < 0.2, generator.integers(0, 8, 2000)
        clips = Clips(generator.normal(separation * is_positive, 1), is_positive, clusters)
        figures = clips.bootstrap(resample_weights(8, 200, seed))
        assert figures.auc.max() <= 1
        assert figures.eer.min() >= 0


@pytest.mark.parametrize("num_clips", [100, 5000])
def test_histograms_hold_the_points_of_the_curve(num_clips: int) -> None:
    """Summed up to each edge, the histograms of all clusters give FRR and FAR of the curve at that threshold."""
    clips = speakers(num_clips, 7)
    edges, frr, far = clips.curve().thinned(MAX_BINS + 1)
    negatives, positives = _histograms(edges[:-1], *clips, num_clusters=7).sum(axis=0)
    np.testing.assert_allclose(np.append(0, positives.cumsum()) / positives.sum(), frr, rtol=0, atol=1e-12)
    np.testing.assert_allclose(1 - np.append(0, negatives.cumsum()) / negatives.sum(), far, rtol=0, atol=1e-12)


def test_a_curve_of_other_clips_is_an_error() -> None:
    """The curve must be of the very scores that are resampled."""
    clips = speakers(100, 5)
    with pytest.raises(ValueError, match="curve"):
        bootstrap_curve(DetectionCurve([1.0], [0.0]), *clips, np.ones((1, 5)))


def test_clusters_must_have_weights() -> None:
    """A cluster code without a column of weights is an error."""
    clips = speakers(100, 5)
    with pytest.raises(ValueError, match="clusters"):
        clips.bootstrap(np.ones((1, 4)))
