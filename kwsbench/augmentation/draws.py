"""What the parts of augmentation draw: each from a generator of its own, for every clip of the batch.

What one part draws therefore depends neither on the settings of another nor on what the clips hold.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_SEEDS = 2**63 - 1
_NUMBERS_PER_BLOCK = 2**18  # what a processor changes at a time: 1 MB, so that a block stays in its cache


class Draws:
    """Random numbers of one part for a batch; they lie on the device of the generator."""

    def __init__(self, generator: torch.Generator, num_clips: int) -> None:
        self._generator = generator
        self._num_clips = num_clips

    def chosen(self, probability: float) -> Tensor:
        """Draws which clips a part is applied to: bool (clips,)."""
        return self.uniform(0.0, 1.0) < probability

    def uniform(self, low: float, high: float) -> Tensor:
        """Draws a number from [low, high] for each clip: float32 (clips,)."""
        return low + (high - low) * self.shares(1)[:, 0]

    def shares(self, number: int) -> Tensor:
        """Draws from [0, 1): float32 (clips, number)."""
        return torch.rand(self._num_clips, number, generator=self._generator, device=self._generator.device)

    def integers(self, low: int, high: int, number: int = 1) -> Tensor:
        """Draws from low to high, both included: int64 (clips, number)."""
        shape = (self._num_clips, number)
        return torch.randint(low, high + 1, shape, generator=self._generator, device=self._generator.device)

    def gaussian(self, chosen: Tensor, number: int) -> Tensor:
        """Draws from the standard normal distribution for chosen clips, bool (clips,): float32 (chosen, number)."""
        shape = (int(chosen.sum()), number)
        return torch.randn(shape, generator=self._generator, device=self._generator.device)


def draws_of_parts(generator: torch.Generator, num_parts: int, num_clips: int) -> list[Draws]:
    """Returns the draws of each part; the generator moves on by as much whatever the parts then do."""
    device = generator.device
    seeds = torch.randint(_SEEDS, (num_parts,), generator=generator, device=device).tolist()
    return [Draws(torch.Generator(device).manual_seed(seed), num_clips) for seed in seeds]


def changed(clips: Tensor, chosen: Tensor, change: Callable[..., Tensor], *drawn: Tensor) -> Tensor:
    """Applies a costly change to some clips of a batch and leaves the others as they are.

    Args:
        clips: The batch, (clips, ..).
        chosen: Which clips to change, bool (clips,).
        change: Maps clips, and what was drawn for each, to clips of the same shape.
        drawn: What was drawn for the chosen clips, each (chosen, ..).

    Returns:
        A new batch; the batch itself where no clip is chosen.
    """
    places = chosen.nonzero().flatten()
    if not len(places):
        return clips
    result, at_once = clips.clone(), _clips_per_block(clips)
    for block, *values in zip(*(torch.split(each.to(clips.device), at_once) for each in (places, *drawn)), strict=True):
        result[block] = change(clips[block], *values)
    return result


def _clips_per_block(clips: Tensor) -> int:
    if clips.device.type != "cpu":
        return len(clips)
    return max(1, _NUMBERS_PER_BLOCK // clips[0].numel())
