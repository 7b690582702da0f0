"""A baseline for tests: mean and deviation of each band over time, a few small trees, trained in a moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.front_end import FrontEnd


@dataclass(frozen=True)
class Config:
    """Settings of the baseline, one of each type."""

    num_boost_round: int = 6
    early_stopping_rounds: int = 3
    num_leaves: int = 4
    learning_rate: float = 0.3
    with_deviation: bool = True
    boosting: str = "gbdt"


def front_end(_config: Config, default: FrontEnd) -> FrontEnd:
    """Returns the front-end of the manifest."""
    return default


def summarise(features: NDArray[np.float32], config: Config) -> NDArray[np.float32]:
    """Turns features (clips, coefficients, frames) into (clips, dimensions)."""
    means = features.mean(axis=2)
    return np.concatenate([means, features.std(axis=2)], axis=1) if config.with_deviation else means


def lightgbm_parameters(config: Config, num_labels: int, seed: int, num_threads: int) -> dict[str, Any]:
    """Returns LightGBM's parameters."""
    return {
        "objective": "multiclass",
        "num_class": num_labels,
        "boosting": config.boosting,
        "num_leaves": config.num_leaves,
        "learning_rate": config.learning_rate,
        "min_data_in_leaf": 2,
        "seed": seed,
        "num_threads": num_threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
