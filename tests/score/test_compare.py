"""Two systems on the same clips: what the numbers are, and what the sentence says about them."""

import math
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest

from kwsbench.predictions import Predictions, Truth
from kwsbench.score.compare import Comparison, compare
from kwsbench.score.evaluate import Bootstrap


def _compare(
    right_a: Sequence[bool], right_b: Sequence[bool], speakers: Sequence[str] | None = None, seed: int = 0
) -> Comparison:
    """Compares systems that are right on the given clips; all clips hold the same word."""
    ids = pl.Series("path", [str(row) for row in range(len(right_a))])
    names = pl.Series("speaker_id", speakers or [""] * len(right_a))
    truth = Truth(ids, ("yes", "no"), 2, np.zeros(len(right_a), dtype=np.int32), names)
    a, b = (Predictions(np.where(right, 0, 1).astype(np.int32), None) for right in (right_a, right_b))
    return compare(truth, a, b, Bootstrap(400, seed))


def _right(both: int, only_a: int, only_b: int, neither: int = 0) -> tuple[list[bool], list[bool]]:
    a = [True] * (both + only_a) + [False] * (only_b + neither)
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return a, b


def test_counts_and_accuracies_are_those_of_the_clips() -> None:
    """The table counts clips by which system is right, and the difference is B minus A."""
    found = _compare(*_right(50, 5, 20, 25))
    assert (found.table.both, found.table.only_a, found.table.only_b, found.table.neither) == (50, 5, 20, 25)
    assert (found.accuracy_a, found.accuracy_b) == (0.55, 0.7)
    assert found.difference.difference == pytest.approx(0.15)
    assert found.difference.low < 0.15 < found.difference.high


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 1), (3, 9), (9, 3), (40, 70), (25, 25)])
def test_p_is_that_of_scipy(only_a: int, only_b: int) -> None:
    """The p-value is the two-sided binomial test of the clips that only one system gets right."""
    found = _compare(*_right(100, only_a, only_b))
    assert found.p_value == pytest.approx(binomtest(only_a, only_a + only_b).pvalue, rel=1e-12)


def test_the_order_of_the_systems_changes_the_sign_alone() -> None:
    """Exchanging the systems exchanges the counts and turns the difference and its interval round."""
    right_a, right_b = _right(60, 5, 25, 10)
    found, turned = _compare(right_a, right_b), _compare(right_b, right_a)
    assert (found.table.only_a, found.table.only_b) == (turned.table.only_b, turned.table.only_a)
    assert found.p_value == turned.p_value
    assert found.difference.difference == -turned.difference.difference
    assert found.difference.low == pytest.approx(-turned.difference.high)


def test_equal_systems_are_said_to_be_equal() -> None:
    """Systems that are right on the same clips cannot be told apart, whatever else they say."""
    found = _compare(*_right(30, 0, 0, 10))
    assert found.sentence("a", "b") == "a and b are right on the same clips: nothing tells them apart."
    assert (found.p_value, found.difference.difference) == (1.0, 0.0)


def test_a_clear_difference_is_said_to_be_one() -> None:
    """Where test and interval agree the better system is named first, with the evidence."""
    sentence = _compare(*_right(800, 20, 120, 60)).sentence("old", "new")
    assert sentence.startswith(
        "new is better than old by 10.00 points, more than chance explains (95 % interval of B - A: +"
    )
    assert sentence.endswith("points; McNemar p under 0.0001; they disagree in correctness on 140 clips).")
    turned = _compare(*_right(800, 120, 20, 60)).sentence("old", "new")
    assert turned.startswith("old is better than new by 10.00 points")
    assert "interval of B - A: -" in turned


def test_a_difference_of_few_speakers_is_said_to_hang_on_them() -> None:
    """Where clips differ clearly but only for one speaker in five, the sentence warns of other speakers."""
    right_a, right_b = _right(80, 0, 20)
    speakers = [f"s{row // 20}" for row in range(100)]
    found = _compare(right_a, right_b, speakers)
    assert found.ci_method == "speaker_bootstrap"
    assert (found.p_value < 0.05, found.difference.low) == (True, 0.0)
    sentence = found.sentence("a", "b")
    assert sentence.startswith("b is better than a by 20.00 points on these clips, but with other speakers it could be")


def test_a_small_difference_is_said_to_be_chance() -> None:
    """Where the test does not reject, the sentence says that the clips cannot tell."""
    found = _compare(*_right(90, 3, 5, 2))
    sentence = found.sentence("a.csv", "b.csv")
    assert sentence.startswith(
        "These clips cannot tell a.csv and b.csv apart: the difference of 2.00 points is within chance ("
    )
    assert f"McNemar p = {found.p_value:.4f}; they disagree in correctness on 8 clips)." in sentence


def test_a_single_clip_has_no_interval_to_speak_of() -> None:
    """One clip gives no interval, and the sentence leaves it out instead of showing nan."""
    found = _compare([True], [False])
    assert math.isnan(found.difference.low)
    sentence = found.sentence("a", "b")
    assert sentence.endswith("within chance (McNemar p = 1.0000; they disagree in correctness on 1 clip).")


def test_what_is_resampled_is_named() -> None:
    """Without speakers clips are resampled, with one speaker alone too, and with several it is they."""
    right_a, right_b = _right(10, 4, 6)
    assert _compare(right_a, right_b).ci_method == "clip_bootstrap"
    assert _compare(right_a, right_b, ["s"] * 20).ci_method == "clip_bootstrap"
    assert _compare(right_a, right_b, ["s", "t"] * 10).ci_method == "speaker_bootstrap"


def test_equal_seeds_give_equal_intervals() -> None:
    """The interval depends on the seed alone; the rest does not depend on it."""
    right = _right(60, 5, 25, 10)
    first, again, other = (_compare(*right, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.difference != other.difference
    assert (first.p_value, first.table) == (other.p_value, other.table)
