"""What a network hears of a batch, and when that is made anew."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from kwsbench.dataset.cache import ClipCache, open_cache
from kwsbench.dataset.noise import training_noise
from kwsbench.features import extract
from kwsbench.recipe import Augmentation
from kwsbench.train import hearing
from kwsbench.train.batches import seeds_of_batch
from kwsbench.train.hearing import Hearing, TrainingSplit

if TYPE_CHECKING:
    from conftest import School

MASKS = Augmentation(time_masks=1, time_mask_s=0.02)
SHIFTS = Augmentation(shift_s=0.01)
DEVICE = torch.device("cpu")


@pytest.fixture
def split(school: School) -> TrainingSplit:
    """The clips of the tiny data set that a network learns from."""
    manifest, clips = school.dataset.manifest, open_cache(school.dataset, "train")
    noise = training_noise(school.dataset)
    return TrainingSplit("tiny", clips, noise, manifest.front_end, manifest.sample_rate_hz, len(manifest.labels))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often each clip was read."""
    counts: Counter[int] = Counter()
    samples = ClipCache.samples

    def counted(self: ClipCache, indices: Any) -> Any:
        counts.update(map(int, indices))
        return samples(self, indices)

    monkeypatch.setattr(ClipCache, "samples", counted)
    return counts


def _batches(hears: Hearing, split: TrainingSplit) -> torch.Tensor:
    """All clips in one batch, twice."""
    everything = np.arange(len(split.clips))
    parts = [(everything, seeds_of_batch(0, epoch, 0)) for epoch in (1, 2)]
    return torch.stack([hears.batch(part).features for part in parts])


def test_clips_that_nothing_is_done_to_are_read_once(split: TrainingSplit, reads: Counter[int]) -> None:
    """Where spectrograms alone are augmented, every epoch takes the features that were made at first."""
    _batches(Hearing(split, MASKS, [split.front_end], DEVICE), split)
    assert reads == dict.fromkeys(range(len(split.clips)), 1)


@pytest.mark.parametrize("why", ["samples are augmented", "a teacher hears otherwise", "they take too much memory"])
def test_clips_are_read_in_every_epoch_otherwise(
    why: str, split: TrainingSplit, reads: Counter[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features are kept only where they stay the same, are all that is heard, and fit."""
    other = split.front_end.model_copy(update={"num_mels": 7})
    if why == "they take too much memory":
        monkeypatch.setattr(
            hearing, "MOST_KEPT_BYTES", 4 * len(split.clips) * np.prod(split.front_end.shape(1_600)) - 1
        )
    augmentation = SHIFTS if why == "samples are augmented" else Augmentation()
    _batches(Hearing(split, augmentation, [other] if why == "a teacher hears otherwise" else [], DEVICE), split)
    assert reads == dict.fromkeys(range(len(split.clips)), 2)


def test_features_that_are_kept_are_those_that_are_made_anew(
    split: TrainingSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept or not they are what the scorer hears, and what is done to one batch leaves nothing behind for the next."""
    theirs = extract(split.clips.samples(np.arange(len(split.clips))), split.front_end, split.sample_rate_hz)
    hears = Hearing(split, Augmentation(), [], DEVICE)
    hears.batch(
        (np.arange(len(split.clips)), (0, 0))
    ).features.zero_()  # what becomes of a batch is nothing to the next
    kept = _batches(hears, split)
    monkeypatch.setattr(hearing, "MOST_KEPT_BYTES", 0)
    anew = _batches(Hearing(split, Augmentation(), [], DEVICE), split)
    for features in (*kept, *anew):
        np.testing.assert_allclose(features.numpy(), theirs, rtol=0, atol=1e-4)


def test_batches_are_the_same_whoever_makes_them(split: TrainingSplit) -> None:
    """A batch is a function of its clips and seeds alone: made twice, it is the same to the bit."""
    augmentation = Augmentation(
        shift_s=0.01, noise_snr_db=(0.0, 10.0), noise_probability=0.5, time_masks=1, time_mask_s=0.02
    )
    hears = Hearing(split, augmentation, [], DEVICE)
    assert torch.equal(_batches(hears, split), _batches(hears, split))
