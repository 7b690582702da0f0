"""What each clip contributes to a figure: the metrics that entries are ranked by, as sums over clips.

Every such metric is the sum of the costs of all clips, or 1 less that sum where higher is better. So two entries can be
compared clip by clip, whatever the metric. The conventions are those of `kwsbench.metrics`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kwsbench.leaderboard.rule_tables import Metric
from kwsbench.predictions import Truth


def clip_costs(truth: Truth, predicted: NDArray[np.integer], metric: Metric) -> NDArray[np.float64]:
    """Returns what each clip costs.

    Args:
        truth: What the clips are.
        predicted: Codes of the predicted labels, shape (..., clips): of one entry, or of many.
        metric: The figure.

    Returns:
        Costs from 0 up, in the shape of `predicted`; NaN throughout where the figure is not defined.
    """
    if metric == "macro_far":
        return _accept_costs(truth, predicted)
    weights = _weights(truth, metric)
    wrong: NDArray[np.bool_] = np.not_equal(predicted, truth.truth)
    if metric in ("confusion_rate", "far"):
        wrong &= predicted < truth.num_keywords
    costs: NDArray[np.float64] = np.multiply(wrong, weights)  # where the weights are NaN, every cost is
    return costs


def value_of(costs: NDArray[np.float64], metric: Metric) -> NDArray[np.float64]:
    """Returns the figure that costs add up to, shape (...) for costs of shape (..., clips)."""
    total = np.asarray(costs.sum(axis=-1))
    return np.asarray(1 - total) if metric.endswith("accuracy") else total


def _weights(truth: Truth, metric: Metric) -> NDArray[np.float64]:
    """What a wrong label costs, for each clip."""
    codes = truth.truth
    if metric == "accuracy":
        return np.full(len(codes), _inverse(len(codes)))
    counts = np.bincount(codes, minlength=len(truth.labels))
    if metric == "balanced_accuracy":
        return _mean_weights(counts)[codes]
    counts[slice(truth.num_keywords) if metric == "far" else slice(truth.num_keywords, None)] = 0
    per_label = _mean_weights(counts) if metric == "macro_frr" else np.where(counts > 0, _inverse(int(counts.sum())), 0)
    if not counts.any():
        return np.full(len(codes), np.nan)
    return np.asarray(per_label[codes])


def _accept_costs(truth: Truth, predicted: NDArray[np.integer]) -> NDArray[np.float64]:
    """What taking a clip for a keyword that it is not costs in the mean over the keywords."""
    keywords = truth.num_keywords
    wrong = (predicted != truth.truth) & (predicted < keywords)
    negatives = len(truth.truth) - np.bincount(truth.truth, minlength=len(truth.labels))
    negatives[keywords:] = 0
    if not negatives.any():
        return np.full(predicted.shape, np.nan)
    return np.where(wrong, _mean_weights(negatives)[predicted], 0.0)


def _mean_weights(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """What one of `counts` weighs in a mean of rates over those that are defined; 0 where there is none."""
    weights = np.zeros(len(counts))
    defined = max(int(np.count_nonzero(counts)), 1)
    np.divide(1.0, counts * defined, out=weights, where=counts > 0)
    return weights


def _inverse(total: int) -> float:
    return 1 / total if total else float("nan")
