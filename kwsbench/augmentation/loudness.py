"""How loud clips are, and the noise behind them. Decibels of full scale (dBFS): a mean square of 1 is 0."""

from __future__ import annotations

import torch
from torch import Tensor

QUIETEST_CLIP = 1e-6
"""Mean square (-60 dBFS) that quieter clips, digital silence among them, count as when noise is added to them."""

QUIETEST_NOISE = 1e-10
"""Mean square (-100 dBFS) under which noise counts as digital silence, and nothing is added."""


def add_noise(samples: Tensor, noise: Tensor, snr_db: Tensor) -> Tensor:
    """Adds noise to each clip, scaled so that the energy of the whole clip over that of the noise is the ratio asked.

    Source: D. Snyder, D. Garcia-Romero, G. Sell, D. Povey and S. Khudanpur, "X-vectors: robust DNN embeddings for
    speaker recognition", ICASSP 2018, augmentation: noise at 0 to 15 dB. In keyword spotting noise is often scaled
    by a factor whatever the clip's level (Warden, arXiv:1804.03209), so that loud clips hear less of it.

    Args:
        samples: Float32 (clips, samples); one under -60 dBFS gets the noise of a clip at -60 dBFS.
        noise: Float32 (clips, samples); one under -100 dBFS changes nothing.
        snr_db: Signal-to-noise ratios in dB, float32 (clips,); where it is infinite nothing changes.
    """
    noise_power = _mean_square(noise)
    wanted_power = _mean_square(samples).clamp_min(QUIETEST_CLIP) * 10 ** (-snr_db / 10)
    factors = (wanted_power / noise_power.clamp_min(QUIETEST_NOISE)).sqrt() * (noise_power >= QUIETEST_NOISE)
    return torch.addcmul(samples, factors[:, None], noise)


def _mean_square(samples: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(samples, dim=1)
    return norms.square() / samples.shape[1]


def stretches(noise: Tensor, starts: Tensor, num_samples: int) -> Tensor:
    """Cuts a stretch of noise for each clip: (any number,) and int64 (clips,) to (clips, num_samples)."""
    if not len(starts):
        return noise.new_empty(0, num_samples)
    return torch.stack([noise[start:][:num_samples] for start in starts.tolist()])


def endless(noise: Tensor, num_samples: int) -> Tensor:
    """Repeats noise that is shorter than `num_samples`, until such a stretch can begin at each of its samples."""
    if len(noise) >= num_samples:
        return noise
    return noise.repeat(2 + num_samples // len(noise))[: len(noise) + num_samples - 1]


def change_gain(samples: Tensor, gain_db: Tensor) -> Tensor:
    """Makes each clip louder or quieter.

    Source: V. Peddinti, D. Povey and S. Khudanpur, "A time delay neural network architecture for efficient modeling of
    long temporal contexts", Interspeech 2015 (volume perturbation, there by a factor of 1/8 to 2: -18 to 6 dB).

    Args:
        samples: Float32 (clips, samples).
        gain_db: Decibels, float32 (clips,).
    """
    return samples * (10 ** (gain_db / 20))[:, None]
