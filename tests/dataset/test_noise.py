"""Noise to train with: all that the silence of the train split may be cut from, and nothing of the other splits."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kwsbench.dataset.draw import draw_silence, noise_stretch
from kwsbench.dataset.noise import training_noise
from kwsbench.errors import InputError
from kwsbench.manifest import DrawSilence
from tests.conftest import CLIP_SAMPLES, Tiny, write_wav

DRAW = DrawSilence(label="_silence_", archive="words", folder="noise", fraction=0.5)


def _samples_of(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def _may_be_cut_for(split: str, num_samples: int, clip_samples: int) -> set[int]:
    """Every sample of a file that any clip of the split can hold, by drawing all the clips that there are."""
    cuts = []
    for count in range(1, num_samples + 1):
        try:
            cuts = draw_silence({"a.wav": num_samples}, DRAW, split, count, clip_samples)
        except InputError:
            break
    return {sample for cut in cuts for sample in range(cut.start_sample, cut.start_sample + clip_samples)}


def test_it_is_what_the_silence_of_the_train_split_may_be_cut_from(tiny: Tiny) -> None:
    """The first 80 % of every noise file, in the order of the names, in [-1, 1)."""
    noise = training_noise(tiny.prepare())
    folder = tiny.root / "_background_noise_"
    expected = np.concatenate([_samples_of(folder / "rain.wav")[:32_000], _samples_of(folder / "street.wav")[:48_000]])
    assert noise.dtype == np.float32
    assert noise.shape == (80_000,)
    assert (noise * 32_768 == expected).all()


@settings(deadline=None, derandomize=True, max_examples=40, database=None)
@given(num_samples=st.integers(1, 200), clip_samples=st.integers(1, 20))
def test_no_sample_of_it_can_be_in_a_silence_of_another_split(num_samples: int, clip_samples: int) -> None:
    """For files of any length it is exactly what draws for the train split reach, and no other draw reaches it."""
    stretch = set(noise_stretch(num_samples, "train"))
    kept = stretch if len(stretch) >= clip_samples else set()
    assert kept == _may_be_cut_for("train", num_samples, clip_samples)
    for split in ("validation", "test"):
        assert kept.isdisjoint(_may_be_cut_for(split, num_samples, clip_samples))


def test_held_out_noise_is_never_heard(tiny: Tiny) -> None:
    """Where each part of a file has a sample value of its own, only that of the train split comes."""
    values = np.repeat(np.array([7, 8, 9], "<i2"), [40_000, 5_000, 5_000])
    for name in ("rain.wav", "street.wav"):
        write_wav(tiny.root / "_background_noise_" / name, values.tobytes())
    assert set((training_noise(tiny.prepare()) * 32_768).tolist()) == {7.0}


def test_a_file_too_short_for_a_clip_is_left_out(tiny: Tiny) -> None:
    """A stretch of exactly one clip is in, one that is a sample shorter is out."""
    folder = tiny.root / "_background_noise_"
    write_wav(folder / "short.wav", CLIP_SAMPLES * 5 // 4 - 1)
    assert len(training_noise(tiny.prepare())) == 80_000
    write_wav(folder / "short.wav", CLIP_SAMPLES * 5 // 4)
    assert len(training_noise(tiny.prepare())) == 80_000 + CLIP_SAMPLES


def test_a_manifest_without_noise_has_none(tiny: Tiny) -> None:
    """Without [silence] it is an empty vector."""
    text = tiny.manifest_path.read_text(encoding="utf-8")
    tiny.edit(text[text.index("[silence]") : text.index("[front_end]")], "")
    tiny.forget_counts()
    noise = training_noise(tiny.prepare(partial=True))
    assert (noise.shape, noise.dtype) == ((0,), np.float32)


def test_the_train_part_is_there_when_only_others_draw_silence(tiny: Tiny) -> None:
    """The stretch is the train split's, whether or not the manifest draws clips from it."""
    tiny.edit("gain_max = 0.5", 'gain_max = 0.5\nsplits = ["validation", "test"]')
    tiny.forget_counts()
    assert len(training_noise(tiny.prepare())) == 80_000


def test_noise_that_has_changed_since_is_refused(tiny: Tiny) -> None:
    """In a file that grew, the first 80 % would reach into the silence of the test split."""
    dataset = tiny.prepare()
    write_wav(tiny.root / "_background_noise_" / "rain.wav", 60_000)
    with pytest.raises(InputError, match="the background noise of tiny cannot be used") as caught:
        training_noise(dataset)
    (problem,) = caught.value.problems
    assert problem.where == "_background_noise_/rain.wav"
    assert "60,000 samples" in problem.found
    assert "prepare it anew" in problem.remedy


def test_every_damaged_noise_file_is_named(tiny: Tiny) -> None:
    """All of them at once, each with what is wrong."""
    dataset = tiny.prepare()
    for name in ("rain.wav", "street.wav"):
        (tiny.root / "_background_noise_" / name).write_bytes(b"")
    with pytest.raises(InputError, match="cannot be used") as caught:
        training_noise(dataset)
    assert [problem.where for problem in caught.value.problems] == [
        "_background_noise_/rain.wav",
        "_background_noise_/street.wav",
    ]


def test_noise_that_is_gone_is_told_as_such(tiny: Tiny) -> None:
    """A folder without noise files is an error, not silence."""
    dataset = tiny.prepare()
    for path in (tiny.root / "_background_noise_").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="cannot be used") as caught:
        training_noise(dataset)
    assert "no WAV files" in str(caught.value)
