"""The public and the private part: who is where, who can know, and how finely the public part is shown."""

from __future__ import annotations

import hashlib
import hmac
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwsbench.errors import InputError
from kwsbench.leaderboard.coarse import coarse_score, step_for
from kwsbench.leaderboard.hidden import predictions_of, private_clips, truth_of
from kwsbench.leaderboard.rule_tables import Private, hash_of_key
from kwsbench.predictions import Predictions, Truth
from kwsbench.score.evaluate import Score, evaluate
from tests.leaderboard.courses import truth_of as make_truth

KEY, OTHER = "k" * 40, "o" * 40


def _private(share: float = 0.5, key: str = KEY) -> Private:
    return Private(share=share, key_sha256=hash_of_key(key))


def test_a_clip_is_private_by_the_keyed_hash_of_its_speaker() -> None:
    """Who is private is what HMAC-SHA256 of the speaker says, and of the clip where there is no speaker."""
    truth = make_truth(400, 60)
    found = private_clips(truth, _private(0.3), KEY)
    for clip, (clip_id, speaker) in enumerate(zip(truth.clip_ids, truth.speakers, strict=True)):
        unit = f"speaker\0{speaker}" if speaker else f"clip\0{clip_id}"
        digest = hmac.new(KEY.encode(), unit.encode(), hashlib.sha256).digest()
        assert found[clip] == (int.from_bytes(digest[:8], "big") / 2**64 < 0.3)


def test_all_clips_of_a_speaker_are_on_one_side() -> None:
    """No speaker is in both parts."""
    truth = make_truth(400, 60)
    found = private_clips(truth, _private(), KEY)
    table = pl.DataFrame({"speaker": truth.speakers, "private": found}).filter(pl.col("speaker") != "")
    assert table.group_by("speaker").agg(pl.col("private").n_unique())["private"].max() == 1


def test_another_key_makes_another_split_of_about_that_share() -> None:
    """The split follows the key, and its size the share."""
    truth = make_truth(4_000, 1_000)
    one = private_clips(truth, _private(0.3), KEY)
    other = private_clips(truth, _private(0.3, OTHER), OTHER)
    assert (one != other).any()
    assert abs(one.mean() - 0.3) < 0.05


def test_without_the_key_that_was_committed_there_is_no_split() -> None:
    """A missing key, another key and a short one are errors, and the key of the rules is taken where it is revealed."""
    truth = make_truth()
    with pytest.raises(InputError, match="not revealed"):
        private_clips(truth, _private())
    with pytest.raises(InputError, match="not the one"):
        private_clips(truth, _private(), OTHER)
    with pytest.raises(InputError, match="can be guessed"):
        private_clips(truth, _private(), "short")
    revealed = Private(share=0.5, key_sha256=hash_of_key(KEY), key=KEY)
    assert (private_clips(truth, revealed) == private_clips(truth, _private(), KEY)).all()


def test_a_part_without_clips_is_an_error() -> None:
    """A share that leaves one part empty is said to be."""
    with pytest.raises(InputError, match="all clips are public"):
        private_clips(make_truth(8, 2), _private(1e-9), KEY)


def test_parts_keep_clips_and_scores_together() -> None:
    """What is taken of truth and predictions are the same clips in the same order."""
    truth = make_truth(40)
    clips = np.arange(40) % 3 == 0
    scores = tuple(np.arange(40.0) + code for code in range(4))
    part, predicted = truth_of(truth, clips), predictions_of(Predictions(truth.truth, scores), clips)
    assert part.clip_ids.to_list() == [clip_id for clip_id, kept in zip(truth.clip_ids, clips, strict=True) if kept]
    assert (predicted.predicted == part.truth).all()
    assert predicted.scores is not None
    assert predicted.scores[1].tolist() == (np.flatnonzero(clips) + 1.0).tolist()


def _score(num_wrong: int, *, scores: bool = False, num_clips: int = 1_200) -> tuple[Truth, Score]:
    truth = make_truth(num_clips, 100)
    random = np.random.default_rng(3)
    predicted = truth.truth.copy()
    wrong = random.permutation(num_clips)[:num_wrong]
    predicted[wrong] = (predicted[wrong] + random.integers(1, 4, num_wrong)) % 4
    columns = tuple((predicted == code) + random.random(num_clips) for code in range(4)) if scores else None
    return truth, evaluate(truth, Predictions(predicted, columns))


@given(st.floats(1e-6, 1))
def test_a_step_is_round_and_not_below_the_error(error: float) -> None:
    """A step is 1, 2 or 5 times a power of ten, at least the error, and less than two and a half times it."""
    step = step_for(error)
    digit = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert round(digit, 6) in {1, 2, 5, 10}
    assert error * (1 - 1e-9) <= step < error * 2.5 * (1 + 1e-9)


@pytest.mark.parametrize("num_wrong", [0, 1, 40, 700])
def test_no_figure_is_finer_than_its_standard_error(num_wrong: int) -> None:
    """Every figure of a coarse score lies on a grid as wide as its standard error, and its interval only widens."""
    _, exact = _score(num_wrong)
    for fine, rough in zip(exact.summary, coarse_score(exact).summary, strict=True):
        error = max((fine.ci_high - fine.ci_low) / 3.92, 1 / 1_200)
        step = step_for(error)
        assert step >= error * 0.999
        assert rough.value == pytest.approx(min(1, round(fine.value / step) * step))
        assert (rough.ci_low <= fine.ci_low, rough.ci_high >= fine.ci_high) == (True, True)
        assert rough.count is None


def test_counts_do_not_give_the_number_of_right_clips_away() -> None:
    """Of entries that differ by up to sixty clips no more can be told apart than steps of a standard error lie between."""
    scores = [coarse_score(_score(num_wrong)[1]) for num_wrong in range(30, 90)]
    assert len({score.summary[0].value for score in scores}) <= 6
    assert len({score.confusion.trace() for score in scores}) <= 6
    assert len({score.confusion.tobytes() for score in scores}) <= 8


def test_figures_of_keywords_are_coarser_than_their_mean() -> None:
    """The rates of single keywords are on a grid that makes their mean no finer than the figure over all."""
    _, exact = _score(60)
    for fine, rough in zip(exact.keywords, coarse_score(exact).keywords, strict=True):
        step = step_for(math.sqrt(2) * (fine.frr_high - fine.frr_low) / 3.92)
        assert rough.frr == pytest.approx(round(fine.frr / step) * step)
        assert rough.false_rejects == round(rough.frr * fine.positives)


def test_coarse_curves_stay_curves() -> None:
    """A coarse DET curve is shorter, never rises in FAR and never falls in FRR."""
    _, exact = _score(60, scores=True)
    rough = coarse_score(exact)
    for keyword, points in rough.det.items():
        assert 2 <= len(points.frr) < len(exact.det[keyword].frr)
        assert (np.diff(points.frr) >= 0).all()
        assert (np.diff(points.far) <= 0).all()
