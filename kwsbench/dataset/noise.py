"""Background noise to train with: only what no silence of the validation or the test split is cut from."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kwsbench.dataset.clips import PreparedDataset, audio_file
from kwsbench.dataset.draw import noise_stretch
from kwsbench.dataset.listing import archive_root, wav_files
from kwsbench.dataset.wav import Excerpt, WavError, cut, read_pcm
from kwsbench.errors import InputError, Problem, ProblemLog
from kwsbench.manifest import DrawSilence


def training_noise(dataset: PreparedDataset) -> NDArray[np.float32]:
    """Returns the background noise that the manifest's `[silence]` leaves to the train split.

    Of every noise file that is the stretch from which `draw_silence` may cut the silence of the train split
    (`noise_stretch`), whether or not the manifest draws any; files whose stretch is shorter than a clip are left out.

    Args:
        dataset: A prepared data set.

    Returns:
        Samples in [-1, 1), one stretch after the other in the order of the file names, shape (samples,); of length 0
        where the manifest has no `[silence]`.

    Raises:
        InputError: The noise is missing or damaged, or is not what the data set was prepared from.
    """
    draw = dataset.manifest.silence
    if draw is None:
        return np.zeros(0, np.float32)
    held_out, log, stretches = _held_out(dataset, draw), ProblemLog(), [np.zeros(0, "<i2")]
    for file in _noise_files(dataset, draw):
        try:
            pcm = read_pcm(dataset.audio_root / file, dataset.manifest.sample_rate_hz)
        except WavError as error:
            log.add("audio", error.problem(file))
            continue
        stretch = noise_stretch(len(pcm) // 2, "train")
        if stretch.stop > held_out.get(file, stretch.stop):
            log.add("changed", _changed(file, len(pcm) // 2))
        elif len(stretch) >= dataset.manifest.clip_samples:
            stretches.append(np.frombuffer(cut(pcm, Excerpt(stretch.start, len(stretch))), "<i2"))
    if len(log):
        raise InputError(f"the background noise of {dataset.manifest.name} cannot be used", log.problems())
    return np.concatenate(stretches).astype(np.float32) / np.float32(32768)


def _noise_files(dataset: PreparedDataset, draw: DrawSilence) -> list[str]:
    """The noise files, relative to the audio root."""
    folder = archive_root(dataset.manifest, dataset.audio_root, draw.archive) / draw.folder
    names = wav_files(folder)
    if not names:
        problem = Problem(str(folder), "no WAV files", "the background noise", "fetch or unpack the audio again")
        raise InputError(f"the background noise of {dataset.manifest.name} cannot be used", [problem])
    return [f"{dataset.manifest.path_prefix(draw.archive)}{draw.folder}/{name}" for name in names]


def _held_out(dataset: PreparedDataset, draw: DrawSilence) -> dict[str, int]:
    """The first sample of each noise file that a clip of the validation or test split has."""
    rows = dataset.clips.filter(pl.col("label") == draw.label, pl.col("split") != "train")
    first: dict[str, int] = {}
    for path, start in rows.select("path", "start_sample").iter_rows():
        file = audio_file(path)
        first[file] = min(start, first.get(file, start))
    return first


def _changed(file: str, num_samples: int) -> Problem:
    found = f"{num_samples:,} samples, so that the noise to train with holds silence of another split"
    return Problem(file, found, "the file as it was prepared", "unpack the audio again, or prepare it anew")
