"""Oracles: scikit-learn for every point figure, counting by hand for one small case, and replicates drawn clip by clip."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics

from kwsbench.metrics.intervals import wilson
from kwsbench.predictions import Predictions, Truth, read_predictions, write_predictions
from kwsbench.score import evaluate as evaluate_module
from kwsbench.score.evaluate import Bootstrap, Figure, Score, cluster_clips, evaluate
from kwsbench.score.tables import Provenance, as_json, score_record
from tests.memory import takes_at_most

LABELS = ("yes", "no", "go", "_unknown_", "_silence_")
NUM_KEYWORDS = 3
EXACT = pytest.approx
FEW = Bootstrap(replicates=200, seed=3)
PROVENANCE = Provenance(None, None, None, "c" * 64, "p" * 64)


def _truth(
    codes: Sequence[int] | NDArray[np.integer],
    speakers: Sequence[str] | None = None,
    labels: tuple[str, ...] = LABELS,
    num_keywords: int = NUM_KEYWORDS,
) -> Truth:
    ids = pl.Series("path", [f"{row}.wav" for row in range(len(codes))])
    names = pl.Series("speaker_id", speakers if speakers is not None else [""] * len(codes), dtype=pl.String)
    return Truth(ids, labels, num_keywords, np.asarray(codes, dtype=np.int32), names)


def _predictions(codes: Sequence[int] | NDArray[np.integer], scores: NDArray[np.float64] | None = None) -> Predictions:
    return Predictions(np.asarray(codes, dtype=np.int32), None if scores is None else tuple(scores))


def _random_case(seed: int, num_clips: int = 400, num_speakers: int = 30) -> tuple[Truth, Predictions]:
    """Clips of several speakers, and a system that is right most of the time and has ties among its scores."""
    random = np.random.default_rng(seed)
    codes = random.integers(0, len(LABELS), num_clips)
    scores = random.normal(size=(len(LABELS), num_clips))
    scores[codes, np.arange(num_clips)] += 2
    scores = np.round(scores, 1)
    speakers = [f"{speaker:08x}" for speaker in random.integers(0, num_speakers, num_clips)]
    return _truth(codes, speakers), _predictions(scores.argmax(axis=0), scores)


def _figure(score: Score, metric: str) -> Figure:
    return next(figure for figure in score.summary if figure.metric == metric)


@pytest.fixture(scope="module", params=range(3))
def case(request: pytest.FixtureRequest) -> tuple[Truth, Predictions, Score]:
    """Three random cases and their scores."""
    truth, predictions = _random_case(request.param)
    return truth, predictions, evaluate(truth, predictions, FEW)


def test_whole_figures_are_those_of_scikit_learn(case: tuple[Truth, Predictions, Score]) -> None:
    """Accuracy, balanced accuracy, macro F1 and the confusion matrix are scikit-learn's."""
    truth, predictions, score = case
    pair = truth.truth, predictions.predicted
    assert score.value("accuracy") == EXACT(metrics.accuracy_score(*pair), abs=1e-12)
    assert score.value("balanced_accuracy") == EXACT(metrics.balanced_accuracy_score(*pair), abs=1e-12)
    f1 = metrics.f1_score(*pair, labels=range(NUM_KEYWORDS), average="macro")
    assert score.value("macro_f1") == EXACT(f1, abs=1e-12)
    np.testing.assert_array_equal(score.confusion, metrics.confusion_matrix(*pair, labels=range(len(LABELS))))


def test_keyword_figures_are_those_of_scikit_learn(case: tuple[Truth, Predictions, Score]) -> None:
    """Precision, recall, F1, support and ROC AUC of each keyword are scikit-learn's."""
    truth, predictions, score = case
    assert predictions.scores is not None
    columns = metrics.precision_recall_fscore_support(truth.truth, predictions.predicted, labels=range(NUM_KEYWORDS))
    for code, (row, precision, recall, f1, support) in enumerate(zip(score.keywords, *columns, strict=True)):
        assert (row.keyword, row.positives, row.negatives) == (LABELS[code], support, len(truth.truth) - support)
        assert (row.precision, row.recall, row.f1) == EXACT((precision, recall, f1), abs=1e-12)
        auc = metrics.roc_auc_score(truth.truth == code, predictions.scores[code])
        assert row.auc == EXACT(auc, abs=1e-12)
        assert row.frr == EXACT(1 - recall, abs=1e-12)
    aucs = [row.auc for row in score.keywords]
    assert score.value("macro_auc") == EXACT(np.mean(aucs), abs=1e-12)


def test_limits_are_read_off_the_roc_curve(case: tuple[Truth, Predictions, Score]) -> None:
    """FRR at a FAR limit is 1 minus the highest recall that scikit-learn's ROC curve has within the limit."""
    truth, predictions, score = case
    assert predictions.scores is not None
    for code, row in enumerate(score.keywords):
        far, recall, _ = metrics.roc_curve(truth.truth == code, predictions.scores[code], drop_intermediate=False)
        assert row.frr_at_far_1pct == EXACT(1 - recall[far <= 0.01].max(), abs=1e-12)
        assert row.frr_at_far_01pct == EXACT(1 - recall[far <= 0.001].max(), abs=1e-12)


def test_det_points_lie_on_the_roc_curve(case: tuple[Truth, Predictions, Score]) -> None:
    """Every DET point is a point of scikit-learn's ROC curve, by ascending threshold, from all accepted to none."""
    truth, predictions, score = case
    assert predictions.scores is not None
    assert list(score.det) == list(LABELS[:NUM_KEYWORDS])
    for code, points in enumerate(score.det.values()):
        far, recall, thresholds = metrics.roc_curve(
            truth.truth == code, predictions.scores[code], drop_intermediate=False
        )
        known = {threshold: (1 - hit, false) for threshold, hit, false in zip(thresholds, recall, far, strict=True)}
        assert (points.frr[0], points.far[0], points.frr[-1], points.far[-1]) == (0, 1, 1, 0)
        assert points.thresholds[-1] == math.inf
        for threshold, *rates in zip(*points, strict=True):
            assert rates == EXACT(known[threshold], abs=1e-12)


def test_the_small_case_by_hand() -> None:
    """Ten clips counted on paper: every rate is the fraction that the design defines."""
    #          yes yes yes yes no no  ?  ?  ?  s
    truth = _truth([0, 0, 0, 0, 1, 1, 3, 3, 3, 4])
    score = evaluate(truth, _predictions([0, 0, 1, 3, 1, 0, 3, 0, 4, 4]), FEW)
    expected = {
        "accuracy": (5, 10),  # yes yes no ? s
        "frr": (3, 6),  # yes as no, yes as ?, no as yes
        "far": (1, 4),  # ? as yes
        "confusion_rate": (2, 6),  # yes as no, no as yes
    }
    for metric, (count, total) in expected.items():
        figure = _figure(score, metric)
        assert (figure.count, figure.total, figure.value) == (count, total, count / total)
        assert figure.ci_method == "wilson"
        assert (figure.ci_low, figure.ci_high) == tuple(float(end) for end in wilson(count, total))
    assert score.value("balanced_accuracy") == EXACT((2 / 4 + 1 / 2 + 1 / 3 + 1 / 1) / 4)
    assert score.value("macro_frr") == EXACT((2 / 4 + 1 / 2) / 2)
    assert score.value("macro_far") == EXACT((2 / 6 + 1 / 8 + 0 / 10) / 3)
    assert score.value("macro_f1") == EXACT((2 * 2 / (4 + 4) + 2 * 1 / (2 + 2)) / 2)
    yes, no, go = score.keywords
    assert (yes.positives, yes.false_rejects, yes.negatives, yes.false_accepts) == (4, 2, 6, 2)
    assert (yes.frr, yes.far, yes.precision, yes.recall, yes.f1) == EXACT((1 / 2, 1 / 3, 1 / 2, 1 / 2, 1 / 2))
    assert (no.frr, no.far, no.precision) == EXACT((1 / 2, 1 / 8, 1 / 2))
    assert (go.positives, go.false_accepts, go.far) == (0, 0, 0.0)
    assert all(math.isnan(value) for value in (go.frr, go.frr_low, go.frr_high, go.precision, go.recall, go.f1))
    assert (yes.frr_low, yes.frr_high) == tuple(float(end) for end in wilson(2, 4))
    assert (yes.far_low, yes.far_high) == tuple(float(end) for end in wilson(2, 6))


def test_the_summary_has_the_metrics_of_the_design_in_their_order() -> None:
    """Ten metrics with scores, the first eight without; counts are given for single proportions alone."""
    truth, predictions = _random_case(0)
    names = ["accuracy", "balanced_accuracy", "frr", "far", "confusion_rate", "macro_frr", "macro_far", "macro_f1"]
    with_scores = evaluate(truth, predictions, FEW)
    assert [figure.metric for figure in with_scores.summary] == [*names, "macro_auc", "macro_eer"]
    without = evaluate(truth, _predictions(predictions.predicted), FEW)
    assert [figure.metric for figure in without.summary] == names
    assert without.summary == with_scores.summary[:8]
    counted = {figure.metric for figure in with_scores.summary if figure.total is not None}
    assert counted == {"accuracy", "frr", "far", "confusion_rate"}


def test_without_scores_there_are_no_curves() -> None:
    """Without scores there is no DET curve, and AUC, EER and the limits are undefined."""
    truth, predictions = _random_case(1)
    score = evaluate(truth, _predictions(predictions.predicted), FEW)
    assert score.det == {}
    for row in score.keywords:
        assert all(math.isnan(value) for value in (row.auc, row.eer, row.frr_at_far_1pct, row.frr_at_far_01pct))
    with pytest.raises(KeyError):
        score.value("macro_auc")


def test_without_background_the_false_accept_rate_is_undefined() -> None:
    """Without a background clip FAR is NaN with an empty interval, and all else is defined."""
    truth = _truth([0, 1, 0, 1], labels=("yes", "no"), num_keywords=2)
    score = evaluate(truth, _predictions([0, 1, 1, 1]), FEW)
    far = _figure(score, "far")
    assert (far.count, far.total) == (0, 0)
    assert all(math.isnan(value) for value in (far.value, far.ci_low, far.ci_high))
    assert not any(math.isnan(figure.value) for figure in score.summary if figure.metric != "far")


def test_a_keyword_without_clips_has_no_curve_and_is_left_out_of_the_means() -> None:
    """A keyword that no clip holds has an empty curve; macro AUC and EER are means over the others."""
    scores = np.array([[0.9, 0.1, 0.4, 0.2], [0.1, 0.8, 0.4, 0.3], [0.0, 0.1, 0.2, 0.5]])
    score = evaluate(
        _truth([0, 1, 0, 1], labels=("yes", "no", "go"), num_keywords=3), _predictions([0, 1, 0, 2], scores), FEW
    )
    assert score.det["go"].thresholds.size == 0
    assert math.isnan(score.keywords[2].auc)
    assert score.value("macro_auc") == EXACT((score.keywords[0].auc + score.keywords[1].auc) / 2)


def test_without_any_keyword_clip_keyword_figures_are_undefined() -> None:
    """On background alone FRR, macro FRR, AUC and EER are NaN, and accuracy and FAR are not."""
    scores = np.zeros((5, 3))
    score = evaluate(_truth([3, 4, 3]), _predictions([3, 0, 3], scores), FEW)
    undefined = {figure.metric for figure in score.summary if math.isnan(figure.value)}
    # F1 of `yes`, which is predicted once, is 0; that of the others is undefined.
    assert undefined == {"frr", "confusion_rate", "macro_frr", "macro_auc", "macro_eer"}
    assert all(math.isnan(figure.ci_low) for figure in score.summary if figure.metric in undefined)


def test_without_speakers_clips_are_resampled_and_accuracy_is_wilson() -> None:
    """Where no speaker is known the interval of accuracy is Wilson's and the others resample clips."""
    truth, predictions = _random_case(2)
    score = evaluate(_truth(truth.truth), predictions, FEW)
    assert score.num_speakers == 0
    accuracy = _figure(score, "accuracy")
    assert accuracy.ci_method == "wilson"
    assert (accuracy.ci_low, accuracy.ci_high) == tuple(float(end) for end in wilson(accuracy.count, accuracy.total))
    methods = {figure.metric: figure.ci_method for figure in score.summary}
    assert {metric for metric, method in methods.items() if method == "clip_bootstrap"} == {
        "balanced_accuracy", "macro_frr", "macro_far", "macro_f1", "macro_auc", "macro_eer",
    }  # fmt: skip


def test_with_speakers_whole_speakers_are_resampled() -> None:
    """With 2 speakers of equal size, one always right and one always wrong, accuracy may be anything from 0 to 1."""
    truth = _truth([0] * 50 + [1] * 50, speakers=["a"] * 50 + ["b"] * 50)
    score = evaluate(truth, _predictions([0] * 100), FEW)
    accuracy = _figure(score, "accuracy")
    assert (accuracy.value, accuracy.ci_low, accuracy.ci_high) == (0.5, 0.0, 1.0)
    assert accuracy.ci_method == "speaker_bootstrap"
    assert score.num_speakers == 2


def test_one_speaker_alone_is_not_resampled() -> None:
    """With a single speaker clips are resampled instead, and the interval is not of width 0."""
    truth, predictions = _random_case(0, num_speakers=1)
    score = evaluate(truth, predictions, FEW)
    accuracy, balanced = _figure(score, "accuracy"), _figure(score, "balanced_accuracy")
    assert score.num_speakers == 1
    assert (accuracy.ci_method, balanced.ci_method) == ("wilson", "clip_bootstrap")
    assert balanced.ci_low < balanced.value < balanced.ci_high


def test_one_clip_alone_has_no_bootstrap_interval() -> None:
    """From a single clip nothing can be resampled: those intervals are empty, and Wilson's is not."""
    score = evaluate(_truth([0], ["a"]), _predictions([0], np.zeros((5, 1))), FEW)
    assert all(math.isnan(figure.ci_low) for figure in score.summary if figure.ci_method != "wilson")
    accuracy = _figure(score, "accuracy")
    assert (accuracy.value, accuracy.ci_method) == (1.0, "wilson")
    assert 0 < accuracy.ci_low < accuracy.ci_high == 1


def test_clips_without_a_speaker_stand_for_themselves() -> None:
    """A clip whose speaker is unknown is its own cluster, beside those of the known speakers."""
    clusters = cluster_clips(pl.Series(["b", "", "a", "b", ""]), FEW)
    assert (clusters.count, clusters.num_speakers, clusters.method) == (4, 2, "speaker_bootstrap")
    assert clusters.codes.tolist() == [1, 2, 0, 1, 3]
    assert clusters.weights.shape == (200, 4)


def test_speaker_names_are_text() -> None:
    """Speakers `007` and `7`, `1e1` and `10` are four speakers."""
    assert cluster_clips(pl.Series(["007", "7", "1e1", "10", "nan", "null"]), FEW).num_speakers == 6


def test_intervals_are_those_of_replicates_counted_clip_by_clip() -> None:
    """Accuracy and balanced accuracy have the interval of replicates that repeat each clip as often as its speaker."""
    truth, predictions = _random_case(4, num_clips=120, num_speakers=9)
    clusters = cluster_clips(truth.speakers, FEW)
    accuracies, balanced = [], []
    for weights in clusters.weights:
        drawn = np.repeat(np.arange(120), weights[clusters.codes].astype(int))
        pair = truth.truth[drawn], predictions.predicted[drawn]
        accuracies.append(metrics.accuracy_score(*pair))
        recalls = metrics.recall_score(*pair, labels=np.unique(pair[0]), average=None)
        balanced.append(np.mean(recalls))
    score = evaluate(truth, predictions, FEW)
    for metric, replicates in (("accuracy", accuracies), ("balanced_accuracy", balanced)):
        figure = _figure(score, metric)
        assert (figure.ci_low, figure.ci_high) == EXACT(tuple(np.quantile(replicates, [0.025, 0.975])), abs=1e-12)


def test_intervals_do_not_depend_on_how_much_memory_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicates that are scored a few at a time give the same bits as all at once."""
    truth, predictions = _random_case(5)
    whole = evaluate(truth, predictions, FEW)
    monkeypatch.setattr(evaluate_module, "_CELLS_AT_A_TIME", 7 * len(LABELS) ** 2)
    assert repr(evaluate(truth, predictions, FEW).summary) == repr(whole.summary)


def test_hundreds_of_labels_fit_into_memory() -> None:
    """With hundreds of labels there are fewer clusters than speakers, and the figures are the same."""
    random = np.random.default_rng(0)
    labels = tuple(f"word{number}" for number in range(300))
    codes = random.integers(0, 300, 3000)
    predicted = np.where(random.random(3000) < 0.7, codes, random.integers(0, 300, 3000))
    speakers = [f"s{row % 500}" for row in range(3000)]
    with takes_at_most(300e6):
        score = evaluate(_truth(codes, speakers, labels, 300), _predictions(predicted), Bootstrap(20))
    assert score.value("accuracy") == EXACT(metrics.accuracy_score(codes, predicted))
    assert score.num_speakers == 500
    accuracy = _figure(score, "accuracy")
    assert accuracy.ci_low < accuracy.value < accuracy.ci_high


@pytest.mark.parametrize("seed", range(3))
def test_intervals_contain_the_point(seed: int) -> None:
    """On an ordinary sample every interval lies around its point, inside of 0 to 1, and is not empty."""
    truth, predictions = _random_case(seed, num_clips=2000, num_speakers=100)
    for figure in evaluate(truth, predictions, Bootstrap(500, seed)).summary:
        assert 0 <= figure.ci_low < figure.value < figure.ci_high <= 1


def test_equal_seeds_give_equal_intervals() -> None:
    """The same seed gives the same bits, another one others, and points do not depend on it."""
    truth, predictions = _random_case(6)
    first, again, other = (evaluate(truth, predictions, Bootstrap(100, seed)) for seed in (1, 1, 2))
    assert repr(first.summary) == repr(again.summary)
    assert repr(first.summary) != repr(other.summary)
    assert [figure.value for figure in first.summary] == [figure.value for figure in other.summary]


def test_the_order_of_the_predictions_does_not_matter(tmp_path: Path) -> None:
    """Files with the same rows in another order give the same bits, intervals and curves included."""
    truth, predictions = _random_case(7)
    assert predictions.scores is not None
    scores = dict(zip(LABELS, predictions.scores, strict=True))
    written = tmp_path / "preds.csv"
    write_predictions(written, truth.clip_ids, [LABELS[code] for code in predictions.predicted], scores)
    header, *lines = written.read_text(encoding="utf-8").splitlines(keepends=True)
    texts = []
    for order in (range(len(lines)), reversed(range(len(lines))), np.random.default_rng(0).permutation(len(lines))):
        written.write_text(header + "".join(lines[row] for row in order), encoding="utf-8")
        found = read_predictions(written, truth.clip_ids, LABELS, "path")
        texts.append(as_json(score_record(evaluate(truth, found, FEW), PROVENANCE)))
    assert texts[0] == texts[1] == texts[2]


@settings(deadline=None, derandomize=True, max_examples=60, database=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.sampled_from(["", "a", "b"])), min_size=1, max_size=30)
)
def test_every_rate_is_a_rate_or_undefined(clips: list[tuple[int, int, str]]) -> None:
    """Whatever the clips, figures and interval ends are in 0 to 1 or NaN, and the ends are in order."""
    codes, predicted, speakers = (list(column) for column in zip(*clips, strict=True))
    scores = np.random.default_rng(len(clips)).integers(0, 3, (5, len(clips))).astype(float)
    score = evaluate(_truth(codes, speakers), _predictions(predicted, scores), Bootstrap(20))
    for figure in score.summary:
        assert math.isnan(figure.value) or 0 <= figure.value <= 1
        assert math.isnan(figure.ci_low) == math.isnan(figure.ci_high)
        assert math.isnan(figure.ci_low) or 0 <= figure.ci_low <= figure.ci_high <= 1
    assert int(score.confusion.sum()) == len(clips) == score.num_clips
