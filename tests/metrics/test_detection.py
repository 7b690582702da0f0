"""Oracle: every threshold in turn, every clip counted for each, in exact fractions."""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kwsbench.metrics.detection import DetectionCurve

PROPERTY = settings(deadline=None, derandomize=True, max_examples=200, database=None)

TIED = st.integers(-3, 3).map(lambda eighths: eighths / 8)
ANY = st.floats(-1e6, 1e6)
SCORES = st.lists(TIED | ANY, max_size=15)
SOME_SCORES = st.lists(TIED | ANY, min_size=1, max_size=15)

Point = tuple[float, Fraction, Fraction]


def slow_points(positives: list[float], negatives: list[float]) -> list[Point]:
    """Threshold, FRR and FAR at every distinct score and at +inf."""
    thresholds = [*sorted(set(positives + negatives)), float("inf")]
    return [
        (
            threshold,
            Fraction(sum(not score >= threshold for score in positives), len(positives)),
            Fraction(sum(score >= threshold for score in negatives), len(negatives)),
        )
        for threshold in thresholds
    ]


def slow_eer(positives: list[float], negatives: list[float]) -> Fraction:
    """FRR = FAR on the line between the neighbouring points where FRR - FAR changes sign."""
    points = slow_points(positives, negatives)
    for (_, frr, far), (_, next_frr, next_far) in pairwise(points):
        if frr < far and next_frr >= next_far:
            share = (far - frr) / ((next_frr - frr) + (far - next_far))
            return frr + share * (next_frr - frr)
    raise AssertionError


def slow_frr_at_far(positives: list[float], negatives: list[float], limit: Fraction) -> Fraction:
    """Lowest FRR of all points within the limit."""
    return min(frr for _, frr, far in slow_points(positives, negatives) if far <= limit)


def slow_auc(positives: list[float], negatives: list[float]) -> Fraction:
    """Share of pairs that stand in the right order, ties half."""
    won = sum(Fraction(p > n) + Fraction(p == n) / 2 for p in positives for n in negatives)
    return won / (len(positives) * len(negatives))


def overlapping(num_positives: int, num_negatives: int, seed: int = 0) -> DetectionCurve:
    """A curve of two normal laws, two standard deviations apart."""
    generator = np.random.default_rng(seed)
    return DetectionCurve(generator.normal(2, 1, num_positives), generator.normal(0, 1, num_negatives))


@PROPERTY
@given(SOME_SCORES, SOME_SCORES)
def test_points_are_those_of_every_threshold(positives: list[float], negatives: list[float]) -> None:
    """Thresholds are the distinct scores and +inf, and FRR and FAR at each are the exact shares."""
    curve = DetectionCurve(positives, negatives)
    expected = slow_points(positives, negatives)
    assert curve.thresholds().tolist() == [threshold for threshold, _, _ in expected]
    assert curve.false_reject_rate(curve.thresholds()).tolist() == [float(frr) for _, frr, _ in expected]
    assert curve.false_accept_rate(curve.thresholds()).tolist() == [float(far) for _, _, far in expected]


@PROPERTY
@given(SOME_SCORES, SOME_SCORES)
@example([1.0], [0.0])
@example([0.0], [1.0])
@example([0.0], [0.0])
@example([0.0, 0.0, 1.0], [0.0])
def test_eer_and_auc_are_exact(positives: list[float], negatives: list[float]) -> None:
    """EER and AUC are the exact fractions, rounded once."""
    curve = DetectionCurve(positives, negatives)
    assert curve.eer() == float(slow_eer(positives, negatives))
    assert curve.auc() == float(slow_auc(positives, negatives))


@PROPERTY
@given(SOME_SCORES, SOME_SCORES, st.fractions(0, 1, max_denominator=1000))
@example([0.5, 1.5], [float(n) for n in range(10)], Fraction(3, 10))
def test_frr_at_far_is_exact(positives: list[float], negatives: list[float], limit: Fraction) -> None:
    """The lowest FRR within a FAR limit is the exact one, also where the limit is a share of the negatives."""
    curve = DetectionCurve(positives, negatives)
    assert curve.frr_at_far(float(limit)) == float(slow_frr_at_far(positives, negatives, limit))


@pytest.mark.parametrize("size", [3, 10, 49, 100, 1000, 4321])
def test_a_limit_that_is_a_share_of_the_negatives_is_within_itself(size: int) -> None:
    """Accepting m of Q negatives is within the limit m/Q for every m, whichever way the float is rounded."""
    negatives = np.arange(size, dtype=np.float64)
    curve = DetectionCurve(negatives - 0.5, negatives)
    accepts = range(0, size, max(1, size // 200))
    assert [curve.frr_at_far(m / size) for m in accepts] == [(size - m) / size for m in accepts]


@pytest.mark.parametrize("decimals", [1, 3, 17])
def test_auc_agrees_with_scikit_learn(decimals: int) -> None:
    """AUC is that of scikit-learn's roc_auc_score, with few ties and with many."""
    from sklearn.metrics import roc_auc_score

    generator = np.random.default_rng(decimals)
    truth = generator.random(5000) < 0.2
    scores = np.round(generator.normal(size=5000) + truth, decimals)
    curve = DetectionCurve(scores[truth], scores[~truth])
    assert curve.auc() == pytest.approx(roc_auc_score(truth, scores), rel=0, abs=1e-12)


def test_points_agree_with_scikit_learn() -> None:
    """FRR and FAR at each score are those of scikit-learn's det_curve."""
    from sklearn.metrics import det_curve

    generator = np.random.default_rng(5)
    truth = generator.random(500) < 0.3
    scores = np.round(generator.normal(size=500) + truth, 1)
    far, frr, thresholds = det_curve(truth, scores)
    curve = DetectionCurve(scores[truth], scores[~truth])
    np.testing.assert_allclose(curve.false_reject_rate(thresholds), frr, rtol=0, atol=1e-12)
    np.testing.assert_allclose(curve.false_accept_rate(thresholds), far, rtol=0, atol=1e-12)


@PROPERTY
@given(SOME_SCORES, SOME_SCORES, st.lists(ANY | TIED, min_size=2, max_size=10))
def test_rates_are_monotone(positives: list[float], negatives: list[float], thresholds: list[float]) -> None:
    """FRR never falls and FAR never rises as the threshold grows."""
    curve = DetectionCurve(positives, negatives)
    ascending = sorted(thresholds)
    assert (np.diff(curve.false_reject_rate(ascending)) >= 0).all()
    assert (np.diff(curve.false_accept_rate(ascending)) <= 0).all()


@PROPERTY
@given(SOME_SCORES, SOME_SCORES, st.randoms(use_true_random=False))
def test_clip_order_is_irrelevant(positives: list[float], negatives: list[float], random: Random) -> None:
    """Shuffled clips give the same points and figures."""
    curve = DetectionCurve(positives, negatives)
    shuffled = DetectionCurve(random.sample(positives, len(positives)), random.sample(negatives, len(negatives)))
    np.testing.assert_array_equal(np.array(curve.thinned(100)), np.array(shuffled.thinned(100)))
    assert (curve.eer(), curve.auc()) == (shuffled.eer(), shuffled.auc())


@pytest.mark.parametrize(
    "transform",
    [lambda x: x + 1.5, lambda x: 8 * x, np.arctan, lambda x: x**3 + x, lambda x: -np.exp(-x)],
    ids=["shifted", "scaled", "arctan", "cubic", "exponential"],
)
@PROPERTY
@given(st.lists(TIED, min_size=1, max_size=15), st.lists(TIED, min_size=1, max_size=15))
def test_figures_depend_on_the_order_of_scores_only(
    transform: Callable[[np.ndarray], np.ndarray], positives: list[float], negatives: list[float]
) -> None:
    """A constant added to the scores, or any growing function of them, leaves EER, AUC and FRR at FAR as they are."""
    plain = DetectionCurve(positives, negatives)
    changed = DetectionCurve(transform(np.array(positives)), transform(np.array(negatives)))
    assert changed.eer() == plain.eer()
    assert changed.auc() == plain.auc()
    assert changed.frr_at_far(0.25) == plain.frr_at_far(0.25)


@PROPERTY
@given(SOME_SCORES, SOME_SCORES)
def test_swapped_and_negated_scores_mirror_the_curve(positives: list[float], negatives: list[float]) -> None:
    """With the classes swapped and all scores negated, AUC and EER stay."""
    curve = DetectionCurve(positives, negatives)
    mirrored = DetectionCurve([-score for score in negatives], [-score for score in positives])
    assert mirrored.auc() == curve.auc()
    assert mirrored.eer() == pytest.approx(curve.eer(), abs=1e-12)


@pytest.mark.parametrize(("positives", "negatives"), [([], [1.0, 2.0]), ([1.0, 2.0], []), ([], [])])
def test_a_missing_class_is_defined(positives: list[float], negatives: list[float]) -> None:
    """Without positives or without negatives the curve is empty, and its figures are NaN without a warning."""
    curve = DetectionCurve(positives, negatives)
    assert curve.is_empty
    assert curve.thresholds().size == 0
    assert [points.size for points in curve.thinned(10)] == [0, 0, 0]
    assert np.isnan([curve.eer(), curve.auc(), curve.frr_at_far(0.01), curve.frr_at_far(1)]).all()
    assert np.isnan(curve.false_reject_rate([0.0, 1.0])).tolist() == [not positives] * 2
    assert np.isnan(curve.false_accept_rate([0.0, 1.0])).tolist() == [not negatives] * 2


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("side", [0, 1])
def test_scores_must_be_finite(bad: float, side: int) -> None:
    """A NaN or infinite score is an error, wherever it stands, and the error says on which side."""
    scores = [[0.0, 1.0], [0.0, 1.0]]
    scores[side].insert(1, bad)
    with pytest.raises(ValueError, match=("positives", "negatives")[side]):
        DetectionCurve(*scores)


def test_scores_must_be_a_vector() -> None:
    """A table of scores is an error."""
    with pytest.raises(ValueError, match="one score per clip"):
        DetectionCurve([[1.0, 2.0]], [1.0])


@pytest.mark.parametrize("limit", [-0.01, 1.01, float("nan")])
def test_a_limit_must_be_a_rate(limit: float) -> None:
    """A FAR limit outside 0 to 1 is an error."""
    with pytest.raises(ValueError, match="limit"):
        DetectionCurve([1.0], [0.0]).frr_at_far(limit)


def test_scores_are_copied_and_frozen() -> None:
    """A curve keeps its own sorted scores: the caller's array stays as it was, and the curve's cannot be written."""
    scores = np.array([2.0, 1.0])
    curve = DetectionCurve(scores, scores)
    assert scores.tolist() == [2.0, 1.0]
    with pytest.raises(ValueError, match="read-only"):
        curve.positives[0] = 5


@PROPERTY
@given(SCORES, SCORES, st.integers(2, 40))
def test_thinned_points_are_points_of_the_curve(
    positives: list[float], negatives: list[float], max_points: int
) -> None:
    """Thinning keeps at most so many points, all of them of the curve, in order and with both ends."""
    curve = DetectionCurve(positives, negatives)
    points = curve.thinned(max_points)
    thresholds = curve.thresholds()
    assert points.thresholds.size <= max_points
    assert np.isin(points.thresholds, thresholds).all()
    assert (points.thresholds[1:] > points.thresholds[:-1]).all()
    assert points.thresholds[:1].tolist() == thresholds[:1].tolist()
    assert points.thresholds[-1:].tolist() == thresholds[-1:].tolist()
    np.testing.assert_array_equal(points.frr, curve.false_reject_rate(points.thresholds))
    np.testing.assert_array_equal(points.far, curve.false_accept_rate(points.thresholds))
    if thresholds.size <= max_points:
        np.testing.assert_array_equal(points.thresholds, thresholds)


def test_many_ties_keep_every_point() -> None:
    """Many clips with few distinct scores lose no point, because it is points that count and not clips."""
    scores = np.round(np.random.default_rng(0).normal(size=20000), 1)
    curve = DetectionCurve(scores[:9000] + 1, scores[9000:])
    np.testing.assert_array_equal(curve.thinned(200).thresholds, curve.thresholds())


@pytest.mark.parametrize(("num_positives", "num_negatives"), [(2000, 30000), (30000, 2000), (5, 50000)])
def test_thinned_points_leave_no_gap(num_positives: int, num_negatives: int) -> None:
    """Between neighbours of 400 kept points neither rate moves by more than 1 in 60, or than one clip."""
    points = overlapping(num_positives, num_negatives).thinned(400)
    assert np.diff(points.frr).max() <= max(1 / 60, 1.001 / num_positives)
    assert np.diff(points.far).min() >= -1 / 60
    assert points.thresholds.size > 300


def test_thinned_points_reach_into_the_low_far_tail() -> None:
    """Thinned points go down to a single false accept, where each has at most twice the FAR of the next."""
    far = overlapping(5000, 200_000).thinned(400).far
    tail = far[(far > 0) & (far < 0.01)]
    assert tail[-1] == 1 / 200_000
    assert (tail[:-1] / tail[1:]).max() <= 2


@pytest.mark.parametrize("max_points", [14, 50, 513])
@pytest.mark.parametrize("seed", range(5))
def test_thinned_points_hold_the_eer(max_points: int, seed: int) -> None:
    """The EER can be read off the thinned points, because those it is interpolated between are among them."""
    curve = overlapping(700, 5000, seed)
    _, frr, far = curve.thinned(max_points)
    after = int(np.argmax(frr >= far))
    share = (far[after - 1] - frr[after - 1]) / (frr[after] - far[after] + far[after - 1] - frr[after - 1])
    assert curve.eer() == pytest.approx(frr[after - 1] + share * (frr[after] - frr[after - 1]), abs=1e-12)


def test_thinning_to_one_point_is_an_error() -> None:
    """A curve has two ends, so one point is too few."""
    with pytest.raises(ValueError, match="max_points"):
        DetectionCurve([1.0], [0.0]).thinned(1)
