"""Scores predictions: every figure of the design, with its 95 % interval, as one frozen result."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kwsbench.metrics.confusion import Confusion, confusion_by_cluster
from kwsbench.metrics.curve_bootstrap import CurveFigures, bootstrap_curve
from kwsbench.metrics.detection import CurvePoints, DetectionCurve
from kwsbench.metrics.intervals import deal_clusters, percentile_interval, resample_weights, wilson
from kwsbench.metrics.ratios import mean_where_defined
from kwsbench.predictions import Predictions, Truth

CiMethod = Literal["wilson", "speaker_bootstrap", "clip_bootstrap"]
"""How an interval was made; without known speakers every clip stands for itself."""

MAX_CLUSTERS = 1000
MAX_DET_POINTS = 500
_MIN_CLUSTERS = 50
_MOST_CELLS = 2**23
_CELLS_AT_A_TIME = 2**22
_MOST_THREADS = 8
_RESAMPLED = ("accuracy", "balanced_accuracy", "macro_frr", "macro_far", "macro_f1")


@dataclass(frozen=True)
class Bootstrap:
    """Settings of the bootstrap.

    Attributes:
        replicates: How many resamples.
        seed: Seed of the generator; equal seeds give equal intervals.
    """

    replicates: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class Figure:
    """One line of `summary.csv`. NaN stands for what is undefined, None for what a metric does not have.

    Attributes:
        metric: Its name.
        value: Its value, in [0, 1].
        ci_low: Lower end of the 95 % interval.
        ci_high: Upper end.
        count: Numerator, where the metric is one proportion.
        total: Denominator, likewise.
        ci_method: How the interval was made.
    """

    metric: str
    value: float
    ci_low: float
    ci_high: float
    count: int | None
    total: int | None
    ci_method: CiMethod


@dataclass(frozen=True)
class KeywordScore:
    """One line of `per_keyword.csv`; the last five are NaN without scores."""

    keyword: str
    positives: int
    false_rejects: int
    frr: float
    frr_low: float
    frr_high: float
    negatives: int
    false_accepts: int
    far: float
    far_low: float
    far_high: float
    precision: float
    recall: float
    f1: float
    auc: float = math.nan
    eer: float = math.nan
    frr_at_far_1pct: float = math.nan
    frr_at_far_01pct: float = math.nan


@dataclass(frozen=True, eq=False)
class Score:
    """Everything that `kwsbench score` reports.

    Attributes:
        labels: All labels, keywords first.
        num_keywords: How many of them are keywords.
        num_clips: Clips scored.
        num_speakers: Known speakers among them.
        summary: The figures over all clips.
        keywords: The figures of each keyword.
        confusion: Clips by truth (rows) and prediction (columns), shape (labels, labels).
        det: DET curve of each keyword; empty without scores.
    """

    labels: tuple[str, ...]
    num_keywords: int
    num_clips: int
    num_speakers: int
    summary: tuple[Figure, ...]
    keywords: tuple[KeywordScore, ...]
    confusion: NDArray[np.int64]
    det: dict[str, CurvePoints]

    def value(self, metric: str) -> float:
        """Returns the value of a summary metric; raises KeyError where there is no such metric."""
        return {figure.metric: figure.value for figure in self.summary}[metric]


@dataclass(frozen=True, eq=False)
class Clusters:
    """What the bootstrap resamples: the cluster of each clip, and how often each replicate draws each cluster.

    Attributes:
        codes: Cluster of each clip, shape (clips,).
        count: How many clusters.
        num_speakers: How many speakers are known.
        method: What a cluster is.
        weights: Times drawn, shape (replicates, clusters).
    """

    codes: NDArray[np.int64]
    count: int
    num_speakers: int
    method: CiMethod
    weights: NDArray[np.float64]


def cluster_clips(speakers: pl.Series, bootstrap: Bootstrap, max_clusters: int = MAX_CLUSTERS) -> Clusters:
    """Returns the clusters of clips: one per speaker; a clip whose speaker is unknown is its own.

    One speaker alone cannot be resampled, so then, too, every clip is its own.
    """
    known = speakers.filter(speakers != "").unique().sort()
    codes = speakers.cast(pl.Enum(known), strict=False).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
    clusters, count = deal_clusters(codes, max_clusters, bootstrap.seed)
    method: CiMethod = "speaker_bootstrap" if len(known) else "clip_bootstrap"
    if count == 1:
        clusters, count = deal_clusters(np.full(len(codes), -1), max_clusters, bootstrap.seed)
        method = "clip_bootstrap"
    return Clusters(clusters, count, len(known), method, resample_weights(count, bootstrap.replicates, bootstrap.seed))


def evaluate(truth: Truth, predictions: Predictions, bootstrap: Bootstrap | None = None) -> Score:
    """Scores predictions against the truth, clip by clip in the same order.

    Args:
        truth: What the clips are.
        predictions: What a system says they are.
        bootstrap: Settings of the intervals.
    """
    num_labels = len(truth.labels)
    max_clusters = min(MAX_CLUSTERS, max(_MIN_CLUSTERS, _MOST_CELLS // num_labels**2))
    clusters = cluster_clips(truth.speakers, bootstrap or Bootstrap(), max_clusters)
    by_cluster = confusion_by_cluster(truth.truth, predictions.predicted, clusters.codes, num_labels, clusters.count)
    counts = by_cluster.sum(axis=0)
    point = Confusion(counts, truth.num_keywords)
    curves = _curves(truth, predictions.scores, clusters)
    keywords = truth.labels[: truth.num_keywords]
    return Score(
        labels=truth.labels,
        num_keywords=truth.num_keywords,
        num_clips=len(truth.truth),
        num_speakers=clusters.num_speakers,
        summary=(*_summary(point, by_cluster, clusters), *_curve_figures(curves, clusters)),
        keywords=_keyword_scores(keywords, point, curves),
        confusion=counts,
        det={keyword: curve.points for keyword, curve in zip(keywords, curves, strict=False)},
    )


def _summary(point: Confusion, by_cluster: NDArray[np.int64], clusters: Clusters) -> list[Figure]:
    intervals = _intervals(by_cluster, point.num_keywords, clusters)
    accuracy = _proportion("accuracy", point.correct, point.total)
    if clusters.method == "speaker_bootstrap":
        low, high = intervals["accuracy"]
        accuracy = replace(accuracy, ci_low=low, ci_high=high, ci_method=clusters.method)
    means = {
        metric: Figure(metric, float(getattr(point, metric)), *intervals[metric], None, None, clusters.method)
        for metric in _RESAMPLED[1:]
    }
    return [
        accuracy,
        means.pop("balanced_accuracy"),
        _proportion("frr", point.keyword_rejects, point.keyword_total),
        _proportion("far", point.background_accepts, point.background_total),
        _proportion("confusion_rate", point.confusions, point.keyword_total),
        *means.values(),
    ]


def _intervals(by_cluster: NDArray[np.int64], num_keywords: int, clusters: Clusters) -> dict[str, tuple[float, float]]:
    """The interval of every resampled metric; as many replicates at a time as memory is to hold."""
    num_clusters, num_labels, _ = by_cluster.shape
    cells = by_cluster.reshape(num_clusters, -1).astype(np.float64)
    step = max(1, _CELLS_AT_A_TIME // num_labels**2)
    values: dict[str, list[NDArray[np.float64]]] = {metric: [] for metric in _RESAMPLED}
    for start in range(0, len(clusters.weights), step):
        counts = (clusters.weights[start : start + step] @ cells).reshape(-1, num_labels, num_labels)
        for metric, parts in values.items():
            parts.append(getattr(Confusion(counts, num_keywords), metric))
    return {metric: _interval(np.concatenate(parts), clusters) for metric, parts in values.items()}


def _interval(resampled: NDArray[np.float64], clusters: Clusters) -> tuple[float, float]:
    """NaN where there is but one clip, from which nothing can be resampled."""
    return percentile_interval(resampled) if clusters.count > 1 else (math.nan, math.nan)


def _proportion(metric: str, counts: NDArray[Any], totals: NDArray[Any]) -> Figure:
    count, total = int(counts), int(totals)
    low, high = wilson(count, total)
    return Figure(metric, count / total if total else math.nan, float(low), float(high), count, total, "wilson")


@dataclass(frozen=True, eq=False)
class _Curve:
    exact: DetectionCurve
    points: CurvePoints
    resampled: CurveFigures


def _curves(truth: Truth, scores: Sequence[NDArray[np.float64]] | None, clusters: Clusters) -> list[_Curve]:
    if scores is None:
        return []
    # More threads than processors only get in each other's way, and each holds some copies of the scores.
    with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS)) as pool:
        return list(
            pool.map(lambda code: _curve(truth.truth == code, scores[code], clusters), range(truth.num_keywords))
        )


def _curve(is_positive: NDArray[np.bool_], scores: NDArray[np.float64], clusters: Clusters) -> _Curve:
    exact = DetectionCurve(scores[is_positive], scores[~is_positive])
    resampled = bootstrap_curve(exact, scores, is_positive, clusters.codes, clusters.weights)
    return _Curve(exact, exact.thinned(MAX_DET_POINTS), resampled)


def _curve_figures(curves: Sequence[_Curve], clusters: Clusters) -> list[Figure]:
    if not curves:
        return []
    auc = [(curve.exact.auc(), curve.resampled.auc) for curve in curves]
    eer = [(curve.exact.eer(), curve.resampled.eer) for curve in curves]
    return [_mean_of_curves("macro_auc", auc, clusters), _mean_of_curves("macro_eer", eer, clusters)]


def _mean_of_curves(metric: str, values: Sequence[tuple[float, NDArray[np.float64]]], clusters: Clusters) -> Figure:
    """Mean over the keywords whose value is defined, and over their replicates."""
    value = mean_where_defined([point for point, _ in values])
    low, high = _interval(mean_where_defined([resampled for _, resampled in values], axis=0), clusters)
    return Figure(metric, float(value), low, high, None, None, clusters.method)


def _keyword_scores(keywords: Sequence[str], point: Confusion, curves: Sequence[_Curve]) -> tuple[KeywordScore, ...]:
    frr_low, frr_high = wilson(point.false_rejects, point.positives)
    far_low, far_high = wilson(point.false_accepts, point.negatives)
    columns: dict[str, Sequence[Any] | NDArray[Any]] = {
        "positives": point.positives,
        "false_rejects": point.false_rejects,
        "frr": point.keyword_frr,
        "frr_low": frr_low,
        "frr_high": frr_high,
        "negatives": point.negatives,
        "false_accepts": point.false_accepts,
        "far": point.keyword_far,
        "far_low": far_low,
        "far_high": far_high,
        "precision": point.precision,
        "recall": point.recall,
        "f1": point.f1,
    }
    if curves:
        columns["auc"] = [curve.exact.auc() for curve in curves]
        columns["eer"] = [curve.exact.eer() for curve in curves]
        columns["frr_at_far_1pct"] = [curve.exact.frr_at_far(0.01) for curve in curves]
        columns["frr_at_far_01pct"] = [curve.exact.frr_at_far(0.001) for curve in curves]
    rows = zip(*(np.asarray(column).tolist() for column in columns.values()), strict=True)
    return tuple(
        KeywordScore(keyword, **dict(zip(columns, row, strict=True)))
        for keyword, row in zip(keywords, rows, strict=True)
    )
