"""From spoken words to the clips of a synthesised data set: draws by hash, resampling, noise, mixing.

Every machine gets the same samples by construction, not by a random seed: draws are bits of SHA-256 and SHAKE-256,
noise and energies are integers, filters have integer coefficients, and what remains in floating point is one
correctly rounded operation at a time (IEEE 754: add, multiply, divide, square root), never a sum whose order depends
on the processor. Levels in dB are whole tenths, so that the power of ten is computed in decimal.
"""

from __future__ import annotations

import decimal
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int64]
"""Mono samples, 1-D; on the scale of 16-bit audio unless said otherwise."""

FULL_SCALE = 32_767
"""The largest sample of 16-bit audio."""

_TRIM_BELOW_PEAK = 50
_COEFFICIENT_SCALE = 2**32
_DECIMAL = decimal.Context(prec=30)


@dataclass(frozen=True)
class Draws:
    """The draws of one clip, each from the hash of `kwsbench synth:CLIP:WHAT`.

    Attributes:
        clip: `VOICE:WORD:TAKE`.
    """

    clip: str

    def whole(self, what: str, low: int, high: int) -> int:
        """Returns a whole number from `low` to `high`, both included."""
        digest = hashlib.sha256(self._key(what)).digest()
        return low + int.from_bytes(digest[:8], "little") % (high - low + 1)

    def tenths(self, what: str, bounds: tuple[float, float]) -> int:
        """Returns a number within the bounds, in tenths: 125 is 12.5."""
        low, high = bounds
        return self.whole(what, round(10 * low), round(10 * high))

    def white(self, num_samples: int) -> Samples:
        """Returns white noise: independent sums of two uniform 16-bit numbers (standard deviation about 26,755)."""
        drawn = hashlib.shake_256(self._key("noise")).digest(4 * num_samples)
        pairs = np.frombuffer(drawn, "<i2").astype(np.int64)
        return pairs[0::2] + pairs[1::2]

    def _key(self, what: str) -> bytes:
        return f"kwsbench synth:{self.clip}:{what}".encode()


def resample(samples: NDArray[np.int16], from_hz: int, to_hz: int) -> Samples:
    """Resamples through a polyphase low-pass filter (Kaiser window, beta 5, ten zero crossings on each side).

    It is `scipy.signal.resample_poly` with its default filter rounded to whole multiples of 2^-32: all its products
    and sums are then integers below 2^53, so that no order of summation changes them.
    """
    if from_hz == to_hz:
        return samples.astype(np.int64)
    from scipy.signal import resample_poly

    common = math.gcd(from_hz, to_hz)
    up, down = to_hz // common, from_hz // common
    filtered = resample_poly(samples.astype(np.float64), up, down, window=_low_pass(up, down))
    return _rounded(filtered / _COEFFICIENT_SCALE)


@cache
def _low_pass(up: int, down: int) -> NDArray[np.float64]:
    from scipy.signal import firwin

    widest = max(up, down)
    taps: NDArray[np.float64] = firwin(20 * widest + 1, 1 / widest, window=("kaiser", 5.0))
    return np.rint(taps * _COEFFICIENT_SCALE)


def trim(samples: Samples) -> Samples:
    """Returns the samples from the first to the last that exceeds 2 % of the peak; none where all are zero."""
    loud = np.flatnonzero(np.abs(samples) * _TRIM_BELOW_PEAK > np.abs(samples).max(initial=0))
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]


def mix(word: Samples, background: Samples, offset: int, snr_tenths: int) -> NDArray[np.float64]:
    """Puts a word on a background.

    Args:
        word: The trimmed word; its end is cut where it does not fit.
        background: Noise of the clip's length, not all zero, on any scale.
        offset: Where the word begins, in samples.
        snr_tenths: Mean power of the word over its own length by the mean power of the whole scaled background,
            in tenths of a dB.

    Returns:
        The sum, with the word on its own scale.
    """
    word = word[: len(background) - offset]
    power_ratio = energy(word) * len(background) / (energy(background) * len(word))
    mixed = background.astype(np.float64) * (math.sqrt(power_ratio) / amplitude(snr_tenths))
    mixed[offset : offset + len(word)] += word
    return mixed


def at_level(samples: NDArray[Any], level_tenths: int) -> NDArray[np.int16]:
    """Scales samples (not all zero) so that their peak is at this level, in tenths of a dB re full scale, at most 0."""
    gain = FULL_SCALE * amplitude(level_tenths) / float(np.abs(samples).max())
    return _rounded(samples * gain).clip(-FULL_SCALE, FULL_SCALE).astype(np.int16)


def energy(samples: Samples) -> int:
    """Returns the exact sum of squares."""
    return int(np.sum(samples * samples, dtype=np.int64))


def amplitude(level_tenths: int) -> float:
    """Returns the amplitude ratio 10^(L / 20) of a level L that is given in tenths of a dB.

    >>> amplitude(200)
    10.0
    """
    return float(_DECIMAL.power(Decimal(10), _DECIMAL.divide(Decimal(level_tenths), Decimal(200))))


def _rounded(samples: NDArray[np.float64]) -> Samples:
    return np.rint(samples).astype(np.int64)


def noise(kind: str, draws: Draws, num_samples: int, words: Sequence[Samples]) -> Samples:
    """Returns noise of one of the `NOISE_KINDS`, on a scale of its own, not all zero.

    Args:
        kind: One of `NOISE_KINDS`.
        draws: Where its bits come from.
        num_samples: Its length.
        words: Trimmed recordings, at least one, that babble is made of.
    """
    return babble(draws, num_samples, words) if kind == "babble" else _STATIONARY[kind](draws, num_samples)


def white(draws: Draws, num_samples: int) -> Samples:
    """Returns noise with a flat spectrum."""
    return draws.white(num_samples)


def pink(draws: Draws, num_samples: int) -> Samples:
    """Returns noise whose spectrum falls by about 3 dB per octave.

    It is the sum of moving sums over 1, 4, 16, 64 and 256 samples, weighted by the inverse root of their lengths.
    """
    return _moving_sums(draws, num_samples, {1: 16, 4: 8, 16: 4, 64: 2, 256: 1})


def brown(draws: Draws, num_samples: int) -> Samples:
    """Returns noise whose spectrum falls by about 6 dB per octave: the same moving sums without weights."""
    return _moving_sums(draws, num_samples, {1: 1, 4: 1, 16: 1, 64: 1, 256: 1})


def hum(draws: Draws, num_samples: int) -> Samples:
    """Returns the hum of a machine: triangle waves on eight harmonics of a low tone, over brown noise."""
    period = draws.whole("hum period", 128, 360)
    time = np.arange(num_samples, dtype=np.int64)
    result = brown(draws, num_samples) // 32
    for harmonic in range(1, 9):
        phase = (time * harmonic + draws.whole(f"hum phase {harmonic}", 0, period - 1)) % period
        triangle = np.abs(2 * phase - period) * 2 - period
        result += triangle * draws.whole(f"hum weight {harmonic}", 0, 4_000 // harmonic) // 32
    return result


def babble(draws: Draws, num_samples: int, words: Sequence[Samples]) -> Samples:
    """Returns the murmur of a crowd: twelve of the words, backwards, each wrapped around the clip at some point."""
    result = np.zeros(num_samples, dtype=np.int64)
    for number in range(12):
        word = words[draws.whole(f"babble word {number}", 0, len(words) - 1)][::-1][:num_samples]
        at = draws.whole(f"babble offset {number}", 0, num_samples - 1)
        before_wrap = word[: num_samples - at]
        result[at : at + len(before_wrap)] += before_wrap
        result[: len(word) - len(before_wrap)] += word[len(before_wrap) :]
    return result


_STATIONARY: dict[str, Callable[[Draws, int], Samples]] = {"white": white, "pink": pink, "brown": brown, "hum": hum}

NOISE_KINDS = (*_STATIONARY, "babble")
"""The kinds of noise that clips are drawn from."""


def _moving_sums(draws: Draws, num_samples: int, weights: dict[int, int]) -> Samples:
    longest = max(weights)
    sums = np.concatenate(([0], np.cumsum(draws.white(num_samples + longest - 1))))
    result = np.zeros(num_samples, dtype=np.int64)
    for length, weight in weights.items():
        result += weight * (sums[longest:] - sums[longest - length : -length])
    return result
