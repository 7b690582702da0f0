"""Runs the model of an entry again, as its tier allows, and compares what it says with what was handed in.

A clip agrees where the label is the model's own, or one whose score is within `SCORE_TOLERANCE` of the best (two
machines may round a tie to either side), and where every score that was handed in is within that tolerance. The scores
are probabilities, as `kwsbench predict` writes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kwsbench import __version__
from kwsbench.checkpoint.exports import header_of_export
from kwsbench.checkpoint.header import ModelHeader
from kwsbench.checkpoint.model_file import Format, ModelFile, read_model_file
from kwsbench.clip_features import NetworkInput
from kwsbench.dataset.clips import PreparedDataset, load_samples
from kwsbench.errors import InputError
from kwsbench.manifest import Manifest
from kwsbench.predict import Model, load_model, predict_split
from kwsbench.predictions import Predictions
from kwsbench.runtime.definitions import Definition, read_definition
from kwsbench.submission.canaries import UNCHANGED, canary, changed_clips, chosen, verdict_on
from kwsbench.submission.judging import WEIGHTS_ONLY, Terms
from kwsbench.submission.record import Canary, Submission

SCORE_TOLERANCE = 1e-3
"""How far a score, a probability, may be from the model's own: over a hundred times what rounding in float32 does."""

MOST_NAMED = 20
"""How many clips that differ are named."""

_STRANGERS = (Format.ONNX, Format.TORCHSCRIPT, Format.EXPORTED_PROGRAM)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Handed-in predictions beside the model's own.

    Attributes:
        differs: Which clips do not agree, shape (clips,).
        largest_score_difference: Over all clips and labels; None where no scores were handed in.
    """

    differs: NDArray[np.bool_]
    largest_score_difference: float | None


@dataclass(frozen=True, eq=False)
class Rerun:
    """What running the model again has shown.

    Attributes:
        comparison: Its predictions beside those handed in.
        mismatches: Ids of the first clips that differ.
        canaries: What it makes of changed clips.
        suspicion: Why it looks like a table of answers, in words; empty where it does not.
    """

    comparison: Comparison
    mismatches: tuple[str, ...]
    canaries: tuple[Canary, ...]
    suspicion: str


def rerun(submission: Submission, terms: Terms, predictions: Predictions, baselines: Path | None) -> Rerun:
    """Runs the model of an entry on the clips of the split and on canaries.

    Args:
        submission: The entry.
        terms: The benchmark; its data set must be there.
        predictions: What was handed in, in the order of the clips.
        baselines: Folder of the baselines that the model may name.

    Raises:
        InputError: The model cannot be run on this benchmark.
        RefusedError: Running it would be unsafe.
    """
    dataset = terms.dataset
    if dataset is None or terms.clip_ids is None:
        raise ValueError("a model is run where its data set is")
    model = open_for(submission.model, terms.manifest, baselines, submission.arch)
    scores = predict_split(model, dataset, terms.split).scores
    comparison = compare(predictions, scores)
    differing = terms.clip_ids.filter(pl.Series(comparison.differs))
    canaries, suspicion = _canaries(model, dataset, terms, scores.argmax(axis=1))
    return Rerun(comparison, tuple(differing.head(MOST_NAMED)), canaries, suspicion)


def open_for(path: Path, manifest: Manifest, baselines: Path | None, arch: str | None = None) -> Model:
    """Opens a model for a benchmark.

    An ONNX, TorchScript or `.pt2` file that does not say what it hears, and weights with a definition, are taken to
    hear the front-end of the manifest, and to give its labels in their order.

    Args:
        path: The model file.
        manifest: The benchmark.
        baselines: Folder of the baselines that the model may name.
        arch: `FILE.py:CALLABLE`, where the file holds weights only.

    Raises:
        InputError: It is no model that can be run, or what runs it is missing.
        RefusedError: Reading it would be unsafe.
    """
    file = read_model_file(path)
    if arch is not None:
        return _stranger(file, manifest, read_definition(arch))
    if file.format in WEIGHTS_ONLY:
        raise InputError(
            f"{path} ({file.format}) holds weights alone; name the Python file that defines their network, such as"
            " --arch net.py:Net"
        )
    if file.format in _STRANGERS and header_of_export(file) is None:
        return _stranger(file, manifest)
    return load_model(path, baselines)


def _stranger(file: ModelFile, manifest: Manifest, definition: Definition | None = None) -> Model:
    header = ModelHeader(
        baseline="",
        config={},
        labels=manifest.labels,
        num_keywords=len(manifest.keywords),
        front_end=manifest.front_end,
        sample_rate_hz=manifest.sample_rate_hz,
        clip_samples=manifest.clip_samples,
        manifest=manifest.name,
        revision=manifest.revision,
        clips_sha256="",
        seed=0,
        kwsbench_version=__version__,
    )
    return Model(file, header, NetworkInput(manifest.front_end), definition=definition)


def compare(predictions: Predictions, scores: NDArray[np.float64]) -> Comparison:
    """Compares predictions with the scores that a model gives, both in the order of the clips.

    Args:
        predictions: What was handed in.
        scores: Probability of each label, shape (clips, labels).
    """
    clips = np.arange(len(scores))
    differs = scores[clips, predictions.predicted] < scores.max(axis=1) - SCORE_TOLERANCE
    if predictions.scores is None:
        return Comparison(differs, None)
    differences = np.abs(np.stack(predictions.scores, axis=1) - scores)
    return Comparison(differs | (differences > SCORE_TOLERANCE).any(axis=1), float(differences.max()))


def _canaries(
    model: Model, dataset: PreparedDataset, terms: Terms, predicted: NDArray[np.int64]
) -> tuple[tuple[Canary, ...], str]:
    rows, seed = dataset.split(terms.split), model.file.sha256
    ids = rows[terms.manifest.id_column].to_list()
    places = chosen(ids, seed)
    ids, samples = [ids[place] for place in places], load_samples(rows[places], dataset)
    truth = None if terms.truth is None else terms.truth.truth[places].astype(np.int64)
    before, rate_hz = predicted[places], terms.manifest.sample_rate_hz
    changed = dict(changed_clips(samples, ids, rate_hz, seed))
    inputs = np.concatenate([model.hear(clips, rate_hz) for clips in changed.values()])
    labels = np.split(model.scores(inputs).argmax(axis=1), len(changed))  # at once: a sandbox takes time to start
    after = dict(zip(changed, labels, strict=True))
    canaries = [canary(name, before, codes, truth) for name, codes in {UNCHANGED: before, **after}.items()]
    suspicions = (verdict_on(name, before, codes, truth) for name, codes in after.items())
    return tuple(canaries), next(filter(None, suspicions), "")
