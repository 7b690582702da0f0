"""Augmentation of spectrograms: masks over frames, masks over coefficients, a roll in time, in this order."""

from __future__ import annotations

import torch
from torch import Tensor

from kwsbench.augmentation.draws import Draws, draws_of_parts
from kwsbench.augmentation.masks import fill, masked
from kwsbench.augmentation.moves import roll
from kwsbench.recipe import Augmentation

_NUM_PARTS = 3


def augment_features(
    features: Tensor, augmentation: Augmentation, frames_per_s: float, generator: torch.Generator
) -> Tensor:
    """Applies the parts of augmentation that work on features, in the order of `Augmentation`.

    Draws come from the generator as those of `augment_samples` do. A mask covers from none to the most frames or
    coefficients that it may, each as often, anywhere, and holds the clip's mean over all frames and coefficients as
    they were before the masks.

    Args:
        features: Log-mel energies or MFCC, float32 (clips, coefficients, frames).
        augmentation: What is done; masks longer than there is room are as long as there is.
        frames_per_s: How many frames a second has.
        generator: Where all randomness comes from.

    Returns:
        Float32 (clips, coefficients, frames) on the same device: a new tensor, or `features` itself where nothing is
        done.

    Raises:
        ValueError: `features` has another shape or type.
    """
    if features.ndim != 3 or features.dtype != torch.float32 or 0 in features.shape[1:]:
        raise ValueError(
            f"features must be float32 (clips, coefficients, frames), not {features.dtype} {tuple(features.shape)}"
        )
    of_frames, of_coefficients, of_roll = draws_of_parts(generator, _NUM_PARTS, len(features))
    longest = round(augmentation.time_mask_s * frames_per_s)
    frames = _masks(of_frames, augmentation.time_masks, longest, features.shape[2])
    bands = _masks(of_coefficients, augmentation.frequency_masks, augmentation.frequency_mask_bands, features.shape[1])
    return _rolled(_filled(features, frames, bands), round(augmentation.roll_s * frames_per_s), of_roll)


def _masks(draws: Draws, number: int, longest: int, num_places: int) -> Tensor | None:
    if not number or not longest:
        return None
    lengths = draws.integers(0, min(longest, num_places), number)
    return masked(num_places, lengths, draws.shares(number))


def _filled(features: Tensor, frames: Tensor | None, bands: Tensor | None) -> Tensor:
    """Puts each clip's mean into the frames and coefficients that are masked: (clips, frames), (clips, bands)."""
    masks = [mask.to(features.device) for mask in (_over(frames, 1), _over(bands, 2)) if mask is not None]
    if not masks:
        return features
    return fill(features, masks[0] if len(masks) == 1 else masks[0] | masks[1])


def _over(mask: Tensor | None, dimension: int) -> Tensor | None:
    return None if mask is None else mask.unsqueeze(dimension)


def _rolled(features: Tensor, most: int, draws: Draws) -> Tensor:
    if not most:
        return features
    return roll(features, draws.integers(-most, most)[:, 0].to(features.device))
