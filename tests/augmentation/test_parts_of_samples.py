"""The parts that work on samples, against loops, other libraries, and what can be measured on their results."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import fftconvolve, resample_poly
from torch import Tensor

from kwsbench.augmentation import augment_samples
from kwsbench.augmentation.loudness import add_noise, change_gain, endless, stretches
from kwsbench.augmentation.moves import shift
from kwsbench.augmentation.pitch import shift_pitch
from kwsbench.augmentation.resampling import change_speed, resample
from kwsbench.augmentation.reverberation import convolve, room_responses
from kwsbench.recipe import Augmentation

RATE_HZ = 16_000
PROPERTY = settings(deadline=None, derandomize=True, max_examples=60, database=None)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sine(frequency_hz: float, num_samples: int = RATE_HZ) -> Tensor:
    """A sine of amplitude 0.5."""
    return (
        0.5 * torch.sin(2 * math.pi * frequency_hz / RATE_HZ * torch.arange(num_samples, dtype=torch.float64)).float()
    )


def speech_like(seed: int) -> NDArray[np.float32]:
    """Noise under 4 kHz in the middle of a second of silence."""
    middle = resample_poly(gaussian(3_000, seed=seed).double().numpy(), 2, 1)
    return np.pad(0.1 * middle * np.hanning(6_000), 5_000).astype(np.float32)


def frequency_of(samples: Tensor) -> float:
    """The strongest frequency in Hz, between the bins by a parabola through the logarithms."""
    window = np.hanning(samples.shape[-1])
    spectrum = np.log(np.abs(np.fft.rfft(samples.double().numpy() * window, 2**17)) + 1e-12)
    peak = int(spectrum.argmax())
    left, here, right = spectrum[peak - 1 : peak + 2]
    return float((peak + 0.5 * (left - right) / (left - 2 * here + right)) * RATE_HZ / 2**17)


def decibels(ratio: float) -> float:
    """Of a ratio of energies."""
    return 10 * math.log10(ratio)


def augmented(samples: Tensor, augmentation: Augmentation, noise: Tensor | None = None) -> Tensor:
    """Samples as they are augmented."""
    return augment_samples(samples, augmentation, noise, RATE_HZ, torch.Generator().manual_seed(5))


@PROPERTY
@given(later=st.lists(st.integers(-15, 15), min_size=1, max_size=5), num_samples=st.integers(1, 12))
def test_a_shift_is_that_of_a_loop(later: list[int], num_samples: int) -> None:
    """Sample n of a clip that comes k later is sample n - k where there is one, and 0 where there is none."""
    clips = gaussian(len(later), num_samples)
    expected = torch.zeros_like(clips)
    for row, by in enumerate(later):
        for place in range(num_samples):
            if 0 <= place - by < num_samples:
                expected[row, place] = clips[row, place - by]
    assert torch.equal(shift(clips, torch.tensor(later)), expected)


def test_clips_are_shifted_by_up_to_so_much_either_way() -> None:
    """Up to 0.5 ms, 8 samples: every shift from -8 to 8 occurs, and no other."""
    clips = torch.zeros(400, 40)
    clips[:, 20] = 1
    places = augmented(clips, Augmentation(shift_s=0.0005)).argmax(dim=1) - 20
    assert set(places.tolist()) == set(range(-8, 9))


@pytest.mark.parametrize("speed", [0.8, 0.9, 1.1, 1.25])
def test_speed_divides_the_frequency_of_a_sine_as_it_should(speed: float) -> None:
    """A sine of 1 kHz played at a speed has 1 kHz times that speed, within 0.1 Hz, at the same amplitude."""
    after = change_speed(sine(1_000.0)[None], torch.tensor([speed]))[0]
    middle = after[3_000:-3_000]
    assert frequency_of(middle) == pytest.approx(1_000 * speed, abs=0.1)
    assert middle.abs().max().item() == pytest.approx(0.5, rel=2e-3)


@pytest.mark.parametrize(("up", "down"), [(10, 9), (10, 11), (5, 4), (4, 5)])
def test_speed_gives_what_a_polyphase_filter_gives(up: int, down: int) -> None:
    """Sound under 4 kHz, resampled by scipy with a long filter, is within 0.5 % of the peak."""
    clip = speech_like(1)
    filtered = resample_poly(clip.astype(np.float64), up, down, window=("kaiser", 12.0))
    ours = resample(torch.tensor(clip)[None], torch.tensor([down / up]), len(filtered))[0].numpy()
    assert np.abs(ours - filtered).max() < 5e-3 * np.abs(clip).max()


def test_speed_leaves_the_middle_of_a_clip_in_its_place() -> None:
    """A click in the middle stays there; one 1,000 samples beside it moves to 1,000 divided by the speed."""
    clip = torch.zeros(2, 8_001)
    clip[0, 4_000], clip[1, 5_000] = 1, 1
    after = change_speed(clip, torch.tensor([1.25, 1.25]))
    assert after.argmax(dim=1).tolist() == [4_000, 4_800]


def test_a_faster_clip_has_silence_around_it() -> None:
    """At double speed the outer quarters are exactly 0, and the middle half is not."""
    after = change_speed(gaussian(1, 8_000), torch.tensor([2.0]))[0]
    assert after[:2_000].count_nonzero() == after[-2_000:].count_nonzero() == 0
    assert after[2_000:-2_000].count_nonzero() > 3_900


def test_speed_1_is_the_clip() -> None:
    """At its own speed a clip comes out as it is, within rounding."""
    clips = gaussian(3, 5_001)
    torch.testing.assert_close(change_speed(clips, torch.ones(3)), clips, atol=1e-5, rtol=0)


def test_a_higher_speed_takes_nothing_above_half_the_sample_rate_back_below_it() -> None:
    """A sine of 7.5 kHz at 1.25 times its speed would be at 6.6 kHz by aliasing; it is gone, by 60 dB at least."""
    clip = sine(7_500.0) * torch.hann_window(RATE_HZ)
    after = change_speed(clip[None], torch.tensor([1.25]))[0]
    assert decibels((after.square().sum() / clip.square().sum()).item()) < -60


def test_each_clip_has_its_own_speed() -> None:
    """A batch at three speeds is what the clips give alone."""
    clips, speeds = gaussian(3, 4_000), torch.tensor([0.7, 1.0, 1.4])
    together = change_speed(clips, speeds)
    for row in range(3):
        torch.testing.assert_close(together[row : row + 1], change_speed(clips[row : row + 1], speeds[row : row + 1]))


def test_speeds_are_drawn_from_their_range() -> None:
    """100 sines of 1 kHz at 0.9 to 1.1 times their speed lie between 900 and 1100 Hz, and fill that."""
    after = augmented(sine(1_000.0, 4_000).expand(100, -1), Augmentation(speed=(0.9, 1.1)))
    frequencies = [frequency_of(each[300:-300]) for each in after]
    assert 899 < min(frequencies) < 910
    assert 1_090 < max(frequencies) < 1_101


@pytest.mark.parametrize("semitones", [-4.0, -1.0, 1.0, 4.0])
@pytest.mark.parametrize("frequency_hz", [150.0, 440.0, 3_000.0])
def test_pitch_moves_the_frequency_of_a_sine_by_semitones(frequency_hz: float, semitones: float) -> None:
    """A sine moves to 2^(semitones/12) times its frequency, within 0.3 %, and keeps its amplitude within 5 %."""
    after = shift_pitch(sine(frequency_hz)[None], torch.tensor([semitones]), RATE_HZ)[0]
    middle = after[3_000:-3_000]
    assert frequency_of(middle) == pytest.approx(frequency_hz * 2 ** (semitones / 12), rel=3e-3)
    assert middle.abs().max().item() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("semitones", [-4.0, 4.0])
def test_pitch_leaves_a_sound_where_it_is_in_time(semitones: float) -> None:
    """A tone from 0.3 to 0.7 s still has its centre of energy and its middle 90 % there, within 20 ms."""
    clip = torch.zeros(RATE_HZ)
    clip[4_800:11_200] = sine(500.0, 6_400)
    after = shift_pitch(clip[None], torch.tensor([semitones]), RATE_HZ)[0]
    for share in (0.05, 0.5, 0.95):
        before_s, after_s = (
            int(torch.searchsorted((each.square().cumsum(0) / each.square().sum()), share)) / RATE_HZ
            for each in (clip, after)
        )
        assert after_s == pytest.approx(before_s, abs=0.02)


def test_pitch_moves_all_harmonics() -> None:
    """A tone of 200 Hz with ten harmonics, up by 3 semitones, has its energy at the multiples of 237.8 Hz."""
    tone = sum((sine(200.0 * number) / number for number in range(1, 11)), torch.zeros(RATE_HZ))
    after = shift_pitch(tone[None], torch.tensor([3.0]), RATE_HZ)[0][3_000:-3_000]
    power = np.abs(np.fft.rfft(after.double().numpy() * np.hanning(len(after)))) ** 2
    frequencies = np.fft.rfftfreq(len(after), 1 / RATE_HZ)
    base = 200 * 2 ** (3 / 12)
    near = np.abs(frequencies / base - np.round(frequencies / base)) * base < 6
    assert power[near].sum() / power.sum() > 0.98


def test_no_change_of_pitch_is_the_clip() -> None:
    """By 0 semitones a clip comes out as it is, within rounding."""
    clips = 0.1 * gaussian(3, 5_001)
    torch.testing.assert_close(shift_pitch(clips, torch.zeros(3), RATE_HZ), clips, atol=1e-5, rtol=0)


def test_each_clip_has_its_own_pitch() -> None:
    """A batch at three pitches is what the clips give alone, though the longest decides how long the work is."""
    clips = torch.stack([torch.tensor(speech_like(seed)) for seed in range(3)])
    semitones = torch.tensor([-5.0, 0.0, 5.0])
    together = shift_pitch(clips, semitones, RATE_HZ)
    for row in range(3):
        alone = shift_pitch(clips[row : row + 1], semitones[row : row + 1], RATE_HZ)
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("t60_s", [0.1, 0.3, 0.8])
def test_the_reverberation_time_is_measured_as_asked(t60_s: float) -> None:
    """Schroeder's backward integral falls from -5 to -25 dB in a third of T60, within 7 % in the mean of 20 rooms."""
    responses = room_responses(gaussian(20, RATE_HZ), torch.full((20,), t60_s), RATE_HZ).double().numpy()
    measured = []
    for response in responses:
        tail = response[1:]
        remaining = 10 * np.log10(np.cumsum(tail[::-1] ** 2)[::-1] / np.sum(tail**2) + 1e-30)
        fitted = (remaining < -5) & (remaining > -25)
        slope_db_per_s = np.polyfit(np.flatnonzero(fitted) / RATE_HZ, remaining[fitted], 1)[0]
        measured.append(-60 / slope_db_per_s)
    assert np.mean(measured) == pytest.approx(t60_s, rel=0.07)


def test_a_room_response_has_unit_energy_and_its_direct_sound_first() -> None:
    """Squares sum to 1; at T60 0.5 s half of that is the sample at 0, at twice the time a third of it."""
    responses = room_responses(gaussian(2, RATE_HZ), torch.tensor([0.5, 1.0]), RATE_HZ)
    torch.testing.assert_close(responses.square().sum(dim=1), torch.ones(2))
    torch.testing.assert_close(responses[:, 0].square(), torch.tensor([1 / 2, 1 / 3]))


def test_a_reverberation_time_of_0_is_no_room() -> None:
    """T60 of 0 gives an impulse, not NaN."""
    response = room_responses(gaussian(1, 100), torch.zeros(1), RATE_HZ)
    assert torch.equal(response[0], torch.eye(100)[0])


@PROPERTY
@given(num_samples=st.integers(1, 200), length=st.integers(1, 300), seed=st.integers(0, 1_000))
def test_a_room_is_a_convolution(num_samples: int, length: int, seed: int) -> None:
    """Clips are convolved as numpy convolves them, up to the clip's end."""
    clips, responses = gaussian(2, num_samples, seed=seed), gaussian(2, length, seed=seed + 1)
    expected = [
        np.convolve(clip, response)[:num_samples]
        for clip, response in zip(clips.double(), responses.double(), strict=True)
    ]
    np.testing.assert_allclose(convolve(clips, responses).numpy(), np.array(expected), atol=1e-4)


def test_rooms_of_a_batch_are_drawn_from_their_range() -> None:
    """Direct sound of 300 clicks in rooms of 0.1 to 0.4 s carries 1 / (1 + 2 T60) of the energy for such T60."""
    clicks = torch.zeros(300, RATE_HZ // 2)
    clicks[:, 0] = 1
    after = augmented(clicks, Augmentation(reverberation_s=(0.1, 0.4)))
    t60_s = (1 / after[:, 0].square() - 1) / 2
    assert 0.1 - 1e-4 < t60_s.min() < 0.12
    assert 0.38 < t60_s.max() < 0.4 + 1e-4


def test_a_room_keeps_the_level_of_noise() -> None:
    """White noise in a room of 0.2 s keeps its energy within 1 dB in the mean, but for the tail that is cut off."""
    clips = gaussian(20, RATE_HZ)
    after = augmented(clips, Augmentation(reverberation_s=(0.2, 0.2)))
    assert abs(decibels((after.square().sum() / clips.square().sum()).item())) < 1


@PROPERTY
@given(
    snr_db=st.floats(-20, 40, width=32), level=st.floats(2**-9, 4, width=32), noise_level=st.floats(2**-12, 4, width=32)
)
def test_the_signal_to_noise_ratio_is_measured_as_asked(snr_db: float, level: float, noise_level: float) -> None:
    """Energy of the clip over that of what was added, in double precision, is the ratio within 0.05 dB."""
    clip, noise = level * gaussian(1, 500), noise_level * gaussian(1, 500, seed=1)
    added = add_noise(clip, noise, torch.tensor([snr_db])).double() - clip.double()
    assert decibels((clip.double().square().sum() / added.square().sum()).item()) == pytest.approx(snr_db, abs=0.05)


def test_ratios_are_drawn_from_their_range() -> None:
    """200 noisy clips have ratios from 5 to 15 dB, and fill that."""
    clips = gaussian(200, 1_000)
    added = augmented(clips, Augmentation(noise_snr_db=(5.0, 15.0), noise_probability=1.0), gaussian(9_000)) - clips
    ratios = 10 * torch.log10(clips.square().sum(dim=1) / added.square().sum(dim=1))
    assert 5 - 1e-3 < ratios.min() < 5.5
    assert 14.5 < ratios.max() < 15 + 1e-3


def test_digital_silence_gets_noise_at_the_level_of_a_clip_at_minus_60_decibels() -> None:
    """At 10 dB, a clip of zeros gets noise at -70 dBFS, and no NaN."""
    after = add_noise(torch.zeros(1, 4_000), gaussian(1, 4_000), torch.tensor([10.0]))
    assert decibels(after.square().mean().item()) == pytest.approx(-70, abs=0.01)


@pytest.mark.parametrize("level", [0.0, 1e-20, 1e-6])
def test_silent_noise_adds_nothing(level: float) -> None:
    """A stretch of noise under -100 dBFS leaves the clip as it is, instead of being blown up."""
    clip = gaussian(1, 100)
    assert torch.equal(add_noise(clip, level * gaussian(1, 100, seed=1), torch.tensor([-20.0])), clip)


def test_stretches_of_noise_begin_anywhere() -> None:
    """Of noise that is 3 samples longer than a clip, all 4 stretches are heard, and each is one that a slice gives."""
    noise = gaussian(103)
    added = augmented(torch.zeros(100, 100), Augmentation(noise_probability=1.0), noise)
    slices = torch.stack([noise[start : start + 100] for start in range(4)])
    likeness = torch.nn.functional.cosine_similarity(added[:, None], slices[None], dim=2)
    assert torch.allclose(likeness.max(dim=1).values, torch.ones(100), atol=1e-5)
    assert set(likeness.argmax(dim=1).tolist()) == {0, 1, 2, 3}


@PROPERTY
@given(length=st.integers(1, 12), num_samples=st.integers(1, 30))
def test_noise_shorter_than_a_clip_begins_anew(length: int, num_samples: int) -> None:
    """The stretch from each place of short noise goes round and round; long noise is left as it is."""
    noise = gaussian(length)
    longer = endless(noise, num_samples)
    assert len(longer) == (length if length >= num_samples else length + num_samples - 1)
    for start in range(len(longer) - num_samples + 1):
        expected = [noise[(start + step) % length] for step in range(num_samples)]
        assert torch.equal(stretches(longer, torch.tensor([start]), num_samples)[0], torch.stack(expected))


def test_gain_is_in_decibels_and_clips_nothing() -> None:
    """20 dB are a factor of 10, -6.0206 dB one of a half, and samples may exceed 1."""
    after = change_gain(torch.tensor([[0.5, -0.5], [0.5, -0.5]]), torch.tensor([20.0, -6.0206]))
    torch.testing.assert_close(after, torch.tensor([[5.0, -5.0], [0.25, -0.25]]), atol=1e-5, rtol=0)


def test_gains_are_drawn_from_their_range() -> None:
    """500 clips get gains from -10 to 5 dB, and fill that evenly in decibels."""
    after = augmented(torch.ones(500, 1), Augmentation(gain_db=(-10.0, 5.0)))
    gains_db = 20 * torch.log10(after)
    assert -10 - 1e-4 <= gains_db.min() < -9.8
    assert 4.8 < gains_db.max() <= 5 + 1e-4
    assert gains_db.mean().item() == pytest.approx(-2.5, abs=0.8)


def test_a_response_convolves_as_scipy_says() -> None:
    """A second in a room of half a second is what `scipy.signal.fftconvolve` makes of it."""
    clip, response = (
        gaussian(1, RATE_HZ),
        room_responses(gaussian(1, RATE_HZ // 2, seed=1), torch.tensor([0.5]), RATE_HZ),
    )
    expected = fftconvolve(clip[0].double(), response[0].double())[:RATE_HZ]
    np.testing.assert_allclose(convolve(clip, response)[0].numpy(), expected, atol=1e-5)
