"""Oracles: the definitions counted clip by clip with fractions, and scikit-learn."""

from collections.abc import Callable
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kwsbench.metrics.confusion import Confusion, confusion_by_cluster, confusion_matrix

PROPERTY = settings(deadline=None, derandomize=True, max_examples=150, database=None)
NUM_LABELS = 5
NUM_KEYWORDS = 3

Clips = list[tuple[int, int]]
CLIPS = st.lists(st.tuples(st.integers(0, NUM_LABELS - 1), st.integers(0, NUM_LABELS - 1)), max_size=40)
OVERALL = ("accuracy", "balanced_accuracy", "frr", "far", "confusion_rate", "macro_frr", "macro_far", "macro_f1")
COUNTS = (
    *("correct", "total", "keyword_total", "keyword_rejects", "background_total", "background_accepts", "confusions"),
    *("positives", "false_rejects", "negatives", "false_accepts"),
)
PER_KEYWORD = ("keyword_frr", "keyword_far", "precision", "recall", "f1")


def scored(clips: Clips) -> Confusion:
    """Confusion of (truth, prediction) pairs."""
    truth, predicted = columns(clips)
    return Confusion(confusion_matrix(truth, predicted, NUM_LABELS), NUM_KEYWORDS)


def columns(clips: Clips) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Truths and predictions as arrays."""
    table = np.array(clips, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def share(clips: Clips, within: Callable[[int, int], bool], hit: Callable[[int, int], bool]) -> Fraction | None:
    """#(within and hit)/#(within), exactly; None where nothing is within."""
    chosen = [(t, p) for t, p in clips if within(t, p)]
    return Fraction(sum(hit(t, p) for t, p in chosen), len(chosen)) if chosen else None


def mean(rates: list[Fraction | None]) -> Fraction | None:
    """Mean of the defined rates, exactly."""
    defined = [rate for rate in rates if rate is not None]
    return sum(defined, Fraction(0)) / len(defined) if defined else None


def slow_f1(clips: Clips, k: int) -> Fraction | None:
    """2 TP/(2 TP + FP + FN) of keyword k, exactly."""
    true_positives = sum(t == p == k for t, p in clips)
    either = sum(t == k for t, _ in clips) + sum(p == k for _, p in clips)
    return Fraction(2 * true_positives, either) if either else None


def slow_rates(clips: Clips) -> dict[str, list[Fraction | None]]:
    """Every rate as the conventions in `kwsbench.metrics` state it."""
    keywords = range(NUM_KEYWORDS)
    recalls = [share(clips, lambda t, _, c=c: t == c, lambda t, p: p == t) for c in range(NUM_LABELS)]
    frr = [share(clips, lambda t, _, k=k: t == k, lambda _, p, k=k: p != k) for k in keywords]
    far = [share(clips, lambda t, _, k=k: t != k, lambda _, p, k=k: p == k) for k in keywords]
    f1 = [slow_f1(clips, k) for k in keywords]
    return {
        "accuracy": [share(clips, lambda _t, _p: True, lambda t, p: t == p)],
        "balanced_accuracy": [mean(recalls)],
        "frr": [share(clips, lambda t, _: t < NUM_KEYWORDS, lambda t, p: p != t)],
        "far": [share(clips, lambda t, _: t >= NUM_KEYWORDS, lambda _, p: p < NUM_KEYWORDS)],
        "confusion_rate": [share(clips, lambda t, _: t < NUM_KEYWORDS, lambda t, p: p < NUM_KEYWORDS and p != t)],
        "macro_frr": [mean(frr)],
        "macro_far": [mean(far)],
        "macro_f1": [mean(f1)],
        "keyword_frr": frr,
        "keyword_far": far,
        "precision": [share(clips, lambda _, p, k=k: p == k, lambda t, p: t == p) for k in keywords],
        "recall": recalls[:NUM_KEYWORDS],
        "f1": f1,
    }


@PROPERTY
@given(CLIPS)
def test_rates_are_those_of_the_definitions(clips: Clips) -> None:
    """Every rate is what its definition gives when clips are counted one by one, NaN where it divides by zero."""
    confusion = scored(clips)
    for name, rates in slow_rates(clips).items():
        expected = [float("nan") if rate is None else float(rate) for rate in rates]
        found = np.atleast_1d(getattr(confusion, name))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14, err_msg=name)


@PROPERTY
@given(CLIPS)
def test_counts_are_the_fractions_of_the_rates(clips: Clips) -> None:
    """The whole-number counts are numerators and denominators of the overall rates."""
    confusion = scored(clips)
    keyword_clips = [(t, p) for t, p in clips if t < NUM_KEYWORDS]
    background = [p for t, p in clips if t >= NUM_KEYWORDS]
    assert confusion.correct == sum(t == p for t, p in clips)
    assert confusion.total == len(clips)
    assert confusion.keyword_total == len(keyword_clips)
    assert confusion.keyword_rejects == sum(t != p for t, p in keyword_clips)
    assert confusion.confusions == sum(t != p < NUM_KEYWORDS for t, p in keyword_clips)
    assert confusion.background_total == len(background)
    assert confusion.background_accepts == sum(p < NUM_KEYWORDS for p in background)
    assert all(getattr(confusion, name).dtype == np.int64 for name in COUNTS)


@pytest.mark.parametrize("num_labels", [2, 5, 35])
def test_agrees_with_scikit_learn(num_labels: int) -> None:
    """Accuracy, balanced accuracy, precision, recall, F1 and the matrix itself are those of scikit-learn."""
    from sklearn import metrics

    generator = np.random.default_rng(num_labels)
    truth = generator.permutation(np.arange(3000) % num_labels)
    predicted = np.where(generator.random(3000) < 0.6, truth, generator.integers(0, num_labels, 3000))
    counts = confusion_matrix(truth, predicted, num_labels)
    confusion = Confusion(counts, num_labels - 1)
    np.testing.assert_array_equal(counts, metrics.confusion_matrix(truth, predicted))
    labels = np.arange(num_labels - 1)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(truth, predicted, labels=labels)
    for found, expected in [
        (confusion.accuracy, metrics.accuracy_score(truth, predicted)),
        (confusion.balanced_accuracy, metrics.balanced_accuracy_score(truth, predicted)),
        (confusion.precision, precision),
        (confusion.recall, recall),
        (confusion.f1, f1),
        (confusion.macro_f1, metrics.f1_score(truth, predicted, labels=labels, average="macro")),
    ]:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@PROPERTY
@given(CLIPS)
def test_undefined_f1_and_precision_agree_with_scikit_learn(clips: Clips) -> None:
    """Precision, recall and F1 are undefined exactly where scikit-learn finds a division by zero."""
    from sklearn.metrics import precision_recall_fscore_support

    if not clips:
        return
    expected = precision_recall_fscore_support(*columns(clips), labels=range(NUM_KEYWORDS), zero_division=np.nan)
    confusion = scored(clips)
    for found, figure in zip((confusion.precision, confusion.recall, confusion.f1), expected[:3], strict=True):
        np.testing.assert_allclose(found, figure, rtol=0, atol=1e-12)


@PROPERTY
@given(CLIPS, st.randoms(use_true_random=False))
def test_clip_order_is_irrelevant(clips: Clips, random: Random) -> None:
    """Shuffled clips give the same matrix."""
    shuffled = random.sample(clips, len(clips))
    np.testing.assert_array_equal(scored(clips).counts, scored(shuffled).counts)


def test_no_clips_are_defined() -> None:
    """Without clips every count is 0 and every rate NaN, in the right shape and without a warning."""
    confusion = scored([])
    assert all(not np.any(getattr(confusion, name)) for name in COUNTS)
    assert all(np.isnan(getattr(confusion, name)).shape == () for name in OVERALL)
    assert all(np.isnan(getattr(confusion, name)) for name in OVERALL)
    assert all(np.isnan(getattr(confusion, name)).tolist() == [True] * NUM_KEYWORDS for name in PER_KEYWORD)


def test_a_keyword_that_never_occurs_is_left_out_of_the_mean() -> None:
    """Macro FRR is the mean over the keywords that have clips; the missing one does not count as 0."""
    confusion = Confusion(np.array([[1, 1, 0], [0, 0, 0], [0, 0, 4]]), num_keywords=2)
    assert np.isnan(confusion.keyword_frr[1])
    assert confusion.macro_frr == 0.5


def test_a_keyword_that_is_never_predicted_has_f1_zero() -> None:
    """A keyword that occurs and is never predicted has no precision, but an F1 of 0, which counts in the mean."""
    confusion = Confusion(np.array([[0, 4], [0, 4]]), num_keywords=1)
    assert np.isnan(confusion.precision[0])
    assert confusion.f1[0] == 0
    assert confusion.macro_f1 == 0


@pytest.mark.parametrize("num_keywords", [0, NUM_LABELS])
def test_only_background_or_only_keywords(num_keywords: int) -> None:
    """Without keywords FRR is undefined, without background FAR is; accuracy stands."""
    confusion = Confusion(np.eye(NUM_LABELS, dtype=np.int64), num_keywords)
    assert confusion.accuracy == 1
    assert np.isnan(confusion.frr) == (num_keywords == 0)
    assert np.isnan(confusion.macro_f1) == (num_keywords == 0)
    assert np.isnan(confusion.far) == (num_keywords == NUM_LABELS)


def test_leading_axes_score_like_single_matrices() -> None:
    """Counts with leading axes give, entry by entry, the figures of each matrix alone."""
    generator = np.random.default_rng(3)
    counts = generator.integers(0, 3, size=(4, 2, NUM_LABELS, NUM_LABELS)).astype(np.float64)
    many = Confusion(counts, NUM_KEYWORDS)
    for name in (*OVERALL, *COUNTS, *PER_KEYWORD):
        figures = getattr(many, name)
        for index in np.ndindex(4, 2):
            np.testing.assert_array_equal(figures[index], getattr(Confusion(counts[index], NUM_KEYWORDS), name))


@PROPERTY
@given(CLIPS, st.integers(1, 6))
def test_clusters_add_up(clips: Clips, num_clusters: int) -> None:
    """The matrices by cluster are those of each cluster's clips, and their sum is the matrix of all."""
    clusters = np.arange(len(clips)) * 7 % num_clusters
    by_cluster = confusion_by_cluster(*columns(clips), clusters, NUM_LABELS, num_clusters)
    assert by_cluster.shape == (num_clusters, NUM_LABELS, NUM_LABELS)
    for code in range(num_clusters):
        members = [clip for clip, cluster in zip(clips, clusters, strict=True) if cluster == code]
        np.testing.assert_array_equal(by_cluster[code], scored(members).counts)
    np.testing.assert_array_equal(by_cluster.sum(axis=0), scored(clips).counts)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_any_integer_type_will_do(dtype: type[np.integer]) -> None:
    """Codes may have any integer type: small ones do not overflow in the combined key."""
    truth = np.array([0, 99, 99], dtype=dtype)
    counts = confusion_by_cluster(truth, truth, np.array([199, 0, 199], dtype=dtype), 100, 200)
    assert counts[199, 99, 99] == counts[199, 0, 0] == counts[0, 99, 99] == 1


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([0, 5], [0, 0], "truth: expected codes in 0 to 4, found 0 to 5"),
        ([0, 0], [-1, 0], "predicted: expected codes in 0 to 4, found -1 to 0"),
        ([0, 0], [0.0, 1.0], "predicted: expected integer codes, found float64"),
        ([0, 0, 1], [0, 0], "expected arrays of equal length"),
        ([[0, 0]], [[0, 0]], "truth: expected one code per clip"),
    ],
)
def test_wrong_codes_are_errors(truth: list[int], predicted: list[int], message: str) -> None:
    """Codes that are out of range, no integers, no vector, or of another length are errors and never miscount."""
    with pytest.raises(ValueError, match=message):
        confusion_matrix(truth, predicted, NUM_LABELS)


@pytest.mark.parametrize(("shape", "num_keywords"), [((3,), 1), ((2, 3), 1), ((3, 3), 4), ((3, 3), -1)])
def test_counts_must_be_square_and_hold_the_keywords(shape: tuple[int, ...], num_keywords: int) -> None:
    """Counts that are not square, or have fewer labels than keywords, are errors."""
    with pytest.raises(ValueError, match="expected"):
        Confusion(np.zeros(shape), num_keywords)
