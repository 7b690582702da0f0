"""Runs a trained model over a prepared data set, or over any audio."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kwsbench.baseline import configure_from, load_baseline_of_model, require_lightgbm
from kwsbench.checkpoint.exports import header_of_export
from kwsbench.checkpoint.header import ModelHeader
from kwsbench.checkpoint.lightgbm import parse_lightgbm, require_lightgbm_installed
from kwsbench.checkpoint.model_file import Format, ModelFile, read_model_file
from kwsbench.checkpoint.network import load_network
from kwsbench.clip_features import (
    CLIPS_PER_TASK,
    Extractor,
    Features,
    NetworkInput,
    features_of_parts,
    features_of_rows,
)
from kwsbench.dataset.audio import fit_length, read_any_audio
from kwsbench.dataset.clips import PreparedDataset
from kwsbench.errors import InputError, Problem, ProblemLog, reason_of
from kwsbench.manifest import Split
from kwsbench.predictions import write_predictions
from kwsbench.runtime.definitions import Definition
from kwsbench.runtime.scores import Score, open_model

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au")
"""Files of a folder that count as audio."""

_NAMED_PROBLEMS = 100


@dataclass(frozen=True, eq=False)
class Model:
    """A trained model, ready to run.

    Attributes:
        file: Its file, as it was read.
        header: What it says of itself.
        hear: From samples of shape (clips, samples) and their rate to what it takes, one row per clip.
        baselines: Folder of the baselines that it may name; None for the shipped ones.
        definition: Its architecture, where the file holds weights only.
    """

    file: ModelFile
    header: ModelHeader
    hear: Features
    baselines: Path | None = None
    definition: Definition | None = None

    @cached_property
    def _score(self) -> Score:
        return open_model(self.file, self.baselines, self.definition)

    def scores(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns the probability of each label, shape (clips, labels). Raises InputError where they do not fit."""
        scores = self._score(inputs)
        if scores.shape[1] != len(self.header.labels):
            raise InputError(f"{self.file.path} gives {scores.shape[1]} scores for {len(self.header.labels)} labels")
        return scores if self.file.format == Format.LIGHTGBM else _probabilities(scores)


@dataclass(frozen=True, eq=False)
class ScoredClips:
    """What a model says about clips.

    Attributes:
        clip_ids: Ids of the clips, named like the id column.
        labels: The labels of the scores.
        scores: Probability of each label, shape (clips, labels).
    """

    clip_ids: pl.Series
    labels: tuple[str, ...]
    scores: NDArray[np.float64]

    @property
    def predicted(self) -> list[str]:
        """The likeliest label of each clip; the first one where several are equal."""
        return [self.labels[code] for code in self.scores.argmax(axis=1)]

    def write(self, path: Path) -> None:
        """Writes them as predictions, whole or not at all."""
        columns = {label: self.scores[:, code] for code, label in enumerate(self.labels)}
        write_predictions(path, self.clip_ids, self.predicted, columns)


def _probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """The softmax of each row; it leaves what already is a logarithm of probabilities as it is."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def load_model(path: Path, baselines: Path | None = None) -> Model:
    """Reads a trained model: a LightGBM model, a kwsbench checkpoint, or an export of one.

    Raises:
        InputError: The file is no model that says which labels it gives, or its baseline is not there or has changed.
        RefusedError: Reading it would be unsafe, or it names a file as its baseline.
    """
    file = read_model_file(path)
    if file.format == Format.LIGHTGBM:
        return _lightgbm_model(file, baselines)
    header = load_network(file).header if file.format == Format.KWSBENCH else header_of_export(file)
    if header is None:
        raise InputError(
            f"{path} ({file.format}) does not say which labels it gives and what it hears;"
            " `kwsbench predict` runs what `kwsbench train` and `kwsbench export` write"
        )
    return Model(file, header, NetworkInput(header.front_end), baselines)


def _lightgbm_model(file: ModelFile, baselines: Path | None) -> Model:
    header = parse_lightgbm(file.path, file.data).header
    require_lightgbm_installed()
    baseline = require_lightgbm(load_baseline_of_model(header.baseline, baselines))
    return Model(file, header, Extractor(baseline, configure_from(baseline, header.config), header.front_end))


def predict_split(model: Model, dataset: PreparedDataset, split: Split) -> ScoredClips:
    """Runs a model over one split of a prepared data set.

    Raises:
        InputError: The labels or the audio are not those that the model was made for.
    """
    header, manifest = model.header, dataset.manifest
    wanted = (header.labels, header.sample_rate_hz, header.clip_samples)
    if wanted != (manifest.labels, manifest.sample_rate_hz, manifest.clip_samples):
        found = f"labels {', '.join(header.labels)} at {header.sample_rate_hz} Hz, {header.clip_samples:,} samples"
        expected = f"{', '.join(manifest.labels)} at {manifest.sample_rate_hz} Hz, {manifest.clip_samples:,} samples"
        problem = Problem("model", found, expected, f"train one with --manifest {manifest.name}")
        raise InputError(f"the model, made for {header.manifest}, does not fit {manifest.name}", [problem])
    rows = dataset.split(split)
    scores = model.scores(features_of_rows(model.hear, rows, dataset))
    return ScoredClips(rows[manifest.id_column], header.labels, scores)


def predict_files(model: Model, inputs: Sequence[Path]) -> tuple[ScoredClips, int]:
    """Runs a model over audio files, and over all audio in folders.

    Audio shorter than the model's clips is followed by zeros; of longer audio only the beginning is heard.

    Returns:
        What the model says, and how many files are longer than it hears.

    Raises:
        InputError: There is no audio, files cannot be read, or two have the same name; up to a hundred are named.
    """
    files = _find_audio(inputs)
    paths = list(files.values())
    parts = [paths[start : start + CLIPS_PER_TASK] for start in range(0, len(paths), CLIPS_PER_TASK)]
    listener = _Listener(model)
    features = features_of_parts(parts, listener, "listening")
    listener.check(paths)
    header = model.header
    return ScoredClips(pl.Series("path", list(files)), header.labels, model.scores(features)), len(listener.long)


class _Listener:
    """Reads audio files and turns them into features, and remembers which are too long or cannot be read."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._problems: dict[Path, Problem] = {}
        self.long: set[Path] = set()

    def __call__(self, part: Sequence[Path]) -> NDArray[np.float32]:
        header = self._model.header
        clips = np.zeros((len(part), header.clip_samples), dtype=np.float32)
        for row, path in zip(clips, part, strict=True):
            try:
                samples = read_any_audio(path, header.sample_rate_hz)
            except InputError as error:
                self._problems[path] = error.problems[0] if error.problems else Problem(str(path), error.message)
                continue
            if len(samples) > header.clip_samples:
                self.long.add(path)
            row[:] = fit_length(samples, header.clip_samples)
        return self._model.hear(clips, header.sample_rate_hz)

    def check(self, paths: Sequence[Path]) -> None:
        """Raises InputError that names what could not be read, in the order of `paths`, not that of the threads."""
        log = ProblemLog(keep=_NAMED_PROBLEMS)
        for path in paths:
            if path in self._problems:
                log.add("audio", self._problems[path])
        if len(log):
            raise InputError(f"{len(log)} of {len(paths)} files cannot be used; nothing was written", log.problems())


def _find_audio(inputs: Sequence[Path]) -> dict[str, Path]:
    """Name in the predictions to file: a file as it was given, the files of a folder relative to it."""
    files: dict[str, Path] = {}
    log = ProblemLog()
    for given in inputs:
        for name, path in _files_of(given):
            if not name.isascii() and "\ufffd" in name.encode(errors="surrogateescape").decode(errors="replace"):
                log.add(
                    "name", Problem(repr(str(path)), "a name that is not UTF-8", "one that a CSV can hold", "rename it")
                )
            elif files.get(name, path) != path:
                found = f"the name {name!r}, which {files[name]} has too"
                log.add("twice", Problem(str(path), found, "different names", "name the folder above both"))
            files[name] = path
    if len(log):
        raise InputError("not every file would have a path of its own in the predictions", log.problems())
    if not files:
        raise InputError(f"no audio in {', '.join(map(str, inputs))} (looked for {', '.join(AUDIO_SUFFIXES)})")
    return files


def _files_of(given: Path) -> list[tuple[str, Path]]:
    if not given.is_dir():
        return [(given.as_posix(), given)]
    found = []
    for parent, folders, names in os.walk(given, onerror=_cannot_list):
        folders[:] = [name for name in folders if not name.startswith(".")]
        audio = (name for name in names if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES)
        found += [Path(parent, name) for name in audio]
    return sorted((path.relative_to(given).as_posix(), path) for path in found)


def _cannot_list(error: OSError) -> NoReturn:
    raise InputError(f"cannot list the folder {error.filename}: {reason_of(error)}") from error
