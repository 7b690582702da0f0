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
from kwsbench.checkpoint.model_file import Format
from kwsbench.checkpoint.network import save_network
from kwsbench.dataset.clips import PreparedDataset
from kwsbench.export import export
from kwsbench.features import extract
from kwsbench.manifest import read_manifest
from kwsbench.predict import load_model, predict_split
from kwsbench.recipe import Recipe
from kwsbench.runtime.networks import network_of_checkpoint
from kwsbench.train.lightgbm import Boosting, train
from kwsbench.train.optimisers import optimiser_of
from kwsbench.train.recipes import recipe_of
from tests.checkpoints import checkpoint_of
from tests.conftest import MANIFESTS, Tiny

ROUNDS = {"num_boost_round": 3, "early_stopping_rounds": 2}
ARCHITECTURES = [name for name, path in baseline_paths().items() if "def network(" in path.read_text(encoding="utf-8")]
ON_LIGHTGBM = [name for name in baseline_paths() if name not in ARCHITECTURES]
LABELS = 12
SECOND = 16_000
CONSTANTS_OF_QUANTISERS = {"tc_resnet8_int8": 189}
"""Ranges, bit widths and zero points, single numbers that Brevitas keeps and the audit counts besides."""


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
    stored = set(network.state_dict()) - {name for name, _ in network.named_parameters()}
    kept = {name.rsplit(".", 1)[-1] for name in stored}
    assert kept <= {"running_mean", "running_var", "num_batches_tracked", "running_stats"}


def test_the_audit_counts_what_it_states(architecture: TorchBaseline) -> None:
    """The audit of the budget check certifies NUM_PARAMETERS and MACS, exactly and with nothing that blocks."""
    network, shape = _network(architecture)
    audit = audit_network(network, {"noise": _features(1, shape).numpy()})
    stated: Any = architecture
    constants = CONSTANTS_OF_QUANTISERS.get(architecture.__name__, 0)
    assert (audit.params, audit.macs) == (stated.NUM_PARAMETERS + constants, stated.MACS)
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


def _manifest_order() -> tuple[str, ...]:
    return find_manifest("speech_commands_v2_12")[0].labels


def test_saved_and_loaded_it_gives_equal_scores_in_the_order_of_the_labels(
    architecture: TorchBaseline, tmp_path: Path
) -> None:
    """A checkpoint on disk names the labels in the manifest's order, and scores clips as its weights did before."""
    checkpoint = checkpoint_of(architecture.__name__)
    network = network_of_checkpoint(checkpoint).eval()
    features = _features(4, _network(architecture)[1])
    save_network(tmp_path / "model.pt", checkpoint)
    model = load_model(tmp_path / "model.pt")
    assert model.header.labels == _manifest_order()
    expected = network(features).detach().softmax(dim=1)
    np.testing.assert_allclose(model.scores(features.numpy()), expected, rtol=1e-5, atol=1e-7)


def test_its_export_gives_equal_labels(architecture: TorchBaseline, tmp_path: Path) -> None:
    """`kwsbench export` to ONNX, read again by its header, names the same label for every clip, one or many."""
    checkpoint = checkpoint_of(architecture.__name__)
    features = _features(8, _network(architecture)[1])
    save_network(tmp_path / "model.pt", checkpoint)
    (exported,) = export(checkpoint, features.numpy(), {Format.ONNX: tmp_path / "model.onnx"})
    original, again = load_model(tmp_path / "model.pt"), load_model(exported.path)
    assert again.header == original.header
    for heard in (features.numpy(), features[:1].numpy()):
        scores = [model.scores(heard) for model in (original, again)]
        assert scores[0].argmax(axis=1).tolist() == scores[1].argmax(axis=1).tolist()
        np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4, atol=1e-5)


def _recipe(architecture: TorchBaseline) -> Recipe:
    return recipe_of(architecture, architecture.Config())


def test_the_recipe_can_be_followed(architecture: TorchBaseline) -> None:
    """Every value is within its bounds, steps rise and go with their schedule, and a warm-up leaves time to learn."""
    recipe = _recipe(architecture)
    assert recipe == _recipe(architecture)
    assert bool(recipe.step_epochs) == (recipe.schedule == "steps")
    assert list(recipe.step_epochs) == sorted(set(recipe.step_epochs))
    assert recipe.warmup_epochs < recipe.epochs
    assert recipe.augmentation.noise_snr_db[0] >= 0


def _prose_of_recipe(architecture: TorchBaseline) -> str:
    """The paragraph on the recipe, after that of the baseline that it refers to."""
    paragraph = re.search(r"^Recipe: (.+?)\n\n", architecture.__doc__ or "", re.MULTILINE | re.DOTALL)
    assert paragraph
    referred = re.search(r"that of `(\w+)`", paragraph[1])
    before = _prose_of_recipe(require_torch(load_baseline(referred[1]))) if referred else ""
    return " ".join(f"{before} {paragraph[1]}".split())


def test_the_docstring_says_what_the_recipe_does(architecture: TorchBaseline) -> None:
    """Optimiser, batches, rate, length, penalty and augmentation in words are those that are trained with."""
    recipe, prose = _recipe(architecture), _prose_of_recipe(architecture)
    rate = re.search(r"learning rates? (?:up to |of )?([\d.e-]*\d)", prose)
    assert rate
    assert recipe.optimiser in prose.lower()
    assert f"batches of {recipe.batch_size}" in prose
    assert float(rate[1]) == recipe.learning_rate or f"a learning rate of {recipe.learning_rate:g}" in prose
    assert f" {recipe.epochs} epochs" in f"{architecture.__doc__} {prose}".replace("\n", " ")
    assert ("penalty" in prose) == (recipe.weight_decay > 0)
    assert ("shifted by up to 100 ms" in prose) == (recipe.augmentation.shift_s == 0.1)
    assert ("noise" in prose) == (recipe.augmentation.noise_probability == 0.8)


def test_it_says_truly_whether_it_gives_logarithms_of_probabilities(architecture: TorchBaseline) -> None:
    """Where, and only where, the recipe says so, the scores of a clip are logarithms of numbers that sum to 1."""
    network, shape = _network(architecture)
    sums = network(_features(4, shape)).exp().sum(dim=1)
    assert torch.allclose(sums, torch.ones(4)) == _recipe(architecture).outputs_log_probabilities


def test_one_step_of_its_recipe_lowers_the_loss(architecture: TorchBaseline) -> None:
    """Gradients reach every parameter, and one step at the highest learning rate lowers the loss on the same batch."""
    network, shape = _network(architecture)
    network.train()
    recipe = _recipe(architecture)
    optimiser = optimiser_of(recipe, network.parameters())
    features, labels = _features(24, shape), torch.arange(24) % LABELS

    def loss() -> torch.Tensor:
        torch.manual_seed(2)  # the same values are left out
        return torch.nn.functional.cross_entropy(network(features), labels)

    before = loss()
    before.backward()  # type: ignore[no-untyped-call]
    assert not [name for name, parameter in network.named_parameters() if parameter.grad is None]
    if recipe.clip_norm:
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
    optimiser.step()
    assert loss() < before - 0.005


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


def test_it_can_be_traced_to_onnx(architecture: TorchBaseline, tmp_path: Path) -> None:
    """ONNX by the older exporter, which many still use, gives the network's scores for any number of clips."""
    network, shape = _network(architecture)
    axes = {"features": {0: "batch"}, "scores": {0: "batch"}}
    names: dict[str, Any] = {"input_names": ["features"], "output_names": ["scores"], "dynamic_axes": axes}
    with _quietly():
        torch.onnx.export(network, (_features(2, shape),), tmp_path / "net.onnx", dynamo=False, **names)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    for num_clips in (1, 3):
        features = _features(num_clips, shape)
        (scores,) = session.run(None, {"features": features.numpy()})
        np.testing.assert_allclose(scores, network(features).detach().numpy(), rtol=1e-4, atol=1e-5)
