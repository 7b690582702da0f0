"""Trains a baseline on LightGBM on a prepared data set and keeps it as a checkpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kwsbench.baseline import LightgbmBaseline, errors_of
from kwsbench.checkpoint.lightgbm import (
    LightgbmCheckpoint,
    LightgbmHeader,
    import_lightgbm,
    label_scores,
    lightgbm_reason,
    save_lightgbm,
    sha256_of_text,
)
from kwsbench.clip_features import Extractor, features_of_rows
from kwsbench.dataset.clips import PreparedDataset
from kwsbench.errors import InputError
from kwsbench.manifest import Split
from kwsbench.progress import progress
from kwsbench.train.labels import rows_with_all_labels


@dataclass(frozen=True)
class TrainedModel:
    """What training gave.

    Attributes:
        checkpoint: The model.
        num_rounds: Boosting rounds kept.
        validation_accuracy: Accuracy on the validation split.
        num_train_clips: Clips that it was trained on.
    """

    checkpoint: LightgbmCheckpoint
    num_rounds: int
    validation_accuracy: float
    num_train_clips: int


@dataclass(frozen=True)
class Boosting:
    """How to boost.

    Attributes:
        seed: Seed of LightGBM's draws.
        num_threads: Threads; on up to some 10,000 clips one is fastest, as rounds are too short to share.
    """

    seed: int = 0
    num_threads: int = 1


def train(
    baseline: LightgbmBaseline, config: Any, dataset: PreparedDataset, out: Path, boosting: Boosting
) -> TrainedModel:
    """Trains a LightGBM baseline with early stopping on the validation split, and writes it to `out`.

    The same data, configuration and seed give the same bytes, whatever the number of threads.

    Raises:
        InputError: A split or a label is empty, audio is missing, LightGBM is not installed, or it or the baseline
            cannot use the configuration.
    """
    import_lightgbm()  # said now, not after minutes of features
    with errors_of(baseline):
        front_end = baseline.front_end(config, dataset.manifest.front_end)
    extractor = Extractor(baseline, config, front_end)
    fitted, held_out = (_labelled(extractor, dataset, split) for split in ("train", "validation"))
    with errors_of(baseline):
        parameters = baseline.lightgbm_parameters(
            config, len(dataset.manifest.labels), boosting.seed, boosting.num_threads
        )
    booster = _boost(extractor, parameters, fitted, held_out)
    scores = label_scores(booster, held_out.features, len(dataset.manifest.labels))
    accuracy = float((scores.argmax(axis=1) == held_out.codes).mean())
    text = _without_num_threads(booster.model_to_string())
    header = LightgbmHeader.of_training(
        dataset.manifest,
        baseline=extractor.baseline.__name__,
        config=extractor.config,
        front_end=extractor.front_end,
        seed=boosting.seed,
        clips_sha256=dataset.clips_sha256,
        text_sha256=sha256_of_text(text),
    )
    model = LightgbmCheckpoint(header, text)
    save_lightgbm(out, model)
    # Without early stopping there is no best round, and all are kept.
    num_rounds = booster.best_iteration if booster.best_iteration > 0 else booster.current_iteration()
    return TrainedModel(model, num_rounds, accuracy, len(fitted.codes))


@dataclass(frozen=True, eq=False)
class _Labelled:
    features: NDArray[np.float32]
    codes: NDArray[np.integer]


def _labelled(extractor: Extractor, dataset: PreparedDataset, split: Split) -> _Labelled:
    rows, labels = rows_with_all_labels(dataset, split), dataset.manifest.labels
    codes = rows["label"].cast(pl.Enum(list(labels))).to_physical().to_numpy()
    return _Labelled(features_of_rows(extractor, rows, dataset), codes)


def _boost(extractor: Extractor, parameters: dict[str, Any], fitted: _Labelled, held_out: _Labelled) -> Any:
    """Boosts until the validation split gains no more; predictions of the result use the best round."""
    lightgbm, config = import_lightgbm(), extractor.config
    train_set = lightgbm.Dataset(fitted.features, fitted.codes, params=parameters)
    with progress("boosting", config.num_boost_round, "rounds") as advance:
        try:
            return lightgbm.train(
                parameters,
                train_set,
                num_boost_round=config.num_boost_round,
                valid_sets=[train_set.create_valid(held_out.features, held_out.codes)],
                callbacks=[
                    lightgbm.early_stopping(config.early_stopping_rounds, verbose=False),
                    lambda _: advance(1),
                ],
            )
        except (lightgbm.basic.LightGBMError, ValueError, TypeError) as error:
            name = extractor.baseline.__name__
            raise InputError(f"LightGBM refuses the configuration of {name}: {lightgbm_reason(error)}") from error


def _without_num_threads(model_text: str) -> str:
    """The one line that depends on the machine says nothing about the model; 0 stands for LightGBM's own choice."""
    return re.sub(r"^\[num_threads: \d+\]$", "[num_threads: 0]", model_text, flags=re.MULTILINE)
