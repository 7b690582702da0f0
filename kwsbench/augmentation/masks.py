"""Masks of SpecAugment.

Source: D. S. Park, W. Chan, Y. Zhang, C.-C. Chiu, B. Zoph, E. D. Cubuk and Q. V. Le, "SpecAugment: a simple data
augmentation method for automatic speech recognition", Interspeech 2019, section 2, without its time warping.
"""

from __future__ import annotations

import torch
from torch import Tensor


def masked(num_places: int, lengths: Tensor, shares: Tensor) -> Tensor:
    """Tells which frames, or coefficients, any of a clip's masks covers; masks may overlap.

    The paper draws the first place from [0, places - length); here the last place can be covered too.

    Args:
        num_places: How many frames, or coefficients, there are.
        lengths: How many of them each mask covers, int64 (clips, masks), from 0 to `num_places`.
        shares: Where each begins: share of the places where it can, float32 in [0, 1), (clips, masks).

    Returns:
        Bool (clips, num_places).
    """
    free = num_places - lengths
    starts = (shares * (free + 1)).long().minimum(free)[..., None]  # (clips, masks, 1)
    places = torch.arange(num_places, device=lengths.device)
    return ((places >= starts) & (places < starts + lengths[..., None])).any(dim=1)


def fill(features: Tensor, where: Tensor) -> Tensor:
    """Puts each clip's mean into masked places.

    The paper masks log-mels that were normalised to a mean of 0 with 0, that is with their mean over all frames and
    coefficients; so do we, whatever the features are and without normalising them.

    Args:
        features: Float32 (clips, coefficients, frames).
        where: Bool, of a shape that broadcasts to that.
    """
    return torch.where(where, features.mean(dim=(1, 2), keepdim=True), features)
