"""Masks and roll of spectrograms, against loops over clips."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kwsbench.augmentation import augment_features
from kwsbench.augmentation.masks import fill, masked
from kwsbench.augmentation.moves import roll
from kwsbench.recipe import Augmentation

PROPERTY = settings(deadline=None, derandomize=True, max_examples=60, database=None)
CLIPS, COEFFICIENTS, FRAMES, FRAMES_PER_S = 500, 20, 50, 100.0


def features() -> Tensor:
    """Features of noise around 3."""
    return 3 + torch.randn(CLIPS, COEFFICIENTS, FRAMES, generator=torch.Generator().manual_seed(0))


def augmented(augmentation: Augmentation) -> Tensor:
    """Those features, augmented."""
    return augment_features(features(), augmentation, FRAMES_PER_S, torch.Generator().manual_seed(1))


def changed(augmentation: Augmentation) -> Tensor:
    """Which of them changed."""
    return augmented(augmentation) != features()


def runs(mask: Tensor) -> int:
    """How many stretches of True a row has."""
    return int(mask.int().diff(prepend=torch.zeros(1)).eq(1).sum())


@PROPERTY
@given(
    num_places=st.integers(1, 12),
    drawn=st.lists(st.tuples(st.integers(0, 12), st.floats(0, 1, exclude_max=True, width=32)), min_size=1, max_size=4),
)
def test_masks_cover_what_a_loop_covers(num_places: int, drawn: list[tuple[int, float]]) -> None:
    """A mask of n of N places begins at the k-th of the N - n + 1 places where it can, k the floor of its share."""
    lengths = [min(length, num_places) for length, _ in drawn]
    expected = [False] * num_places
    for length, (_, share) in zip(lengths, drawn, strict=True):
        start = int(np.float32(share) * np.float32(num_places - length + 1))
        start = min(start, num_places - length)
        expected[start : start + length] = [True] * length
    shares = torch.tensor([[share for _, share in drawn]], dtype=torch.float32)
    assert masked(num_places, torch.tensor([lengths]), shares).tolist() == [expected]


def test_a_time_mask_covers_all_coefficients_of_0_to_the_most_frames() -> None:
    """One mask of up to 0.1 s, 10 frames: a stretch in every clip, of 0 to 10 frames, each about as often."""
    whole = changed(Augmentation(time_masks=1, time_mask_s=0.1))
    frames = whole.any(dim=1)
    assert torch.equal(whole, frames[:, None, :].expand_as(whole))
    assert all(runs(row) <= 1 for row in frames)
    counts = torch.bincount(frames.sum(dim=1), minlength=11)
    assert len(counts) == 11
    assert counts.min() > CLIPS / 11 / 2


def test_a_frequency_mask_covers_all_frames_of_0_to_the_most_coefficients() -> None:
    """One mask of up to 5 coefficients: a stretch in every clip, of 0 to 5 coefficients, each about as often."""
    whole = changed(Augmentation(frequency_masks=1, frequency_mask_bands=5))
    bands = whole.any(dim=2)
    assert torch.equal(whole, bands[:, :, None].expand_as(whole))
    assert all(runs(row) <= 1 for row in bands)
    counts = torch.bincount(bands.sum(dim=1), minlength=6)
    assert len(counts) == 6
    assert counts.min() > CLIPS / 6 / 2


def test_masks_reach_the_first_and_the_last_place() -> None:
    """Among 500 clips, masks cover each frame and each coefficient somewhere, the outermost too."""
    whole = changed(Augmentation(time_masks=1, time_mask_s=0.1, frequency_masks=1, frequency_mask_bands=5))
    assert whole.all(dim=1).any(dim=0).all()
    assert whole.all(dim=2).any(dim=0).all()


@pytest.mark.parametrize("number", [2, 3])
def test_so_many_masks_give_at_most_so_many_stretches(number: int) -> None:
    """Two masks give one or two stretches, as they overlap or not; three up to three; most clips have them all."""
    frames = changed(Augmentation(time_masks=number, time_mask_s=0.03)).any(dim=1)
    counts = [runs(row) for row in frames]
    assert max(counts) == number
    assert np.mean(np.array(counts) >= number - 1) > 0.6


def test_masks_longer_than_the_clip_are_as_long_as_it() -> None:
    """A mask of up to 10 s in a clip of half a second covers from nothing to all of it."""
    covered = changed(Augmentation(time_masks=1, time_mask_s=10.0)).any(dim=1).sum(dim=1)
    assert covered.max() == FRAMES
    assert covered.min() == 0


def test_what_is_masked_holds_the_mean_of_its_clip_before_any_mask() -> None:
    """Masked numbers are the mean over the clip's frames and coefficients, with masks of both kinds on."""
    augmentation = Augmentation(time_masks=2, time_mask_s=0.1, frequency_masks=2, frequency_mask_bands=4)
    before, after = features().numpy(), augmented(augmentation).numpy()
    for one_before, one_after in zip(before, after, strict=True):
        hidden = one_after[one_after != one_before]
        np.testing.assert_allclose(hidden, one_before.mean(dtype=np.float64), rtol=1e-5)


def test_on_centred_features_masks_are_zeros_as_in_the_paper() -> None:
    """Features with a mean of 0 are masked with 0, within rounding."""
    centred = features() - features().mean(dim=(1, 2), keepdim=True)
    assert fill(centred, torch.ones(CLIPS, COEFFICIENTS, FRAMES, dtype=torch.bool)).abs().max() < 1e-5


@PROPERTY
@given(later=st.lists(st.integers(-30, 30), min_size=1, max_size=5), num_frames=st.integers(1, 12))
def test_a_roll_is_numpys(later: list[int], num_frames: int) -> None:
    """Each clip is rolled as `numpy.roll` rolls it."""
    clips = torch.arange(len(later) * 3 * num_frames, dtype=torch.float32).reshape(len(later), 3, num_frames)
    expected = [np.roll(clip, by, axis=1) for clip, by in zip(clips.numpy(), later, strict=True)]
    np.testing.assert_array_equal(roll(clips, torch.tensor(later)).numpy(), np.array(expected))


def test_clips_are_rolled_by_up_to_so_many_frames_either_way() -> None:
    """Up to 0.05 s, 5 frames: every roll from -5 to 5 occurs, and no other."""
    after = augmented(Augmentation(roll_s=0.05))
    by = [
        next(by for by in range(-25, 25) if torch.equal(one.roll(by, dims=1), other))
        for one, other in zip(features(), after, strict=True)
    ]
    assert set(by) == set(range(-5, 6))
