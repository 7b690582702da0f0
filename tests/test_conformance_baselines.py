"""One conformance test over every file in `baselines/`: what it says, and that it learns."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from kwsbench.baseline import LightgbmBaseline, configure_from, load_baseline
from kwsbench.catalogue import baseline_paths
from kwsbench.checkpoint.lightgbm import load_lightgbm
from kwsbench.dataset.clips import PreparedDataset
from kwsbench.features import extract
from kwsbench.manifest import read_manifest
from kwsbench.predict import load_model, predict_split
from kwsbench.train import Boosting, train
from tests.conftest import MANIFESTS, Tiny

ROUNDS = {"num_boost_round": 3, "early_stopping_rounds": 2}


@pytest.fixture(params=baseline_paths(), scope="module")
def baseline(request: pytest.FixtureRequest) -> LightgbmBaseline:
    """Each baseline in turn, found by folder."""
    return load_baseline(request.param)


def test_the_docstring_says_what_it_is(baseline: LightgbmBaseline) -> None:
    """What it is, where it comes from, input, output, recipe and deviations are written down."""
    prose = (baseline.__doc__ or "").lower()
    assert not [part for part in ("what it is", "input:", "output:", "recipe:", "deviations") if part not in prose]
    assert re.search(r"\b(19|20)\d\d\b", prose), "no source with its year"


def test_every_setting_has_a_default_and_a_line(baseline: LightgbmBaseline) -> None:
    """`Config` is a frozen dataclass that can be made without arguments and explains its fields."""
    config = baseline.Config()
    fields = dataclasses.fields(config)
    assert baseline.Config.__dataclass_params__.frozen
    assert not [field.name for field in fields if f"{field.name}:" not in baseline.Config.__doc__]
    assert configure_from(baseline, dataclasses.asdict(config)) == config


@pytest.mark.parametrize("manifest", sorted(path.stem for path in MANIFESTS))
def test_a_clip_is_the_same_alone_and_among_others(baseline: LightgbmBaseline, manifest: str) -> None:
    """With every manifest's front-end, features are finite, one row per clip, and do not depend on the batch."""
    facts = read_manifest(next(path for path in MANIFESTS if path.stem == manifest))
    config = baseline.Config()
    front_end = baseline.front_end(config, facts.front_end)
    noise = np.random.default_rng(0).normal(0, 0.1, (4, facts.clip_samples)).astype(np.float32)
    noise[1] = 0
    features = baseline.summarise(extract(noise, front_end, facts.sample_rate_hz), config)
    alone = [baseline.summarise(extract(noise[[row]], front_end, facts.sample_rate_hz), config) for row in range(4)]
    assert features.dtype == np.float32
    assert features.shape[0] == 4
    assert np.isfinite(features).all()
    np.testing.assert_array_equal(features, np.concatenate(alone))


def test_a_model_gives_the_same_scores_after_a_round_trip(
    baseline: LightgbmBaseline, tiny: Tiny, tmp_path: Path
) -> None:
    """Trained, saved and loaded, it scores every clip of the test in the manifest's order of labels."""
    dataset: PreparedDataset = tiny.prepare()
    config = dataclasses.replace(baseline.Config(), **ROUNDS)
    trained = train(baseline, config, dataset, tmp_path / "model.txt", Boosting())
    assert load_lightgbm(tmp_path / "model.txt") == trained.checkpoint
    clips = predict_split(load_model(tmp_path / "model.txt"), dataset, "test")
    assert clips.labels == dataset.manifest.labels
    assert clips.scores.shape == (len(dataset.split("test")), len(clips.labels))
    np.testing.assert_allclose(clips.scores.sum(axis=1), 1)
