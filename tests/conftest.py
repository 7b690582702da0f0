"""What the tests share: WAV files, a tiny data set of words with official lists and noise, and the manifests."""

from __future__ import annotations

import hashlib
import os
import wave
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings

from kwsbench.dataset.clips import PreparedDataset
from kwsbench.dataset.places import Places
from kwsbench.dataset.prepare import prepare
from kwsbench.manifest import Manifest, read_manifest

REPOSITORY = Path(__file__).parents[1]
MANIFESTS = sorted((REPOSITORY / "data_manifests").glob("*.toml"))
TEN_LABELS = REPOSITORY / "tests" / "manifests" / "speech_commands_v1_10.toml"

# Every run tries the same examples, so that a green commit stays green; HYPOTHESIS_PROFILE=explore tries others.
settings.register_profile("same", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

RATE_HZ = 16_000
CLIP_SAMPLES = 1_600


def pcm_of(name: str, num_samples: int) -> bytes:
    """Returns 16-bit PCM that is different for every name and the same in every run."""
    return hashlib.shake_256(name.encode()).digest(2 * num_samples)


def write_wav(path: Path, pcm: bytes | int = CLIP_SAMPLES, *, rate_hz: int = RATE_HZ, channels: int = 1) -> Path:
    """Writes a 16-bit WAV with the standard library; a number of samples gives noise that depends on the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm_of(f"{path.parent.name}/{path.name}", channels * pcm) if isinstance(pcm, int) else pcm)
    return path


TINY_MANIFEST = """
name = "tiny"
revision = 1
title = "Tiny"
description = "Two words, two other words and noise."
source = "nowhere"
citation = "none"
licence = "CC0-1.0"
languages = ["en"]
sample_rate_hz = 16000
clip_length_s = 0.1
keywords = ["yes", "no"]
background_labels = ["_unknown_", "_silence_"]
speaker_pattern = '/(?P<speaker>[0-9a-f]{8})_nohash_'

[[archives]]
folder = "tiny_words"
file = "tiny_words.zip"
url = "http://127.0.0.1/tiny_words.zip"
checksum_note = "It is made up."
inner_folder = "inner"

[[sources]]
layout = "folders"
archive = "tiny_words"
split = { rule = "lists", validation = "validation_list.txt", test = "testing_list.txt" }

[unknown]
label = "_unknown_"
archive = "tiny_words"
folders = ["bed", "cat"]
fraction = 0.5

[silence]
label = "_silence_"
archive = "tiny_words"
folder = "_background_noise_"
fraction = 0.5
gain_max = 0.5

[front_end]
kind = "log_mel"
window_samples = 400
hop_samples = 160
n_fft = 512
num_mels = 20

[expected.train]
yes = 4
no = 4
_unknown_ = 4
_silence_ = 4

[expected.validation]
yes = 2
no = 2
_unknown_ = 2
_silence_ = 2

[expected.test]
yes = 2
no = 2
_unknown_ = 2
_silence_ = 2
"""

TINY_SPEAKERS = {
    "train": ("00176480", "1641e121", "0a7c2a8d", "beefbeef"),
    "validation": ("00000001", "00000002"),
    "test": ("10000000", "20000000"),
}
"""Ids that look like numbers, in every way that has been read as one."""


def tiny_clips() -> Iterator[tuple[str, str]]:
    """Yields the split and the path of every clip of the tiny data set, noise aside."""
    for word in ("yes", "no", "bed", "cat"):
        for split, speakers in TINY_SPEAKERS.items():
            for speaker in speakers:
                yield split, f"{word}/{speaker}_nohash_0.wav"


@dataclass
class Tiny:
    """The tiny data set: its audio, its manifest, and a data folder to prepare it in."""

    root: Path
    manifest_path: Path
    places: Places
    edits: list[tuple[str, str]] = field(default_factory=list)

    @property
    def manifest(self) -> Manifest:
        """The manifest as its file says now."""
        return read_manifest(self.manifest_path)

    def edit(self, old: str, new: str) -> None:
        """Replaces a piece of the manifest that is there."""
        text = self.manifest_path.read_text(encoding="utf-8")
        assert old in text
        self.manifest_path.write_text(text.replace(old, new), encoding="utf-8")

    def forget_counts(self) -> None:
        """Takes [expected] out of the manifest."""
        text = self.manifest_path.read_text(encoding="utf-8")
        self.manifest_path.write_text(text.partition("[expected.train]")[0], encoding="utf-8")

    def prepare(self, *, partial: bool = False) -> PreparedDataset:
        """Prepares the audio as it lies there."""
        return prepare(self.manifest, self.manifest_path, self.root, self.places, partial=partial)


def write_tiny_audio(root: Path) -> None:
    """Writes the audio and the lists of the tiny data set."""
    lists: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for split, path in tiny_clips():
        write_wav(root / path)
        lists[split].append(path)
    (root / "validation_list.txt").write_text("".join(f"{path}\n" for path in lists["validation"]), encoding="utf-8")
    (root / "testing_list.txt").write_text("".join(f"{path}\n" for path in lists["test"]), encoding="utf-8")
    write_wav(root / "_background_noise_" / "rain.wav", 40_000)
    write_wav(root / "_background_noise_" / "street.wav", 60_000)
    (root / "_background_noise_" / "README.md").write_text("noise", encoding="utf-8")


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """A tiny data set of 32 clips of words, of which 16 of other words, and two noise files."""
    write_tiny_audio(tmp_path / "audio")
    manifest_path = tmp_path / "tiny.toml"
    manifest_path.write_text(TINY_MANIFEST, encoding="utf-8")
    return Tiny(tmp_path / "audio", manifest_path, Places(tmp_path / "data"))
