"""One conformance test over what `benchmarks/results_table.py` left: the models, their cards and scores, and the table."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kwsbench.catalogue import baseline_paths
from kwsbench.checkpoint.header import ModelHeader
from kwsbench.dataset.places import Places
from kwsbench.dataset.prepare import prepare
from kwsbench.manifest import read_manifest
from kwsbench.predict import Model, load_model, predict_split
from kwsbench.submission.judging import House
from kwsbench.submission.verify import Verifying, verify_all
from tests.conftest import REPOSITORY, TEN_LABELS

ENTRIES = REPOSITORY / "submissions" / "baselines"
MODELS = sorted(ENTRIES.glob("*/model.pt"))
RESULTS = REPOSITORY / "benchmarks" / "results"
SEEDS = sorted(RESULTS.glob("*/seed_*"))
LABELS = ("yes", "no", "up", "down", "left", "right", "stop", "go", "_unknown_", "_silence_")
REAL_CLIPS = os.environ.get("KWSBENCH_REAL_CLIPS")


def _results_table() -> Any:
    path = REPOSITORY / "benchmarks" / "results_table.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def _header(path: Path) -> ModelHeader:
    return load_model(path).header


def _score(folder: Path) -> Any:
    return json.loads((folder / "score.json").read_text(encoding="utf-8"))


def test_the_table_of_the_readme_is_what_the_scores_give(monkeypatch: pytest.MonkeyPatch) -> None:
    """`benchmarks/results_table.py --table` prints the table that the README shows, line by line."""
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    printed = _results_table().table(list(baseline_paths()), "speech_commands_v1_10")
    assert len(printed.splitlines()) > 3
    assert printed in (REPOSITORY / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", SEEDS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_seed_has_scores_of_the_test_split_with_its_counts(folder: Path) -> None:
    """A seed's scores are those of 2,050 test clips, and say what the model costs."""
    score = _score(folder)
    assert (score["manifest"], score["split"]) == ("speech_commands_v1_10", "test")
    assert score["summary"]["accuracy"]["total"] == 2_050
    assert score["budget"]["weight_bytes"] > 0


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.parent.name)
def test_a_committed_model_is_small_and_gives_the_ten_labels(path: Path) -> None:
    """It is the baseline that its folder is called, of at most 100,000 parameters, and scores any clip finitely."""
    model: Model = load_model(path)
    assert model.header.baseline == path.parent.name
    assert model.header.labels == LABELS
    assert _score(RESULTS / path.parent.name / f"seed_{model.header.seed}")["budget"]["params"] <= 100_000
    noise = np.random.default_rng(0).normal(0, 0.1, (2, model.header.clip_samples)).astype(np.float32)
    scores = model.scores(model.hear(noise, model.header.sample_rate_hz))
    assert scores.shape == (2, len(LABELS))
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.parent.name)
def test_a_committed_model_is_the_best_seed_by_validation(path: Path) -> None:
    """Which seed is committed was decided without the test split, and its card and log say the same accuracy."""
    best = {folder: _best(folder / "log.csv") for folder in (RESULTS / path.parent.name).glob("seed_*")}
    seed = RESULTS / path.parent.name / f"seed_{_header(path).seed}"
    assert best[seed] == max(best.values())
    card = (seed / "card.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| accuracy \| {100 * best[seed]:.2f} % ", card, re.MULTILINE)


def _best(log: Path) -> float:
    with log.open(encoding="utf-8") as rows:
        return max(float(row["validation_accuracy"]) for row in csv.DictReader(rows))


@pytest.mark.skipif(REAL_CLIPS is None, reason="KWSBENCH_REAL_CLIPS does not name a folder with real clips")
def test_committed_models_give_the_accuracy_of_the_table_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each model, run on the test split, gets just the accuracy that its seed's scores state."""
    places = Places(tmp_path_factory.mktemp("data"))
    dataset = prepare(read_manifest(TEN_LABELS), TEN_LABELS, Path(REAL_CLIPS or ""), places)
    truth = np.array(dataset.split("test")["label"])
    for path in MODELS:
        stated = _score(RESULTS / path.parent.name / f"seed_{_header(path).seed}")["summary"]["accuracy"]["count"]
        clips = predict_split(load_model(path), dataset, "test")
        assert (truth == np.array(LABELS)[clips.scores.argmax(axis=1)]).sum() == stated, path.parent.name


@pytest.mark.skipif(REAL_CLIPS is None, reason="KWSBENCH_REAL_CLIPS does not name a folder with real clips")
def test_committed_entries_are_told_from_tables_of_answers(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each entry of the kit is verified, or over a budget; none is taken for one that knows the clips."""
    places = Places(tmp_path_factory.mktemp("data"))
    prepare(read_manifest(TEN_LABELS), TEN_LABELS, Path(REAL_CLIPS or ""), places)
    house = House(str(TEN_LABELS), data=places.root)
    folders = [path.parent for path in MODELS]
    found = dict(verify_all(folders, Verifying(house, cache=None)))
    assert {str(found[folder].verdict) for folder in folders} <= {"verified", "over budget"}, found
