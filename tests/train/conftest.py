"""What the tests of training share: the small network, and the tiny data set, prepared."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kwsbench.baseline import TorchBaseline, load_baseline, require_torch
from kwsbench.dataset.clips import PreparedDataset
from kwsbench.recipe import Recipe
from kwsbench.train.network import TrainedNetwork, train_network
from kwsbench.train.options import TrainingOptions
from kwsbench.train.teachers import Teacher
from tests.conftest import REPOSITORY, Tiny

BASELINE = REPOSITORY / "tests/baselines_for_tests/tiny_network.py"


@dataclass
class School:
    """Trains the small network.

    Attributes:
        baseline: The small network.
        dataset: The tiny data set.
        root: Where folders of runs go.
        said: What the runs said.
        config: Settings of the network.
    """

    baseline: TorchBaseline
    dataset: PreparedDataset
    root: Path
    said: list[str]
    config: Any

    def recipe(self, **changes: Any) -> Recipe:
        """Returns the small network's recipe with changes."""
        return dataclasses.replace(self.baseline.recipe(self.config), **changes)

    def train(
        self, name: str, recipe: Recipe | None = None, teachers: Sequence[Teacher] = (), **options: Any
    ) -> TrainedNetwork:
        """Trains into a folder of this name."""
        chosen, folder = TrainingOptions(**{"device": "cpu", **options}), self.root / name
        recipe = recipe or self.recipe()
        return train_network(
            self.baseline, self.config, recipe, self.dataset, folder, chosen, self.said.append, teachers
        )


@pytest.fixture
def school(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> School:
    """The small network and the tiny data set; files need not survive a power cut, which takes most of the time."""
    baseline = require_torch(load_baseline(str(BASELINE)))
    dataset = tiny.prepare()
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return School(baseline, dataset, tmp_path / "runs", [], baseline.Config())
