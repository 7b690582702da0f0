"""Where randomness comes from, and what a clip of a batch depends on."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kwsbench.augmentation import augment_features, augment_samples
from kwsbench.recipe import Augmentation

RATE_HZ = 8_000
FRAMES_PER_S = 100.0
PROPERTY = settings(deadline=None, derandomize=True, max_examples=30, database=None)

OF_SAMPLES = {
    "shift": Augmentation(shift_s=0.02),
    "speed": Augmentation(speed=(0.8, 1.25)),
    "pitch": Augmentation(pitch_semitones=(-3.0, 3.0)),
    "reverberation": Augmentation(reverberation_s=(0.0, 0.1)),
    "noise": Augmentation(noise_snr_db=(0.0, 20.0), noise_probability=1.0),
    "gain": Augmentation(gain_db=(-6.0, 6.0)),
}
OF_FEATURES = {
    "time masks": Augmentation(time_masks=2, time_mask_s=0.1),
    "frequency masks": Augmentation(frequency_masks=2, frequency_mask_bands=4),
    "roll": Augmentation(roll_s=0.1),
}
EVERYTHING = replace(
    Augmentation(),
    **{
        name: value
        for one in (OF_SAMPLES | OF_FEATURES).values()
        for name, value in asdict(one).items()
        if value != getattr(Augmentation(), name)
    },
)


def generator(seed: int = 0) -> torch.Generator:
    """A generator on the CPU."""
    return torch.Generator().manual_seed(seed)


def clips(num_clips: int = 8, num_samples: int = 1_600, seed: int = 100) -> Tensor:
    """Clips of noise."""
    return 0.1 * torch.randn(num_clips, num_samples, generator=generator(seed))


def spectrograms(num_clips: int = 8, num_coefficients: int = 12, num_frames: int = 30, seed: int = 100) -> Tensor:
    """Features of noise."""
    return torch.randn(num_clips, num_coefficients, num_frames, generator=generator(seed))


def heard(samples: Tensor, augmentation: Augmentation, seed: int = 0) -> Tensor:
    """Augmented samples, with the same background noise always."""
    return augment_samples(samples, augmentation, clips(1, 5_000, 200)[0], RATE_HZ, generator(seed))


def seen(features: Tensor, augmentation: Augmentation, seed: int = 0) -> Tensor:
    """Augmented features."""
    return augment_features(features, augmentation, FRAMES_PER_S, generator(seed))


def test_defaults_return_the_very_input() -> None:
    """Where nothing is asked for, the tensors given come back themselves, noise or not."""
    samples, features = clips(), spectrograms()
    assert heard(samples, Augmentation()) is samples
    assert augment_samples(samples, Augmentation(), None, RATE_HZ, generator()) is samples
    assert seen(features, Augmentation()) is features


@pytest.mark.parametrize("part", OF_SAMPLES | OF_FEATURES)
def test_which_parts_change_samples_can_be_told_before(part: str) -> None:
    """The settings say that samples are changed where they are, and where they are not that they stay."""
    samples, augmentation = clips(), (OF_SAMPLES | OF_FEATURES)[part]
    assert (heard(samples, augmentation) is not samples) == augmentation.changes_samples == (part in OF_SAMPLES)


@pytest.mark.parametrize("part", OF_SAMPLES)
def test_a_probability_of_0_leaves_every_clip(part: str) -> None:
    """A part that is applied to no clip returns the very input."""
    samples = clips()
    probabilities: dict[str, Any] = {
        each.name: 0.0 for each in fields(Augmentation) if each.name.endswith("_probability")
    }
    assert heard(samples, replace(OF_SAMPLES[part], **probabilities)) is samples


@pytest.mark.parametrize("part", OF_SAMPLES)
def test_a_part_of_samples_changes_clips_by_draws_of_their_own(part: str) -> None:
    """Each part changes samples, and two equal clips of a batch differently; the input stays as it was."""
    samples = clips(1).expand(6, -1).contiguous()
    before = samples.clone()
    after = heard(samples, OF_SAMPLES[part])
    assert torch.equal(samples, before)
    assert not torch.equal(after, samples)
    assert len(torch.unique(after, dim=0)) > 3


@pytest.mark.parametrize("part", OF_FEATURES)
def test_a_part_of_features_changes_clips_by_draws_of_their_own(part: str) -> None:
    """Each part changes features, and two equal clips of a batch differently; the input stays as it was."""
    features = spectrograms(1).expand(6, -1, -1).contiguous()
    before = features.clone()
    after = seen(features, OF_FEATURES[part])
    assert torch.equal(features, before)
    assert not torch.equal(after, features)
    assert len(torch.unique(after, dim=0)) > 3


def test_equal_states_of_the_generator_give_equal_batches() -> None:
    """The same seed gives the same bits, another seed others, whatever the global generator is at."""
    samples, features = clips(), spectrograms()
    first = heard(samples, EVERYTHING), seen(features, EVERYTHING)
    torch.manual_seed(7)
    again = heard(samples, EVERYTHING), seen(features, EVERYTHING)
    other = heard(samples, EVERYTHING, seed=1), seen(features, EVERYTHING, seed=1)
    assert all(map(torch.equal, first, again))
    assert not any(map(torch.equal, first, other))


def test_the_global_generator_is_left_alone() -> None:
    """Nothing is drawn from the generator that dropout draws from."""
    before = torch.get_rng_state()
    heard(clips(), EVERYTHING)
    seen(spectrograms(), EVERYTHING)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("augmentation", [Augmentation(), *OF_SAMPLES.values(), EVERYTHING], ids=str)
def test_the_generator_moves_on_by_the_same_amount_whatever_is_on(augmentation: Augmentation) -> None:
    """What is drawn after the call does not depend on the settings."""
    expected, mine = generator(), generator()
    augment_samples(clips(), Augmentation(), None, RATE_HZ, expected)
    augment_samples(clips(), augmentation, clips(1, 5_000)[0], RATE_HZ, mine)
    assert torch.equal(mine.get_state(), expected.get_state())
    augment_features(spectrograms(), Augmentation(), FRAMES_PER_S, expected)
    augment_features(spectrograms(), augmentation, FRAMES_PER_S, mine)
    assert torch.equal(mine.get_state(), expected.get_state())


@pytest.mark.parametrize("part", ["speed", "pitch", "reverberation", "noise", "gain"])
def test_the_draw_of_a_part_of_samples_does_not_depend_on_a_part_before_it(part: str) -> None:
    """Shifting by hand what a seed shifts, then applying one part alone, is the same as applying both at once."""
    shifted = heard(clips(), OF_SAMPLES["shift"])
    both = replace(OF_SAMPLES[part], shift_s=OF_SAMPLES["shift"].shift_s)
    assert torch.equal(heard(shifted, OF_SAMPLES[part]), heard(clips(), both))


def test_the_roll_does_not_depend_on_the_masks_before_it() -> None:
    """Masking first and rolling then, with the same seed, is the same as both at once."""
    masks = replace(OF_FEATURES["time masks"], frequency_masks=1, frequency_mask_bands=3)
    in_turn = seen(seen(spectrograms(), masks), OF_FEATURES["roll"])
    assert torch.equal(in_turn, seen(spectrograms(), replace(masks, roll_s=OF_FEATURES["roll"].roll_s)))


@pytest.mark.parametrize("probability", [0.2, 0.8])
@pytest.mark.parametrize("part", OF_SAMPLES)
def test_a_probability_is_the_share_of_clips_that_change(part: str, probability: float) -> None:
    """Of 400 clips, the share that a part changes is its probability within 4 standard deviations."""
    samples = clips(400, 200)
    asked: dict[str, Any] = {f"{part}_probability": probability}
    augmentation = replace(OF_SAMPLES[part], **asked)
    share = (heard(samples, augmentation) != samples).any(dim=1).double().mean().item()
    assert abs(share - probability) < 4 * (probability * (1 - probability) / 400) ** 0.5


@pytest.mark.parametrize("part", [*OF_SAMPLES, "everything"])
def test_a_clip_of_a_batch_does_not_depend_on_the_samples_of_the_others(part: str) -> None:
    """Other samples in all other clips leave clip 3 as it is, to the bit, with NaN in one of them."""
    augmentation = (OF_SAMPLES | {"everything": EVERYTHING})[part]
    samples, others = clips(), clips(seed=300)
    others[3] = samples[3]
    others[5] = float("nan")
    assert torch.equal(heard(others, augmentation)[3], heard(samples, augmentation)[3])


def test_a_clip_of_a_batch_does_not_depend_on_the_features_of_the_others() -> None:
    """Other features in all other clips leave clip 3 as it is, to the bit, with NaN in one of them."""
    features, others = spectrograms(), spectrograms(seed=300)
    others[3] = features[3]
    others[5] = float("nan")
    assert torch.equal(seen(others, EVERYTHING)[3], seen(features, EVERYTHING)[3])


def test_a_large_batch_is_changed_as_its_clips_would_be_alone() -> None:
    """Working in blocks mixes up no clips: each of 50 is itself times a gain of its own."""
    samples = clips(50, 16_000)
    after = heard(samples, Augmentation(gain_db=(-20.0, 20.0)))
    factors = after[:, :1] / samples[:, :1]
    torch.testing.assert_close(after, factors * samples)
    assert len(torch.unique(factors)) > 40


@PROPERTY
@given(num_clips=st.integers(0, 4), num_samples=st.integers(1, 3_000), seed=st.integers(0, 2**32), loud=st.booleans())
def test_samples_keep_their_shape_and_stay_finite(num_clips: int, num_samples: int, seed: int, loud: bool) -> None:  # noqa: FBT001
    """With every part on, any number of clips of any length gives finite float32 of the same shape."""
    samples = clips(num_clips, num_samples, seed).sign() if loud else torch.zeros(num_clips, num_samples)
    after = heard(samples, EVERYTHING, seed)
    assert after.shape == samples.shape
    assert after.dtype == torch.float32
    assert after.isfinite().all()


@PROPERTY
@given(shape=st.tuples(*[st.integers(low, 40) for low in (0, 1, 1)]), seed=st.integers(0, 2**32))
def test_features_keep_their_shape_and_stay_finite(shape: tuple[int, int, int], seed: int) -> None:
    """With every part on, any number of clips, coefficients and frames gives finite float32 of the same shape."""
    features = spectrograms(*shape, seed)
    after = seen(features, EVERYTHING, seed)
    assert after.shape == features.shape
    assert after.dtype == torch.float32
    assert after.isfinite().all()


def test_noise_comes_before_gain() -> None:
    """The noise of a silent clip is scaled by the gain too."""
    silence = torch.zeros(4, 1_600)
    both = replace(OF_SAMPLES["noise"], gain_db=(6.0, 6.0))
    torch.testing.assert_close(heard(silence, both), heard(silence, OF_SAMPLES["noise"]) * 10 ** (6 / 20))


@pytest.mark.parametrize(
    "samples",
    [torch.zeros(4), torch.zeros(2, 0), torch.zeros(2, 5, dtype=torch.float64)],
    ids=["1d", "empty", "double"],
)
def test_samples_of_another_shape_or_type_are_refused(samples: Tensor) -> None:
    """What is no float32 (clips, samples) is named in a ValueError."""
    with pytest.raises(ValueError, match=r"clips must be float32 \(clips, samples\), not torch"):
        heard(samples, Augmentation())


def test_features_of_another_shape_are_refused() -> None:
    """What is no float32 (clips, coefficients, frames) is named in a ValueError."""
    with pytest.raises(ValueError, match=r"features must be float32 \(clips, coefficients, frames\), not torch"):
        seen(clips(), Augmentation())


@pytest.mark.parametrize("noise", [None, torch.zeros(0), torch.zeros(2, 50)], ids=["none", "empty", "2d"])
def test_noise_that_is_asked_for_must_be_there(noise: Tensor | None) -> None:
    """Noise with a probability above 0 needs background noise."""
    with pytest.raises(ValueError, match="there is no background noise"):
        augment_samples(clips(), OF_SAMPLES["noise"], noise, RATE_HZ, generator())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_gives_what_the_processor_gives() -> None:
    """Clips on a GPU, with a generator on the CPU, become what they become on the CPU, within 1e-4."""
    samples, features, noise = clips(), spectrograms(), clips(1, 5_000, 200)[0]
    there = augment_samples(samples.cuda(), EVERYTHING, noise.cuda(), RATE_HZ, generator()).cpu()
    torch.testing.assert_close(there, heard(samples, EVERYTHING), atol=1e-4, rtol=0)
    there = augment_features(features.cuda(), EVERYTHING, FRAMES_PER_S, generator()).cpu()
    torch.testing.assert_close(there, seen(features, EVERYTHING), atol=1e-5, rtol=0)
