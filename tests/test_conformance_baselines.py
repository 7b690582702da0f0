"""One conformance test over every file in `baselines/`: what it says, and that it learns."""

from __future__ import annotations

import ast
import dataclasses
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from kwsbench.baseline import (
    Baseline,
    LightgbmBaseline,
    TorchBaseline,
    build_network,
    configure_from,
    load_baseline,
    require_lightgbm,
    require_torch,
)
from kwsbench.budget.audit import audit_network
from kwsbench.catalogue import baseline_paths, find_manifest
from kwsbench.checkpoint.lightgbm import load_lightgbm
from kwsbench.dataset.clips import PreparedDataset
from kwsbench.features import extract
from kwsbench.manifest import read_manifest
from kwsbench.predict import load_model, predict_split
from kwsbench.train import Boosting, train
from tests.conftest import MANIFESTS, Tiny

ROUNDS = {"num_boost_round": 3, "early_stopping_rounds": 2}
ARCHITECTURES = [name for name, path in baseline_paths().items() if "def network(" in path.read_text(encoding="utf-8")]
ON_LIGHTGBM = [name for name in baseline_paths() if name not in ARCHITECTURES]
LABELS = 12
SECOND = 16_000


@pytest.fixture(params=baseline_paths(), scope="module")
def baseline(request: pytest.FixtureRequest) -> Baseline:
    """Each baseline in turn, found by folder."""
    return load_baseline(request.param)


@pytest.fixture(params=ON_LIGHTGBM, scope="module")
def trees(request: pytest.FixtureRequest) -> LightgbmBaseline:
    """Each baseline on LightGBM in turn."""
    return require_lightgbm(load_baseline(request.param))


@pytest.fixture(params=ARCHITECTURES, scope="module")
def architecture(request: pytest.FixtureRequest) -> TorchBaseline:
    """Each baseline in torch in turn."""
    return require_torch(load_baseline(request.param))


def test_the_docstring_says_what_it_is(baseline: Baseline) -> None:
    """What it is, where it comes from, input, output, recipe and deviations are written down."""
    prose = (baseline.__doc__ or "").lower()
    assert not [part for part in ("what it is", "input:", "output:", "recipe:", "deviations") if part not in prose]
    assert re.search(r"\b(19|20)\d\d\b", prose), "no source with its year"


def test_every_setting_has_a_default_and_a_line(baseline: Baseline) -> None:
    """`Config` is a frozen dataclass that can be made without arguments and explains its fields."""
    config = baseline.Config()
    fields = dataclasses.fields(config)
    assert baseline.Config.__dataclass_params__.frozen
    assert not [field.name for field in fields if f"{field.name}:" not in (baseline.Config.__doc__ or "")]
    assert configure_from(baseline, dataclasses.asdict(config)) == config


@pytest.mark.parametrize("manifest", sorted(path.stem for path in MANIFESTS))
def test_a_clip_is_the_same_alone_and_among_others(trees: LightgbmBaseline, manifest: str) -> None:
    """With every manifest's front-end, features are finite, one row per clip, and do not depend on the batch."""
    facts = read_manifest(next(path for path in MANIFESTS if path.stem == manifest))
    config = trees.Config()
    front_end = trees.front_end(config, facts.front_end)
    noise = np.random.default_rng(0).normal(0, 0.1, (4, facts.clip_samples)).astype(np.float32)
    noise[1] = 0
    features = trees.summarise(extract(noise, front_end, facts.sample_rate_hz), config)
    alone = [trees.summarise(extract(noise[[row]], front_end, facts.sample_rate_hz), config) for row in range(4)]
    assert features.dtype == np.float32
    assert features.shape[0] == 4
    assert np.isfinite(features).all()
    np.testing.assert_array_equal(features, np.concatenate(alone))


def test_a_model_gives_the_same_scores_after_a_round_trip(trees: LightgbmBaseline, tiny: Tiny, tmp_path: Path) -> None:
    """Trained, saved and loaded, it scores every clip of the test in the manifest's order of labels."""
    dataset: PreparedDataset = tiny.prepare()
    config = dataclasses.replace(trees.Config(), **ROUNDS)
    trained = train(trees, config, dataset, tmp_path / "model.txt", Boosting())
    assert load_lightgbm(tmp_path / "model.txt") == trained.checkpoint
    clips = predict_split(load_model(tmp_path / "model.txt"), dataset, "test")
    assert clips.labels == dataset.manifest.labels
    assert clips.scores.shape == (len(dataset.split("test")), len(clips.labels))
    np.testing.assert_allclose(clips.scores.sum(axis=1), 1)


def _network(architecture: TorchBaseline, seed: int = 0) -> tuple[torch.nn.Module, tuple[int, int]]:
    """Builds the network for 12 labels and one second with its own front-end; returns it and its input's shape."""
    config = architecture.Config()
    front_end = architecture.front_end(config, find_manifest("speech_commands_v2_12")[0].front_end)
    shape = front_end.shape(SECOND)
    torch.manual_seed(seed)
    return build_network(architecture, config, LABELS, *shape).eval(), shape


def _features(num_clips: int, shape: tuple[int, int]) -> torch.Tensor:
    return torch.randn(num_clips, *shape, generator=torch.Generator().manual_seed(1))


def test_source_and_counts_can_be_read_without_torch(architecture: TorchBaseline) -> None:
    """Citation, published accuracy and counts are literals, so that a list of baselines need not run the files."""
    tree = ast.parse(Path(architecture.__file__).read_text(encoding="utf-8"))
    stated: dict[str, Any] = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id.isupper() and not target.id.startswith("_"):
            stated[target.id] = ast.literal_eval(node.value)  # type: ignore[attr-defined]
    assert set(stated) == {"SOURCE", "PUBLISHED_ACCURACY", "NUM_PARAMETERS", "MACS"}
    assert re.search(r"\((19|20)\d\d( to (19|20)\d\d)?\)", stated["SOURCE"])
    assert set(stated["PUBLISHED_ACCURACY"]) <= {path.stem for path in MANIFESTS}
    assert all(50 < percent < 100 for percent in stated["PUBLISHED_ACCURACY"].values())


def test_it_stores_what_it_states(architecture: TorchBaseline) -> None:
    """NUM_PARAMETERS are its parameters; whatever else it keeps are running statistics."""
    network, _ = _network(architecture)
    stated: Any = architecture
    assert sum(parameter.numel() for parameter in network.parameters()) == stated.NUM_PARAMETERS
    kept = {name.rsplit(".", 1)[-1] for name, _ in network.named_buffers()}
    assert kept <= {"running_mean", "running_var", "num_batches_tracked"}


def test_the_audit_counts_what_it_states(architecture: TorchBaseline) -> None:
    """The audit of the budget check certifies NUM_PARAMETERS and MACS, exactly and with nothing that blocks."""
    network, shape = _network(architecture)
    audit = audit_network(network, {"noise": _features(1, shape).numpy()})
    stated: Any = architecture
    assert (audit.params, audit.macs) == (stated.NUM_PARAMETERS, stated.MACS)
    assert not [finding.message for finding in audit.findings if finding.blocks]


@pytest.mark.parametrize("manifest", sorted(path.stem for path in MANIFESTS))
def test_it_hears_every_data_set(architecture: TorchBaseline, manifest: str) -> None:
    """With every manifest, its front-end gives the features that the network takes, and every label has a score."""
    facts = read_manifest(next(path for path in MANIFESTS if path.stem == manifest))
    config = architecture.Config()
    front_end = architecture.front_end(config, facts.front_end)
    noise = np.random.default_rng(0).normal(0, 0.1, (3, facts.clip_samples)).astype(np.float32)
    noise[1] = 0
    features = extract(noise, front_end, facts.sample_rate_hz)
    shape = front_end.shape(facts.clip_samples)
    assert features.shape == (3, *shape)
    network = build_network(architecture, config, len(facts.labels), *shape).eval()
    scores = network(torch.from_numpy(features))
    assert scores.shape == (3, len(facts.labels))
    assert scores.isfinite().all()


def test_the_scores_of_a_clip_do_not_depend_on_the_clips_beside_it(architecture: TorchBaseline) -> None:
    """Alone, among others and twice in a row a clip has the same scores, but for the last bits of a sum."""
    network, shape = _network(architecture)
    features = _features(5, shape)
    together = network(features)
    alone = torch.cat([network(features[[row]]) for row in range(5)])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)
    assert torch.equal(network(features), together)
    assert len(torch.unique(together.round(decimals=6), dim=0)) == 5, "clips cannot be told apart"


def test_equal_seeds_give_equal_networks(architecture: TorchBaseline) -> None:
    """Weights come from torch's generator and from nowhere else."""
    (first, shape), (second, _), (other, _) = (_network(architecture, seed) for seed in (0, 0, 1))
    features = _features(2, shape)
    assert torch.equal(first(features), second(features))
    assert not torch.equal(first(features), other(features))


def test_weights_survive_a_round_trip(architecture: TorchBaseline) -> None:
    """The state_dict of one network makes another one give equal scores."""
    (network, shape), (other, _) = _network(architecture, 0), _network(architecture, 1)
    other.load_state_dict(network.state_dict())
    features = _features(2, shape)
    assert torch.equal(other(features), network(features))


def test_one_step_of_training_lowers_the_loss(architecture: TorchBaseline) -> None:
    """Gradients reach every parameter, and following them a little lowers the loss on the same batch."""
    network, shape = _network(architecture)
    network.train()
    features, labels = _features(12, shape), torch.arange(LABELS)

    def loss() -> torch.Tensor:
        torch.manual_seed(2)  # the same values are left out
        return torch.nn.functional.cross_entropy(network(features), labels)

    before = loss()
    before.backward()  # type: ignore[no-untyped-call]
    assert not [name for name, parameter in network.named_parameters() if parameter.grad is None]
    torch.optim.SGD(network.parameters(), lr=1e-3).step()
    assert loss() < before


@contextmanager
def _quietly() -> Iterator[None]:
    """Exporters warn of their own future."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_it_can_be_traced(architecture: TorchBaseline) -> None:
    """A TorchScript trace of one clip gives the network's scores for any number of clips."""
    network, shape = _network(architecture)
    with _quietly():
        traced = torch.jit.trace(network, _features(1, shape))  # type: ignore[no-untyped-call]
    torch.testing.assert_close(traced(_features(3, shape)), network(_features(3, shape)))


def test_it_can_be_exported(architecture: TorchBaseline) -> None:
    """An exported program gives the network's scores for any number of clips."""
    network, shape = _network(architecture)
    batch = torch.export.Dim("batch", min=1, max=1024)
    with _quietly():
        program = torch.export.export(network, (_features(2, shape),), dynamic_shapes=({0: batch},))
    for num_clips in (1, 3):
        features = _features(num_clips, shape)
        torch.testing.assert_close(program.module()(features), network(features), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dynamo", [False, True], ids=["traced", "dynamo"])
def test_it_can_be_exported_to_onnx(architecture: TorchBaseline, tmp_path: Path, *, dynamo: bool) -> None:
    """ONNX by either exporter gives the network's scores for any number of clips."""
    network, shape = _network(architecture)
    names: dict[str, Any] = {"input_names": ["features"], "output_names": ["scores"]}
    if dynamo:
        names |= {"dynamic_shapes": ({0: torch.export.Dim("batch", min=1, max=1024)},), "verbose": False}
    else:
        names |= {"dynamic_axes": {"features": {0: "batch"}, "scores": {0: "batch"}}}
    with _quietly():
        torch.onnx.export(network, (_features(2, shape),), tmp_path / "net.onnx", dynamo=dynamo, **names)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    for num_clips in (1, 3):
        features = _features(num_clips, shape)
        (scores,) = session.run(None, {"features": features.numpy()})
        np.testing.assert_allclose(scores, network(features).detach().numpy(), rtol=1e-4, atol=1e-5)
