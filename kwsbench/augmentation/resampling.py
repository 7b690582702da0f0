"""Clips read at another speed, each at its own: low-pass, twice the samples by a Fourier transform, cubic splines.

Source of the interpolation: M. Unser, "Splines: a perfect fit for signal and image processing", IEEE Signal Processing
Magazine 16(6), 1999. Doubling the rate first leaves the splines with frequencies of at most half of what they can
carry: the error is below 0.1 % up to half of the highest frequency, and grows to some percent at the highest.
"""

from __future__ import annotations

import math

import torch
from scipy.fft import next_fast_len
from torch import Tensor

_SILENCE_BEHIND = 64  # samples: so that the end of a clip does not ring into its beginning
_TRANSITION = 0.05  # of the low-pass, as a share of half the sample rate


def change_speed(samples: Tensor, speeds: Tensor) -> Tensor:
    """Plays each clip faster or slower, its pitch with it; the middle of the clip stays where it is.

    Source: T. Ko, V. Peddinti, D. Povey and S. Khudanpur, "Audio augmentation for speech recognition", Interspeech
    2015, section 2: y(t) = x(speed t), there with the speeds 0.9, 1 and 1.1. Unlike there the length stays too: of a
    slower clip both ends are lost, and a faster one has zeros around it.

    Args:
        samples: Float32 (clips, samples).
        speeds: Float32 (clips,), above 0.
    """
    return resample(samples, speeds, samples.shape[1], fixed=(samples.shape[1] - 1) / 2)


def resample(samples: Tensor, speeds: Tensor, num_outputs: int, *, fixed: float = 0.0) -> Tensor:
    """Reads each clip x at fixed + speed (n - fixed) for n = 0, 1, ..; outside of the clip there is silence.

    What a higher speed would take above half the sample rate is filtered out, but for a transition of 5 % of it.

    Args:
        samples: Float32 (clips, samples).
        speeds: Float32 (clips,), above 0.
        num_outputs: How many samples to make.
        fixed: The place that stays, in samples.

    Returns:
        Float32 (clips, num_outputs).
    """
    spline = _spline(samples, speeds)
    steps = torch.arange(num_outputs, device=samples.device)
    ahead = 2 * (speeds - 1)[:, None] * (steps - fixed)  # small, so that single precision is enough
    whole = ahead.floor()
    left = 2 * steps + whole.long()
    inside = (left >= 0) & (left <= 2 * (samples.shape[1] - 1))
    return _values(spline, left.clamp(0, 2 * samples.shape[1]), ahead - whole) * inside


def _spline(samples: Tensor, speeds: Tensor) -> Tensor:
    """Coefficients of the cubic spline through the filtered clips at twice their rate, from the one at -1 on."""
    num_samples = next_fast_len(samples.shape[1] + _SILENCE_BEHIND, real=True)
    spectrum = torch.fft.rfft(samples, num_samples)
    frequencies = torch.arange(spectrum.shape[1], device=samples.device) / (num_samples / 2)  # 1 is half the rate
    low_pass = (1 + (1 / speeds[:, None] - frequencies) / _TRANSITION).clamp(0, 1)
    spline = 3 / (2 + torch.cos(math.pi / 2 * frequencies))
    once = torch.where(frequencies == 1, 0.5, 1.0)  # the highest frequency appears twice among the doubled ones
    doubled: Tensor = torch.fft.irfft(spectrum * (2 * once * spline * low_pass), 2 * num_samples)
    return doubled.roll(1, dims=1)


def _values(spline: Tensor, left: Tensor, beyond: Tensor) -> Tensor:
    """The spline between its nodes: `beyond` of the way from the node `left` to the next."""
    before = 1 - beyond
    square, cube = beyond.square(), beyond**3
    values = spline.gather(1, left) * before**3
    values += spline.gather(1, left + 1) * (3 * cube - 6 * square + 4)
    values += spline.gather(1, left + 2) * (3 * (square - cube + beyond) + 1)
    values += spline.gather(1, left + 3) * cube
    return values / 6
