"""What a front-end costs, against counts by hand and against librosa's filters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kwsbench.budget.front_end_cost import front_end_count
from kwsbench.budget.report import Count
from kwsbench.errors import InputError
from kwsbench.features import mel_filters
from kwsbench.front_end import FrontEnd

COURSE = FrontEnd(kind="log_mel", window_samples=400, hop_samples=160, n_fft=400, num_mels=64)
SMALL = FrontEnd(kind="log_mel", window_samples=6, hop_samples=4, n_fft=8, num_mels=1, center=False)


def test_a_small_front_end_is_counted_by_hand() -> None:
    """One triangle over 8 kHz peaks at 1,769 Hz and so lies over bins 1 to 3 of 5: 3 weights."""
    weights = 3
    per_frame = 6 + 8 * 3 + 5 * 2 + weights + 1
    assert front_end_count(SMALL, 16_000, 16_000) == Count(params=6 + weights, macs=per_frame * (1 + (16_000 - 8) // 4))


@pytest.mark.parametrize(
    ("change", "more"),
    [({"power": 1}, 5), ({"log": "log10"}, 0), ({"log": "db"}, 1), ({"kind": "mfcc", "num_mfcc": 1}, 1)],
    ids=str,
)
def test_each_setting_costs_what_it_adds_to_a_frame(change: dict[str, object], more: int) -> None:
    """Magnitudes cost a square root per bin, decibels a multiplication per band, MFCC a product per band and order."""
    changed = FrontEnd.model_validate(SMALL.model_dump() | change)
    before, after = (front_end_count(one, 16_000, 8).macs or 0 for one in (SMALL, changed))
    assert after - before == 2_000 * more
    params = front_end_count(changed, 16_000, 8).params - front_end_count(SMALL, 16_000, 8).params
    assert params == (change.get("num_mfcc") or 0)


def test_the_front_end_of_the_course_has_the_filters_of_librosa() -> None:
    """The weights of 64 bands on 201 bins are those that librosa has, the rounding of the last edge left out."""
    librosa = pytest.importorskip("librosa")
    filters = librosa.filters.mel(sr=16_000, n_fft=400, n_mels=64, htk=True, norm=None, dtype=np.float64)
    weights = int((filters > 1e-9).sum())
    per_frame = 400 + 400 * 9 + 201 * 2 + weights + 64
    assert front_end_count(COURSE, 16_000, 16_000) == Count(params=400 + weights, macs=101 * per_frame)


def test_an_edge_on_a_bin_costs_nothing() -> None:
    """What rounding leaves at half the sample rate is no weight, on either scale of the course's bands."""
    filters = mel_filters(COURSE, 16_000)
    assert 0 < filters[-1, -1] < 1e-9
    assert front_end_count(COURSE, 16_000, 16_000).params == 400 + np.count_nonzero(filters) - 1


@st.composite
def _front_ends(draw: st.DrawFn) -> FrontEnd:
    n_fft, num_mels = draw(st.integers(16, 600)), draw(st.integers(1, 40))
    num_mfcc = draw(st.none() | st.integers(1, num_mels))
    return FrontEnd(
        kind="mfcc" if num_mfcc else "log_mel",
        window_samples=n_fft - 3,
        hop_samples=100,
        n_fft=n_fft,
        num_mels=num_mels,
        mel_scale=draw(st.sampled_from(["htk", "slaney"])),
        mel_norm=draw(st.sampled_from(["none", "slaney"])),
        num_mfcc=num_mfcc,
    )


@settings(max_examples=60)
@given(_front_ends(), st.integers(700, 40_000))
def test_any_front_end_is_counted_by_the_definition(front_end: FrontEnd, num_samples: int) -> None:
    """The count is that of the definition with the non-zero filters counted, and is per second of the clip."""
    filters = mel_filters(front_end, 16_000)
    weights = sum(int((band > 1e-9 * band.max()).sum()) for band in filters if band.max() > 0)
    n_fft, window, transform = front_end.n_fft, front_end.n_fft - 3, front_end.num_mels * (front_end.num_mfcc or 0)
    bins = len(np.fft.rfftfreq(n_fft))
    per_frame = window + n_fft * math.ceil(math.log2(n_fft)) + 2 * bins + weights + front_end.num_mels + transform
    counted = front_end_count(front_end, 16_000, num_samples)
    assert counted.params == window + weights + transform
    assert counted.macs == math.ceil((1 + num_samples // 100) * per_frame * 16_000 / num_samples)


def test_a_clip_too_short_for_a_frame_costs_nothing() -> None:
    """Without one whole frame there is nothing to compute, and the numbers are stored all the same."""
    assert front_end_count(SMALL, 16_000, 7) == Count(params=9, macs=0)


def test_bands_beyond_the_sample_rate_are_an_error() -> None:
    """A front-end whose bands do not fit the audio is named with the rate."""
    with pytest.raises(InputError, match="does not fit audio at 8,000 Hz: mel bands from 0 to 7600 Hz"):
        front_end_count(COURSE.model_copy(update={"f_max_hz": 7600.0}), 8_000, 8_000)
