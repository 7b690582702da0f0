"""Ranks and bands, against slow programs that follow the written procedure word by word."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import combinations
from typing import get_args

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest

from kwsbench.leaderboard.clip_costs import clip_costs, value_of
from kwsbench.leaderboard.ranking import Contender, Place, bands_of, holm, paired_p_values, places
from kwsbench.leaderboard.rule_tables import Metric, Ranking
from kwsbench.metrics.confusion import Confusion, confusion_matrix
from kwsbench.metrics.paired import mcnemar_exact
from kwsbench.predictions import Truth
from tests.leaderboard.courses import MONDAY, truth_of, wrong_on

METRICS: tuple[Metric, ...] = get_args(Metric)


def _contenders(truth: Truth, predicted: Sequence[NDArray[np.int32]], metric: Metric = "accuracy") -> list[Contender]:
    values = value_of(clip_costs(truth, np.stack(predicted), metric), metric)
    return [
        Contender(f"team-{number}/one", float(value), MONDAY + timedelta(hours=number), codes)
        for number, (value, codes) in enumerate(zip(values, predicted, strict=True))
    ]


def _systems(truth: Truth, accuracies: Sequence[float], seed: int) -> list[NDArray[np.int32]]:
    random = np.random.default_rng(seed)
    num_clips = len(truth.truth)
    return [wrong_on(truth, np.flatnonzero(random.random(num_clips) > accuracy)) for accuracy in accuracies]


def _slow_bands(truth: Truth, ordered: Sequence[Contender]) -> list[int]:
    """The procedure with accuracy, as it is written down, pair by pair."""
    pairs = {}
    for one in range(len(ordered)):
        for other in range(one + 1, len(ordered)):
            right, too = (entry.predicted == truth.truth for entry in (ordered[one], ordered[other]))
            only_one, only_other = int((right & ~too).sum()), int((~right & too).sum())
            total = only_one + only_other
            pairs[one, other] = binomtest(only_one, total, 0.5).pvalue if total else 1.0
    corrected, largest = {}, 0.0
    for rank, (pair, p_value) in enumerate(sorted(pairs.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, p_value * (len(pairs) - rank)))
        corrected[pair] = largest
    bands, leader = [1], 0
    for number in range(1, len(ordered)):
        if corrected[leader, number] < 0.05:
            leader = number
            bands.append(bands[-1] + 1)
        else:
            bands.append(bands[-1])
    return bands


@pytest.mark.parametrize("seed", range(6))
def test_bands_are_those_of_the_written_procedure(seed: int) -> None:
    """Fast and slow agree on the bands of entries that differ a little, a lot, and not at all."""
    truth = truth_of(300)
    random = np.random.default_rng(seed)
    predicted = _systems(truth, random.uniform(0.6, 0.98, 12).tolist(), seed)
    contenders = _contenders(truth, [*predicted, predicted[0]])
    found = places(truth, contenders, Ranking())
    ordered = sorted(contenders, key=lambda one: (-one.value, one.submitted, one.key))
    assert list(found) == [one.key for one in ordered]
    assert [place.band for place in found.values()] == _slow_bands(truth, ordered)
    assert max(place.band for place in found.values()) > 1


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90)), min_size=1, max_size=8))
@settings(max_examples=40)
def test_p_values_of_accuracy_are_those_of_the_exact_mcnemar_test(counts: list[tuple[int, int]]) -> None:
    """The fast p-values of all pairs are those that are computed one by one, from none to many differing clips."""
    truth = truth_of(200)
    random = np.random.default_rng(len(counts))
    rows = [wrong_on(truth, random.permutation(200)[: sum(pair)]) for pair in counts] + [truth.truth]
    right = np.stack(rows) == truth.truth
    found = paired_p_values(truth, np.stack(rows), Ranking())
    for p_value, (one, other) in zip(found, combinations(right, 2), strict=True):
        expected = mcnemar_exact(int((one & ~other).sum()), int((~one & other).sum()))
        assert p_value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("metric", METRICS)
@given(st.integers(0, 2**32 - 1))
@example(3179743)  # without background clips
@settings(max_examples=15)
def test_costs_add_up_to_the_metric(metric: Metric, seed: int) -> None:
    """What clips cost adds up to the figure that the confusion matrix gives, whatever labels are missing."""
    random = np.random.default_rng(seed)
    truth = truth_of(60)
    codes = random.choice(4, 60, p=random.dirichlet([0.5] * 4)).astype(np.int32)
    truth = Truth(truth.clip_ids, truth.labels, 2, codes, truth.speakers)
    predicted = random.integers(0, 4, (3, 60))
    expected = [getattr(Confusion(confusion_matrix(codes, row, 4), 2), metric) for row in predicted]
    np.testing.assert_allclose(value_of(clip_costs(truth, predicted, metric), metric), expected, atol=1e-12)


@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric != "accuracy"])
def test_the_sign_flip_test_is_a_safe_one(metric: Metric) -> None:
    """Its p-value is that of random signs, or a little over it, but not under it."""
    truth = truth_of(400)
    random = np.random.default_rng(5)
    predicted = np.stack(_systems(truth, [0.9, 0.86, 0.8], 5))
    costs = clip_costs(truth, predicted, metric)
    found = paired_p_values(truth, predicted, Ranking(metric=metric))
    for p_value, (one, other) in zip(found, [(0, 1), (0, 2), (1, 2)], strict=True):
        difference = costs[one] - costs[other]
        signs = random.choice([-1.0, 1.0], (20_000, len(difference)))
        by_chance = (np.abs(signs @ difference) >= abs(difference.sum()) - 1e-12).mean()
        assert by_chance - 0.02 <= p_value <= 1.5 * by_chance + 0.03


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_is_monotone_and_no_weaker_than_bonferroni(p_values: list[float]) -> None:
    """Corrected p-values keep the order, are never under the raw ones, and never over Bonferroni's."""
    raw = np.array(p_values)
    corrected = holm(raw)
    assert (corrected >= raw).all()
    assert (corrected <= np.minimum(1, raw * len(raw))).all()
    assert (np.diff(corrected[np.argsort(raw, kind="stable")]) >= 0).all()


def test_equally_good_entries_are_seldom_told_apart() -> None:
    """Of competitions of twenty equally good entries at most about one in twenty has a second band."""
    truth = truth_of(400)
    split = sum(
        max(
            place.band
            for place in places(truth, _contenders(truth, _systems(truth, [0.9] * 20, seed)), Ranking()).values()
        )
        > 1
        for seed in range(60)
    )
    assert split <= 5


def test_clearly_different_entries_have_bands_of_their_own() -> None:
    """Entries that differ on many clips are told apart, in the order of their figures."""
    truth = truth_of(400)
    found = places(truth, _contenders(truth, [wrong_on(truth, range(count)) for count in (100, 0, 50)]), Ranking())
    assert found == {"team-1/one": Place(1, 1), "team-2/one": Place(2, 2), "team-0/one": Place(3, 3)}


def test_equal_figures_share_a_rank_or_the_earlier_one_is_ahead() -> None:
    """With `band` equal figures share a rank and the next one is skipped; with `earlier` time decides."""
    truth = truth_of(40)
    contenders = _contenders(truth, [wrong_on(truth, clips) for clips in ([0], [1], [2, 3])])[::-1]
    shared = places(truth, contenders, Ranking())
    assert [(key, place.rank) for key, place in shared.items()] == [
        ("team-0/one", 1),
        ("team-1/one", 1),
        ("team-2/one", 3),
    ]
    apart = places(truth, contenders, Ranking(ties="earlier"))
    assert [place.rank for place in apart.values()] == [1, 2, 3]


@given(st.permutations(range(6)))
@settings(max_examples=20)
def test_the_order_of_the_folders_does_not_matter(order: list[int]) -> None:
    """Ranks and bands are the same whatever order entries come in."""
    truth = truth_of(100)
    contenders = _contenders(truth, _systems(truth, [0.95, 0.9, 0.9, 0.7, 0.5, 0.5], 1))
    assert places(truth, [contenders[place] for place in order], Ranking()) == places(truth, contenders, Ranking())


def test_fewer_errors_are_better_where_the_metric_is_an_error_rate() -> None:
    """With a false reject rate the entry with the smaller figure leads."""
    truth = truth_of(400)
    predicted = [wrong_on(truth, range(200)), wrong_on(truth, [])]
    found = places(truth, _contenders(truth, predicted, "macro_frr"), Ranking(metric="macro_frr"))
    assert found == {"team-1/one": Place(1, 1), "team-0/one": Place(2, 2)}


def test_nobody_and_one_alone_can_be_ranked() -> None:
    """A board without entries has no places, and a single entry leads the first band."""
    truth = truth_of(8)
    assert places(truth, [], Ranking()) == {}
    assert places(truth, _contenders(truth, [truth.truth]), Ranking()) == {"team-0/one": Place(1, 1)}
    assert bands_of(np.array([]), 1) == [1]
