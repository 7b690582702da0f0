"""A network for tests: two small layers, trained in a moment."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from kwsbench.front_end import FrontEnd
from kwsbench.recipe import Augmentation, Recipe

SOURCE = "Nobody (2026). A network for tests."


@dataclass(frozen=True)
class Config:
    """Settings of the network."""

    width: int = field(default=8, metadata={"least": 1, "most": 64})
    dropout: float = field(default=0.2, metadata={"least": 0.0, "most": 0.9})


def front_end(_config: Config, default: FrontEnd) -> FrontEnd:
    """Returns the front-end of the manifest."""
    return default


def recipe(_config: Config) -> Recipe:
    """Returns a short recipe in which everything is random that can be."""
    augmentation = Augmentation(
        shift_s=0.01, noise_snr_db=(0.0, 10.0), noise_probability=0.5, time_masks=1, time_mask_s=0.02
    )
    return Recipe(epochs=3, batch_size=4, optimiser="adamw", learning_rate=0.05, augmentation=augmentation)


def network(config: Config, num_labels: int, num_coefficients: int, _num_frames: int) -> nn.Module:
    """Returns the network."""
    return nn.Sequential(
        nn.Conv1d(num_coefficients, config.width, 3),
        nn.BatchNorm1d(config.width),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Dropout(config.dropout),
        nn.Linear(config.width, num_labels),
    )
