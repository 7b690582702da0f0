"""What a network and its teachers hear of the clips: features of a split, and of augmented batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kwsbench.augmentation import augment_features, augment_samples
from kwsbench.clip_features import features_of_cache
from kwsbench.dataset.cache import ClipCache
from kwsbench.front_end import FrontEnd
from kwsbench.recipe import Augmentation
from kwsbench.torch_front_end import torch_front_end
from kwsbench.train.batches import Indices

MOST_KEPT_BYTES = 2**30
"""Memory that features of a training split may take."""

_BYTES_PER_FEATURE = 4


@dataclass(frozen=True, eq=False)
class TrainingSplit:
    """The clips that a network learns from.

    Attributes:
        name: Of the data set.
        clips: The cache: gives samples of clips by their numbers, and has all label codes.
        noise: All background noise for them; None where none is added.
        front_end: From samples to features.
        sample_rate_hz: Of clips and noise.
        num_labels: How many labels there are.
    """

    name: str
    clips: ClipCache
    noise: NDArray[np.float32] | None
    front_end: FrontEnd
    sample_rate_hz: int
    num_labels: int


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch as it is heard.

    Attributes:
        features: What the network hears, shape (clips, coefficients, frames).
        codes: Label codes, shape (clips,).
        seed: Seed of the network's own draws.
        of_teachers: What each teacher hears.
    """

    features: Tensor
    codes: Tensor
    seed: int
    of_teachers: tuple[Tensor, ...]


class Hearing:
    """Makes batches as a network and its teachers are to hear them.

    All hear the same augmented samples; what is augmented on features is so for the network alone, whose features they
    are. Where nothing is done to samples, all features are made once, and kept if they fit into `MOST_KEPT_BYTES`.

    Args:
        split: The clips.
        augmentation: What is done to them.
        front_ends: That of each teacher.
        device: Where batches go.
    """

    def __init__(
        self, split: TrainingSplit, augmentation: Augmentation, front_ends: Sequence[FrontEnd], device: Any
    ) -> None:
        self._split, self._augmentation, self._of_teachers, self._device = split, augmentation, front_ends, device
        all_front_ends = {split.front_end, *front_ends}
        self._hear = {one: torch_front_end(one, split.sample_rate_hz).to(device) for one in all_front_ends}
        self._noise = None if split.noise is None else torch.from_numpy(split.noise).to(device)
        stays = not augmentation.changes_samples and len(all_front_ends) == 1
        self._kept = _features_of(split) if stays and _num_bytes(split) <= MOST_KEPT_BYTES else None

    def batch(self, part: tuple[Indices, tuple[int, int]]) -> Batch:
        """Returns a batch; threads may call it, since all that it draws comes from a generator of its own.

        Args:
            part: Which clips, and `seeds_of_batch`: for the network's own draws, and for the augmentation.
        """
        indices, (seed, seed_of_augmentation) = part
        generator = torch.Generator().manual_seed(seed_of_augmentation)
        frames_per_s = self._split.sample_rate_hz / self._split.front_end.hop_samples
        codes = torch.from_numpy(self._split.clips.codes[indices]).to(self._device)
        with torch.no_grad():
            plain = self._plain(indices, generator)
            features = augment_features(plain[self._split.front_end], self._augmentation, frames_per_s, generator)
        of_teachers = (plain[front_end].clone() for front_end in self._of_teachers)  # whatever a network does to it
        return Batch(features, codes, seed, tuple(of_teachers))

    def _plain(self, indices: Indices, generator: torch.Generator) -> dict[FrontEnd, Tensor]:
        """Features by each front-end, before anything is done to them."""
        if self._kept is not None:
            return {self._split.front_end: torch.from_numpy(self._kept[indices]).to(self._device)}
        samples = torch.from_numpy(self._split.clips.samples(indices)).to(self._device)
        samples = augment_samples(samples, self._augmentation, self._noise, self._split.sample_rate_hz, generator)
        return {front_end: hear(samples) for front_end, hear in self._hear.items()}


def _features_of(split: TrainingSplit) -> NDArray[np.float32]:
    return features_of_cache(split.clips, split.front_end, split.sample_rate_hz, split.name)


def _num_bytes(split: TrainingSplit) -> int:
    coefficients, frames = split.front_end.shape(split.clips.pcm.shape[1])
    return len(split.clips) * coefficients * frames * _BYTES_PER_FEATURE
