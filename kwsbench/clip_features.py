"""What a baseline sees of clips: samples through its front-end and its summary, on all processors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kwsbench.baseline import LightgbmBaseline, errors_of
from kwsbench.dataset.cache import ClipCache
from kwsbench.dataset.clips import PreparedDataset, load_samples
from kwsbench.errors import InputError
from kwsbench.features import extract
from kwsbench.front_end import FrontEnd
from kwsbench.progress import each_in_parallel

CLIPS_PER_TASK = 256

_Part = TypeVar("_Part", pl.DataFrame, Sequence[Any])

Features = Callable[[NDArray[np.float32], int], NDArray[np.float32]]
"""From samples of shape (clips, samples) and their rate in Hz to what a model takes, one row per clip."""


@dataclass(frozen=True)
class NetworkInput:
    """From samples to what a network takes: its front-end.

    Attributes:
        front_end: The front-end.
    """

    front_end: FrontEnd

    def __call__(self, samples: NDArray[np.float32], sample_rate_hz: int) -> NDArray[np.float32]:
        """Turns samples of shape (clips, samples) into shape (clips, coefficients, frames).

        Raises:
            InputError: The front-end does not fit the audio.
        """
        try:
            return extract(samples, self.front_end, sample_rate_hz)
        except ValueError as error:
            raise InputError(f"the front-end of the model does not fit the audio: {error}") from error


@dataclass(frozen=True)
class Extractor:
    """From samples to the features that a baseline is trained on.

    Attributes:
        baseline: The baseline file.
        config: Its configuration.
        front_end: Its front-end.
    """

    baseline: LightgbmBaseline
    config: Any
    front_end: FrontEnd

    def __call__(self, samples: NDArray[np.float32], sample_rate_hz: int) -> NDArray[np.float32]:
        """Turns samples of shape (clips, samples) into features of shape (clips, dimensions).

        Raises:
            InputError: The front-end does not fit the audio, or the baseline fails.
        """
        try:
            heard = extract(samples, self.front_end, sample_rate_hz)
        except ValueError as error:
            raise InputError(f"the front-end of {self.baseline.__name__} does not fit the audio: {error}") from error
        with errors_of(self.baseline):
            features = np.asarray(self.baseline.summarise(heard, self.config), np.float32)
        if features.ndim != 2 or len(features) != len(samples):
            raise InputError(
                f"summarise of {self.baseline.__file__} gives the shape {features.shape}"
                f" for {len(samples)} clips, expected ({len(samples)}, dimensions)"
            )
        return features


def features_of_rows(features: Features, rows: pl.DataFrame, dataset: PreparedDataset) -> NDArray[np.float32]:
    """Returns the features of clips of a data set, one row per clip, under a progress bar.

    Raises:
        InputError: Audio is missing or damaged.
    """
    rate = dataset.manifest.sample_rate_hz
    parts = list(rows.iter_slices(CLIPS_PER_TASK))
    return features_of_parts(
        parts, lambda part: features(load_samples(part, dataset), rate), f"features of {dataset.manifest.name}"
    )


def features_of_cache(clips: ClipCache, front_end: FrontEnd, sample_rate_hz: int, name: str) -> NDArray[np.float32]:
    """Returns what a network hears of all clips of a cache, under a progress bar.

    Args:
        clips: The cache.
        front_end: From samples to features.
        sample_rate_hz: Of the clips.
        name: What the progress bar calls them.

    Returns:
        Features of shape (clips, coefficients, frames).
    """
    hear = NetworkInput(front_end)
    parts = [range(len(clips))[start:][:CLIPS_PER_TASK] for start in range(0, len(clips), CLIPS_PER_TASK)]
    return features_of_parts(
        parts, lambda part: hear(clips.samples(np.asarray(part)), sample_rate_hz), f"features of {name}"
    )


def features_of_parts(
    parts: Sequence[_Part], features_of: Callable[[_Part], NDArray[np.float32]], title: str
) -> NDArray[np.float32]:
    """Applies `features_of` to every part of the clips, on all processors, under a progress bar."""
    return np.concatenate(list(each_in_parallel(features_of, parts, title, "clips")))
