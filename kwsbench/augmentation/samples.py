"""Augmentation of samples: time shift, speed, pitch, reverberation, noise and gain, in this order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from kwsbench.augmentation.draws import Draws, changed, draws_of_parts
from kwsbench.augmentation.loudness import add_noise, change_gain, endless, stretches
from kwsbench.augmentation.moves import shift
from kwsbench.augmentation.pitch import shift_pitch
from kwsbench.augmentation.resampling import change_speed
from kwsbench.augmentation.reverberation import convolve, room_responses
from kwsbench.recipe import Augmentation


@dataclass(frozen=True)
class _Settings:
    augmentation: Augmentation
    sample_rate_hz: int
    noise: Tensor | None


def augment_samples(
    samples: Tensor, augmentation: Augmentation, noise: Tensor | None, sample_rate_hz: int, generator: torch.Generator
) -> Tensor:
    """Applies the parts of augmentation that work on samples, in the order of `Augmentation`.

    Every clip gets draws of its own. They come from the generator alone, which moves on by the same amount in every
    call: an equal state gives an equal result, and what one part draws does not depend on the other parts' settings.
    A generator on the CPU gives the same draws for clips on any device, and takes no waiting for a GPU.

    Nothing is clipped: added noise, a gain, a room or an interpolation can take samples beyond 1.

    Args:
        samples: Clips in [-1, 1), float32 (clips, samples).
        augmentation: What is done, and how often.
        noise: All background noise, float32, one-dimensional, best on the device of the clips; may be None where no
            noise is asked for. Each clip gets a stretch that begins anywhere in it.
        sample_rate_hz: Sample rate of the clips and of the noise.
        generator: Where all randomness comes from.

    Returns:
        Finite float32 (clips, samples) on the same device: a new tensor, or `samples` itself where nothing is done.

    Raises:
        ValueError: `samples` has another shape or type, or noise is asked for and there is none.
    """
    _require(samples, augmentation, noise)
    settings = _Settings(augmentation, sample_rate_hz, noise)
    for part, draws in zip(_PARTS, draws_of_parts(generator, len(_PARTS), len(samples)), strict=True):
        samples = part(samples, settings, draws)
    return samples


def _require(samples: Tensor, augmentation: Augmentation, noise: Tensor | None) -> None:
    if samples.ndim != 2 or samples.dtype != torch.float32 or not samples.shape[1]:
        raise ValueError(f"clips must be float32 (clips, samples), not {samples.dtype} {tuple(samples.shape)}")
    if augmentation.noise_probability and (noise is None or noise.ndim != 1 or not len(noise)):
        raise ValueError("noise_probability is above 0, but there is no background noise to add")


def _shifted(samples: Tensor, settings: _Settings, draws: Draws) -> Tensor:
    most = round(settings.augmentation.shift_s * settings.sample_rate_hz)
    if not most:
        return samples
    chosen = draws.chosen(settings.augmentation.shift_probability)
    return shift(samples, draws.integers(-most, most)[:, 0] * chosen)


def _at_other_speed(samples: Tensor, settings: _Settings, draws: Draws) -> Tensor:
    speeds = settings.augmentation.speed
    if speeds == (1.0, 1.0):
        return samples
    chosen = draws.chosen(settings.augmentation.speed_probability)
    return changed(samples, chosen, change_speed, draws.uniform(*speeds)[chosen])


def _at_other_pitch(samples: Tensor, settings: _Settings, draws: Draws) -> Tensor:
    semitones = settings.augmentation.pitch_semitones
    if semitones == (0.0, 0.0):
        return samples
    change = partial(shift_pitch, sample_rate_hz=settings.sample_rate_hz)
    chosen = draws.chosen(settings.augmentation.pitch_probability)
    return changed(samples, chosen, change, draws.uniform(*semitones)[chosen])


def _in_a_room(samples: Tensor, settings: _Settings, draws: Draws) -> Tensor:
    t60_s = settings.augmentation.reverberation_s
    if t60_s == (0.0, 0.0):
        return samples
    chosen = draws.chosen(settings.augmentation.reverberation_probability)
    length = min(samples.shape[1], 1 + math.ceil(t60_s[1] * settings.sample_rate_hz))
    drawn = draws.uniform(*t60_s)[chosen], draws.gaussian(chosen, length)

    def reverberate(clips: Tensor, t60_s: Tensor, noise: Tensor) -> Tensor:
        return convolve(clips, room_responses(noise, t60_s, settings.sample_rate_hz))

    return changed(samples, chosen, reverberate, *drawn)


def _with_noise(samples: Tensor, settings: _Settings, draws: Draws) -> Tensor:
    if settings.noise is None or not settings.augmentation.noise_probability:
        return samples
    num_samples = samples.shape[1]
    noise = endless(settings.noise, num_samples).to(samples.device)
    chosen = draws.chosen(settings.augmentation.noise_probability)
    starts = draws.integers(0, len(noise) - num_samples)[:, 0]
    snr_db = draws.uniform(*settings.augmentation.noise_snr_db).masked_fill(~chosen, math.inf)
    return add_noise(samples, stretches(noise, starts, num_samples), snr_db.to(samples.device))


def _louder(samples: Tensor, settings: _Settings, draws: Draws) -> Tensor:
    gain_db = settings.augmentation.gain_db
    if gain_db == (0.0, 0.0):
        return samples
    chosen = draws.chosen(settings.augmentation.gain_probability)
    if not chosen.any():
        return samples
    return change_gain(samples, (draws.uniform(*gain_db) * chosen).to(samples.device))


_PARTS = (_shifted, _at_other_speed, _at_other_pitch, _in_a_room, _with_noise, _louder)
