"""The settings of a front-end: what fits together, and how many frames they give."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kwsbench.front_end import FrontEnd

PROPERTY = settings(deadline=None, derandomize=True, max_examples=200, database=None)

LOG_MEL: dict[str, Any] = {
    "kind": "log_mel",
    "window_samples": 400,
    "hop_samples": 160,
    "n_fft": 512,
    "num_mels": 40,
}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"window_samples": 513}, "window_samples is over n_fft"),
        ({"kind": "mfcc"}, "num_mfcc goes with"),
        ({"num_mfcc": 13}, "num_mfcc goes with"),
        ({"kind": "mfcc", "num_mfcc": 41}, "num_mfcc is over num_mels"),
        ({"f_min_hz": 100.0, "f_max_hz": 100.0}, "f_max_hz is not over f_min_hz"),
        ({"log_floor": 0.0}, "greater than 0"),
        ({"log_floor": float("inf")}, "finite"),
        ({"power": 3}, "1 or 2"),
        ({"hop": 160}, "Extra inputs"),
        ({"hop_samples": "160"}, "valid integer"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change: dict[str, Any], says: str) -> None:
    """Each rule between the settings, and each range, is held."""
    with pytest.raises(ValidationError, match=says):
        FrontEnd(**(LOG_MEL | change))


def test_an_mfcc_front_end_keeps_the_other_settings() -> None:
    """Only the kind and the number of coefficients change."""
    log_mel = FrontEnd(**LOG_MEL, mel_scale="slaney")
    assert log_mel.with_mfcc(13) == FrontEnd(**(LOG_MEL | {"kind": "mfcc"}), mel_scale="slaney", num_mfcc=13)
    assert log_mel.with_mfcc(13).with_mfcc(20).num_mfcc == 20


@pytest.mark.parametrize("num_mfcc", [0, -1, 41])
def test_an_mfcc_front_end_is_checked_too(num_mfcc: int) -> None:
    """There are at least one and at most as many coefficients as bands."""
    with pytest.raises(ValueError, match="num_m"):
        FrontEnd(**LOG_MEL).with_mfcc(num_mfcc)


@PROPERTY
@given(st.integers(1, 20), st.integers(1, 40), st.integers(0, 200), st.booleans())
def test_frames_are_those_that_fit(hop: int, n_fft: int, num_samples: int, center: bool) -> None:  # noqa: FBT001 (drawn)
    """Frames start every hop: at every multiple of it where centred, else as long as a whole transform fits."""
    front_end = FrontEnd(
        kind="log_mel", window_samples=1, hop_samples=hop, n_fft=n_fft, num_mels=4, f_max_hz=10.0, center=center
    )
    starts = range(0, num_samples + 1, hop) if center else range(0, num_samples - n_fft + 1, hop)
    assert front_end.num_frames(num_samples) == len(starts)
