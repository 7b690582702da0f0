"""A tiny competition: prepared tones, a trained model, and an entry that is as it should be."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kwsbench.baseline import load_baseline, require_lightgbm
from kwsbench.dataset.clips import PreparedDataset
from kwsbench.dataset.places import Places
from kwsbench.dataset.prepare import prepare
from kwsbench.manifest import read_manifest
from kwsbench.submission.judging import House
from kwsbench.submission.scaffold import Wish, create, seal
from kwsbench.train.lightgbm import Boosting, train
from tests.cli.conftest import BASELINES, MANIFEST, write_audio

KEY = "blue-owls/tones"


@dataclass(frozen=True)
class Ground:
    """What entries are made on.

    Attributes:
        house: Where they are judged.
        dataset: The prepared data.
        model: A trained model.
        entry: An entry that is as it should be.
    """

    house: House
    dataset: PreparedDataset
    model: Path
    entry: Path


def fill_in(report: Path) -> None:
    """Answers every question of the template."""
    text = report.read_text(encoding="utf-8")
    report.write_text(re.sub(r"(?m)^\*.*\*$", "We did what the course says.", text), encoding="utf-8")


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """The data, the model and the entry, made once."""
    root = tmp_path_factory.mktemp("ground")
    write_audio(root / "audio")
    dataset = prepare(read_manifest(MANIFEST), MANIFEST, root / "audio", Places(root / "data"))
    baseline = require_lightgbm(load_baseline("tiny", BASELINES))
    model = root / "model.txt"
    train(baseline, baseline.Config(), dataset, model, Boosting(0, 1))
    house = House("tiny", data=root / "data", baselines=BASELINES)
    made = create(Wish(KEY, model, root / "submissions", "Tones", ("Ada",)), house)
    fill_in(made.folder / "report.md")
    seal(made.folder)
    return Ground(house, dataset, model, made.folder)


@pytest.fixture
def house(ground: Ground) -> House:
    """Where entries are judged."""
    return ground.house


@pytest.fixture
def make_entry(ground: Ground, tmp_path: Path) -> Callable[..., Path]:
    """Gives a function that copies the good entry to another name, changes it, and seals it."""

    def make(name: str = "tones", change: Callable[[Path], object] = lambda _: None, *, sealed: bool = True) -> Path:
        folder = tmp_path / "submissions" / "blue-owls" / name
        shutil.copytree(ground.entry, folder)
        edit(folder / "submission.toml", 'entry = "tones"', f'entry = "{name}"')
        change(folder)
        if sealed:
            seal(folder)
        return folder

    return make


@pytest.fixture
def entry(make_entry: Callable[..., Path]) -> Path:
    """A copy of the good entry that a test may change."""
    return make_entry()


def edit(path: Path, old: str, new: str) -> None:
    """Replaces a piece of a file that is there."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def name_baseline(folder: Path, name: str) -> None:
    """Lets the model of an entry name another baseline."""
    path = folder / "model.txt"
    first, header, rest = path.read_text(encoding="utf-8").split("\n", 2)
    fields = json.loads(header.removeprefix("kwsbench=")) | {"baseline": name}
    text = json.dumps(fields).replace("=", "\\u003d")
    path.write_text(f"{first}\nkwsbench={text}\n{rest}", encoding="utf-8")
