"""Canaries: a table of answers loses them, a model of the words keeps them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwsbench.submission import canaries
from kwsbench.submission.canaries import canary, changed_clips, chosen, verdict_on

RATE_HZ = 16_000
IDS = [f"yes/{number}.wav" for number in range(40)]
CLIPS = np.random.default_rng(0).uniform(-0.5, 0.5, (40, 1_600)).astype(np.float32)


def _changes(seed: str) -> dict[str, np.ndarray]:
    return dict(changed_clips(CLIPS, IDS, RATE_HZ, seed))


def test_equal_models_get_equal_canaries() -> None:
    """The same seed gives the same samples, bit for bit, and another seed gives other ones of every clip."""
    one, again, other = _changes("a"), _changes("a"), _changes("b")
    for name, clips in one.items():
        assert np.array_equal(clips, again[name])
        assert (clips != other[name]).any(axis=1).all()


def test_every_clip_is_changed_in_every_way() -> None:
    """No change leaves a clip as it was, digital silence aside, to which only noise is a change."""
    assert len(_changes("a")) == 3
    for clips in _changes("a").values():
        assert clips.dtype == np.float32
        assert (clips != CLIPS).any(axis=1).all()
    silent = dict(changed_clips(np.zeros_like(CLIPS), IDS, RATE_HZ, "a"))
    assert [bool(clips.any()) for clips in silent.values()] == [False, True, False]


def test_changes_are_as_small_as_they_say() -> None:
    """Clips move by 2 to 10 ms with zeros coming in, noise is 60 dB below, and gains are 1 to 3 dB lower."""
    moved, noisy, quieter = _changes("a").values()
    for clip, other in zip(CLIPS, moved, strict=True):
        shifts = [by for by in range(-160, 161) if _is_moved(clip, other, by)]
        assert len(shifts) == 1
        assert 32 <= abs(shifts[0]) <= 160
    ratios_db = 10 * np.log10(np.square(CLIPS).mean(axis=1) / np.square(noisy - CLIPS).mean(axis=1))
    assert np.allclose(ratios_db, 60, atol=1)
    gains_db = 20 * np.log10(np.abs(quieter).max(axis=1) / np.abs(CLIPS).max(axis=1))
    assert ((gains_db >= -3.001) & (gains_db <= -0.999)).all()


def _is_moved(clip: np.ndarray, other: np.ndarray, by: int) -> bool:
    expected = np.zeros_like(clip)
    expected[max(by, 0) : len(clip) + min(by, 0)] = clip[max(-by, 0) : len(clip) - max(by, 0)]
    return np.array_equal(expected, other)


def test_at_most_so_many_clips_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many clips some are taken, in their order, and others for another model."""
    monkeypatch.setattr(canaries, "NUM_CLIPS", 10)
    places = chosen(IDS, "a").tolist()
    assert places == sorted(set(places))
    assert len(places) == 10
    assert places != chosen(IDS, "b").tolist()
    assert chosen(IDS[:4], "a").tolist() == [0, 1, 2, 3]


def test_a_table_of_answers_is_told() -> None:
    """A model that is right on all clips and on changed ones as often as chance is a table; the words say so."""
    truth = np.arange(200) % 4
    assert "100.0 % of the clips are right as they are, 25.0 % moved" in verdict_on(
        "moved", truth, np.zeros(200, int), truth
    )
    assert "150 of 200 labels change" in verdict_on("moved", truth, np.zeros(200, int), None)


def test_a_table_beside_a_weak_model_is_told() -> None:
    """A table on top of a model that is right on 90 % of the clips is seen in what the changes take away."""
    truth = np.zeros(500, int)
    after = (np.arange(500) % 10 == 0).astype(int)
    assert verdict_on("moved", truth, after, truth)


@given(st.integers(0, 20), st.integers(0, 20))
def test_a_few_clips_either_way_are_no_table(lost: int, won: int) -> None:
    """Where changes take about as many clips as they give, or few, nothing is said: up to 5 % net of 400 clips."""
    truth, before, after = np.zeros(400, int), np.zeros(400, int), np.zeros(400, int)
    after[:lost] = 1
    before[100 : 100 + won] = 1
    assert verdict_on("moved", before, after, truth) == ""
    assert verdict_on("moved", before, after, None) == ""


def test_few_clips_prove_nothing() -> None:
    """With four clips, losing all of them may be chance."""
    truth = np.zeros(4, int)
    assert verdict_on("moved", truth, truth + 1, truth) == ""


def test_a_canary_counts_changes_and_right_answers() -> None:
    """Labels that differ are counted against the unchanged clips, right ones against the truth."""
    before, after, truth = np.array([0, 1, 2, 0]), np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1])
    told = canary("moved", before, after, truth)
    assert (told.num_clips, told.num_label_changes, told.accuracy) == (4, 2, 0.75)
    assert canary("moved", before, after, None).accuracy is None
