from __future__ import annotations

import hashlib
import math
from decimal import localcontext

import numpy as np
import pytest
from scipy.signal import resample_poly

from kwsbench.dataset.synthetic_audio import (
    NOISE_KINDS,
    Draws,
    Samples,
    amplitude,
    at_level,
    energy,
    mix,
    noise,
    resample,
    trim,
)

_DRAWS = Draws("en-us+m1:yes:0")
_WORDS: list[Samples] = [np.arange(-3_000, 3_000), np.full(20_000, 7)]


def test_draws_are_those_of_the_documented_hash() -> None:
    """A draw is the first eight bytes of SHA-256, little-endian, modulo the number of values."""
    digest = hashlib.sha256(b"kwsbench synth:en-us+m1:yes:0:pitch").digest()
    assert _DRAWS.whole("pitch", 30, 70) == 30 + int.from_bytes(digest[:8], "little") % 41
    assert _DRAWS.tenths("snr", (-5.0, -5.0)) == -50


def test_draws_reach_both_ends() -> None:
    """All values of a range are drawn, its ends included, and no other."""
    drawn = {Draws(f"voice:word:{take}").whole("speed", -2, 2) for take in range(200)}
    assert drawn == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize(
    ("kind", "sha256"),
    [
        ("white", "f64067d045ef0b49"),
        ("pink", "989e03e73fa5bb3e"),
        ("brown", "170f5293c3c3669e"),
        ("hum", "9809f854a26439e5"),
        ("babble", "97008ba9c125f1f9"),
    ],
)
def test_noise_is_the_same_on_every_machine(kind: str, sha256: str) -> None:
    """One second of each kind of noise has a known hash."""
    samples = noise(kind, _DRAWS, 16_000, _WORDS)
    assert samples.shape == (16_000,)
    assert hashlib.sha256(samples.astype("<i8").tobytes()).hexdigest()[:16] == sha256


def test_all_kinds_of_noise_are_pinned() -> None:
    """There are five kinds, those of the test above."""
    assert NOISE_KINDS == ("white", "pink", "brown", "hum", "babble")


@pytest.mark.parametrize(("kind", "per_octave_db"), [("white", 0), ("pink", -3), ("brown", -6)])
def test_spectra_fall_as_their_colour_says(kind: str, per_octave_db: float) -> None:
    """From 300 Hz to 4.8 kHz the power density falls by 0, 3 or 6 dB per octave, within 1.5 dB."""
    power = np.abs(np.fft.rfft(noise(kind, _DRAWS, 160_000, _WORDS))) ** 2
    density = [power[low * 10 : 2 * low * 10].mean() for low in (300, 2_400)]
    assert 10 * math.log10(density[1] / density[0]) / 3 == pytest.approx(per_octave_db, abs=1.5)


def test_resampling_agrees_with_scipy() -> None:
    """The integer filter gives what scipy's own gives, within one unit of the last bit."""
    samples = (8_000 * np.sin(np.arange(22_050) ** 1.3 / 300)).astype(np.int16)
    expected = resample_poly(samples.astype(np.float64), 320, 441)
    found = resample(samples, 22_050, 16_000)
    assert found.shape == expected.shape == (16_000,)
    assert np.abs(found - expected).max() <= 1


def test_resampling_to_the_same_rate_changes_nothing() -> None:
    """At equal rates the samples are handed on."""
    samples = np.array([1, -2, 32_767], dtype=np.int16)
    assert resample(samples, 16_000, 16_000).tolist() == [1, -2, 32_767]


def test_trimming_keeps_what_exceeds_two_percent_of_the_peak() -> None:
    """By hand: with a peak of 100, samples of 2 at the ends go and those in between stay."""
    assert trim(np.array([0, 2, -3, 0, 100, 1, 3, 2, -2])).tolist() == [-3, 0, 100, 1, 3]
    assert trim(np.zeros(5, dtype=np.int64)).tolist() == []
    assert trim(np.zeros(0, dtype=np.int64)).tolist() == []


def test_mixing_by_hand() -> None:
    """A word of power 16 at 0 dB over noise of power 4 takes twice the noise; at 20 dB a fifth of it."""
    word, background = np.array([4, -4]), np.array([2, -2, 2, 2])
    assert mix(word, background, 1, 0).tolist() == [4.0, 0.0, 0.0, 4.0]
    assert mix(word, background, 1, 200) == pytest.approx([0.4, 3.6, -3.6, 0.4])


def test_a_word_that_does_not_fit_is_cut() -> None:
    """Of a word that is longer than the clip, or begins too late, the end is left out."""
    background = np.array([1, -1, 1, -1])
    assert mix(np.full(9, 10), background, 0, 2_000).round().tolist() == [10, 10, 10, 10]
    assert mix(np.full(9, 10), background, 3, 2_000).round().tolist() == [0, 0, 0, 10]


def test_levels_are_peaks_re_full_scale() -> None:
    """At 0 dB the peak is 32,767, at -20 dB a tenth of it, at -90 dB one unit."""
    samples = np.array([1.0, -4.0, 2.0])
    assert at_level(samples, 0).tolist() == [8_192, -32_767, 16_384]
    assert np.abs(at_level(samples, -200)).max() == 3_277
    assert np.abs(at_level(samples, -900)).max() == 1
    assert at_level(samples, 0).dtype == np.int16


def test_amplitudes_are_correctly_rounded_whatever_the_callers_decimal_context() -> None:
    """10^(L/20) is exact where it can be, and does not depend on the precision that the program has set."""
    usual = [amplitude(level) for level in (0, 200, -200, 60, 1)]
    with localcontext(prec=3):
        assert [amplitude(level) for level in (0, 200, -200, 60, 1)] == usual
    assert usual[:3] == [1.0, 10.0, 0.1]
    assert usual[3:] == pytest.approx([10**0.3, 10**0.005], rel=1e-15)


def test_energies_are_exact() -> None:
    """Sums of squares are whole numbers beyond what a float can hold."""
    assert energy(np.array([2**28, 3, 2**28 - 1])) == 2**56 + 9 + (2**28 - 1) ** 2
