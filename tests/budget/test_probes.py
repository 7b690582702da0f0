"""The inputs that a model is probed with, and the clock."""

from __future__ import annotations

import numpy as np
import pytest

from kwsbench.budget.latency import median_latency_ms
from kwsbench.budget.probes import feature_probes, waveforms


@pytest.mark.parametrize(("rate_hz", "num_samples"), [(16_000, 16_000), (8_000, 1), (200, 300)])
def test_sounds_have_the_length_and_stay_in_range(rate_hz: int, num_samples: int) -> None:
    """Every sound is float32 of the length asked for, in -1..1."""
    sounds = waveforms(rate_hz, num_samples)
    assert set(sounds) == {"silence", "noise", "speech", "loud"}
    assert all(sound.shape == (num_samples,) and sound.dtype == np.float32 for sound in sounds.values())
    assert max(float(np.abs(sound).max()) for sound in sounds.values()) <= 1


def test_sounds_are_what_they_are_called() -> None:
    """Silence is zero, loud sound is clipped at full scale, speech has its energy where vowels have it."""
    sounds = waveforms(16_000, 16_000)
    assert not sounds["silence"].any()
    assert np.mean(np.abs(sounds["loud"]) == 1) > 0.01
    power = np.abs(np.fft.rfft(sounds["speech"])) ** 2  # 1 Hz a bin
    assert power[300:3_000].sum() > 0.9 * power.sum()


def test_clips_are_added_in_order() -> None:
    """Real clips keep their samples and are numbered from 1."""
    clips = [np.full(4, 0.1, np.float32), np.full(4, 0.2, np.float32)]
    sounds = waveforms(16_000, 4, clips)
    assert list(sounds)[-2:] == ["clip 1", "clip 2"]
    assert np.array_equal(sounds["clip 2"], clips[1])


def test_features_have_the_shape_and_differ() -> None:
    """Every input has the shape asked for, and no two are the same."""
    inputs = feature_probes((1, 40, 101)) | {"from sound": np.ones((1, 40, 101), np.float32) / 2}
    assert all(one.shape == (1, 40, 101) and one.dtype == np.float32 for one in inputs.values())
    assert len({one.tobytes() for one in inputs.values()}) == len(inputs) == 6
    log_mel = inputs["log-mel"]
    assert abs(log_mel.mean() + 8) < 0.5
    assert abs(log_mel.std() - 4) < 0.5
    steps = np.diff(log_mel, axis=-1)
    assert steps.std() < 0.8 * log_mel.std()  # smooth over time; independent values would give sqrt(2)


def test_probes_are_the_same_every_time() -> None:
    """Two calls give the same bytes."""
    once, again = (feature_probes((1, 3, 7)) | waveforms(16_000, 50) for _ in range(2))
    assert all(np.array_equal(once[name], again[name]) for name in once)


def test_the_median_is_of_at_least_three_calls() -> None:
    """A call slower than the budget is still made three times after warming up, and time is in milliseconds."""
    calls: list[None] = []
    assert median_latency_ms(lambda: calls.append(None), budget_s=0) > 0
    assert len(calls) == 6
