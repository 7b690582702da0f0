"""Rooms that are made up: the sound itself, and a tail of noise that decays.

Source: J.-D. Polack, "La transmission de l'energie sonore dans les salles", thesis, Universite du Maine, 1988: the
response of a room is Gaussian noise with an exponential envelope. How strong it is beside the direct sound follows
from the reverberation radius, 0.057 sqrt(volume / T60) in metres and cubic metres (H. Kuttruff, "Room Acoustics",
chapter on diffuse sound fields): here half a metre from the talker in a room of 40 cubic metres. Source of the
augmentation: T. Ko, V. Peddinti, D. Povey, M. L. Seltzer and S. Khudanpur, "A study on data augmentation of
reverberant speech for robust speech recognition", ICASSP 2017, with simulated rooms, there by the image method.
"""

from __future__ import annotations

import math

import torch
from scipy.fft import next_fast_len
from torch import Tensor

_EQUAL_AT_T60_S = 0.5  # direct and reverberant sound carry equal energy here; the latter's grows with T60
_LEAST_T60_SAMPLES = 1e-2


def room_responses(noise: Tensor, t60_s: Tensor, sample_rate_hz: int) -> Tensor:
    """Makes the impulse responses of rooms.

    Args:
        noise: Standard normal, float32 (clips, samples): as long as the responses shall be.
        t60_s: Reverberation times, in which the tail loses 60 dB, float32 (clips,); 0 gives the direct sound alone.
        sample_rate_hz: Sample rate of the clips.

    Returns:
        Float32 (clips, samples): the direct sound at 0, then the tail; the squares of a response sum to 1.
    """
    places = torch.arange(noise.shape[1], device=noise.device)
    decay_per_sample = 3 * math.log(10) / (t60_s * sample_rate_hz).clamp_min(_LEAST_T60_SAMPLES)
    tail = noise * torch.exp(-decay_per_sample[:, None] * places) * (places > 0)
    tail = torch.nn.functional.normalize(tail, dim=1) * (t60_s[:, None] / _EQUAL_AT_T60_S).sqrt()
    return torch.nn.functional.normalize(tail + (places == 0), dim=1)


def convolve(samples: Tensor, responses: Tensor) -> Tensor:
    """Convolves each clip with its response, by Fourier transforms; what comes after the clip's end is lost.

    Args:
        samples: Float32 (clips, samples).
        responses: Float32 (clips, any number of samples).

    Returns:
        Float32 (clips, samples).
    """
    num_samples = samples.shape[1]
    size = next_fast_len(num_samples + responses.shape[1] - 1, real=True)
    product = torch.fft.rfft(samples, size) * torch.fft.rfft(responses, size)
    result: Tensor = torch.fft.irfft(product, size)[:, :num_samples]
    return result
