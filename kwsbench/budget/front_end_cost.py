"""What a front-end costs by itself, on the same terms as a network: multiply-accumulates and stored numbers."""

from __future__ import annotations

import numpy as np

from kwsbench.budget.report import Count
from kwsbench.errors import InputError
from kwsbench.features import mel_filters
from kwsbench.front_end import FrontEnd

_RESIDUE = 1e-9
"""A weight below this share of its band's peak is what rounding leaves of an edge that falls on a bin: 0."""


def front_end_count(front_end: FrontEnd, sample_rate_hz: int, num_samples: int) -> Count:
    """Counts what a device does for one second of audio, and what it has to store for it.

    MACs of one frame, n being `n_fft`, with n // 2 + 1 bins:

    - window: `window_samples` multiplications
    - real Fourier transform: n ceil(log2 n), half of a complex one with n/2 log2 n butterflies of 4 multiplications
    - power: 2 per bin (both parts squared); magnitude, where `power` is 1, 1 more (the square root)
    - mel bands: 1 per weight that is not 0
    - logarithm: 1 per band; in decibels 1 more (times ten)
    - MFCC: `num_mfcc` x `num_mels`

    Stored numbers are the window, the weights of the mel bands that are not 0 and the cosine transform; twiddle factors
    belong to the Fourier transform of the device, as sine and exponential do.

    Args:
        front_end: The settings.
        sample_rate_hz: Rate of the audio.
        num_samples: Length of a clip, more than 0, which says how many frames there are; with centred frames it gives
            one more than its hops.

    Returns:
        Stored numbers, and the MACs of a clip's frames for each second of it, rounded up.

    Raises:
        InputError: The mel bands do not fit below half the sample rate.
    """
    weights = _mel_weights(front_end, sample_rate_hz)
    clip_macs = front_end.num_frames(num_samples) * _macs_per_frame(front_end, weights)
    macs = -(-clip_macs * sample_rate_hz // num_samples)
    return Count(params=front_end.window_samples + weights + _transform(front_end), macs=macs)


def _macs_per_frame(front_end: FrontEnd, mel_weights: int) -> int:
    bins = front_end.n_fft // 2 + 1
    fourier = front_end.n_fft * (front_end.n_fft - 1).bit_length()
    spectrum = bins * (2 if front_end.power == 2 else 3)
    logarithm = front_end.num_mels * (2 if front_end.log == "db" else 1)
    return front_end.window_samples + fourier + spectrum + mel_weights + logarithm + _transform(front_end)


def _mel_weights(front_end: FrontEnd, sample_rate_hz: int) -> int:
    try:
        weights = mel_filters(front_end, sample_rate_hz)
    except ValueError as error:
        raise InputError(f"the front-end does not fit audio at {sample_rate_hz:,} Hz: {error}") from error
    return int(np.count_nonzero(weights > _RESIDUE * weights.max(axis=1, keepdims=True)))


def _transform(front_end: FrontEnd) -> int:
    return (front_end.num_mfcc or 0) * front_end.num_mels
