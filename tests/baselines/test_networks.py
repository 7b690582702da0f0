"""Baselines in torch: which files are accepted, how far a configuration may go, and what a network may take."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from kwsbench.baseline import (
    MOST_STORED_NUMBERS,
    Baseline,
    build_network,
    configure,
    configure_from,
    is_torch,
    load_baseline,
    load_baseline_of_model,
    require_lightgbm,
    require_torch,
)
from kwsbench.catalogue import baseline_paths
from kwsbench.errors import InputError
from kwsbench.train.recipes import recipe_of

ARCHITECTURES = [name for name, path in baseline_paths().items() if "def network(" in path.read_text()]

WHOLE = """
from dataclasses import dataclass, field
from torch import nn
from kwsbench.recipe import Recipe

@dataclass(frozen=True)
class Config:
    width: int = field(default=4, metadata={"least": 1, "most": 64})
    slope: float = field(default=0.5, metadata={"least": 0.0, "most": 2.0})
    deep: bool = False
    kind: str = "plain"

def front_end(config, default):
    return default

def recipe(config):
    return Recipe(epochs=config.width)

def network(config, num_labels, num_coefficients, num_frames):
    return nn.Sequential(nn.Flatten(), nn.Linear(num_coefficients * num_frames, num_labels))
"""


def _written(folder: Path, *changes: tuple[str, str]) -> str:
    """Writes a small baseline with pieces of it replaced; returns its path."""
    text = WHOLE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "small.py").write_text(text, encoding="utf-8")
    return str(folder / "small.py")


@pytest.fixture
def small(tmp_path: Path) -> Baseline:
    """The small baseline as it is."""
    return load_baseline(_written(tmp_path))


def test_each_kind_is_told_by_what_the_file_holds() -> None:
    """A file with `network` is one in torch, every other one is on LightGBM, and asking for the other kind says so."""
    trees, architecture = load_baseline("mfcc_lightgbm"), load_baseline_of_model("conv1d_sber")
    assert not is_torch(trees)
    assert is_torch(architecture)
    assert require_lightgbm(trees) is trees
    assert require_torch(architecture) is architecture
    with pytest.raises(InputError, match=r"mfcc_lightgbm\.py holds no network: it is one on LightGBM"):
        require_torch(trees)
    with pytest.raises(InputError, match=r"mfcc_lightgbm\.py holds no network"):
        build_network(trees, trees.Config(), 12, 40, 101)
    with pytest.raises(InputError, match=r"conv1d_sber\.py is an architecture in torch, expected one"):
        require_lightgbm(architecture)


def test_all_that_a_file_lacks_is_named_at_once(tmp_path: Path) -> None:
    """Missing functions and fields without a default or without bounds come in one error."""
    changes = [
        ("def front_end", "def back_end"),
        ("def recipe", "def receipt"),
        ('int = field(default=4, metadata={"least": 1, "most": 64})', "int = 4"),
        ('metadata={"least": 0.0, "most": 2.0}', 'metadata={"least": 0.0}'),
        ('kind: str = "plain"', "kind: tuple = ()"),
    ]
    with pytest.raises(InputError, match="is not complete") as caught:
        load_baseline(_written(tmp_path, *changes))
    assert [problem.found for problem in caught.value.problems] == [
        "no function front_end",
        "no function recipe",
        "the field width of Config without bounds",
        "the field slope of Config without bounds",
        "the field kind of Config without a simple default",
    ]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("@dataclass(frozen=True)", "", "no dataclass Config"),
        ("default=4,", "default=65,", "the field width of Config without bounds"),
    ],
)
def test_one_missing_part_is_named(old: str, new: str, found: str, tmp_path: Path) -> None:
    """`Config` is a dataclass, and each default lies within its own bounds."""
    with pytest.raises(InputError) as caught:
        load_baseline(_written(tmp_path, (old, new)))
    assert [problem.found for problem in caught.value.problems] == [found]


def test_without_torch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that imports torch, where there is none, names the extra that brings it."""
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"needs torch, which is not installed; run `pip install 'kwsbench\[torch\]'`"):
        load_baseline("ffnn")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("width=0", "an integer from 1 to 64 (default: 4)"),
        ("width=65", "an integer from 1 to 64 (default: 4)"),
        ("width=4.5", "an integer from 1 to 64 (default: 4)"),
        ("slope=-0.1", "a number from 0.0 to 2.0 (default: 0.5)"),
        ("slope=nan", "a number from 0.0 to 2.0 (default: 0.5)"),
        ("deep=perhaps", "true or false (default: False)"),
    ],
)
def test_a_setting_out_of_bounds_is_told_with_its_bounds(setting: str, expected: str, small: Baseline) -> None:
    """`--set` takes what lies within the bounds, both ends included."""
    with pytest.raises(InputError) as caught:
        configure(small, [setting])
    assert [problem.expected for problem in caught.value.problems] == [expected]


def test_settings_within_bounds_are_taken(small: Baseline) -> None:
    """Both ends of the bounds are allowed, and texts and switches have none."""
    config = configure(small, ["width=64", "slope=0", "deep=true", "kind=other"])
    assert dataclasses.asdict(config) == {"width": 64, "slope": 0.0, "deep": True, "kind": "other"}
    assert configure_from(small, dataclasses.asdict(config)) == config


@pytest.mark.parametrize("values", [{"width": 10**9}, {"width": -1}, {"width": 4.0}, {"slope": float("nan")}, {"w": 1}])
def test_a_strangers_configuration_cannot_go_out_of_bounds(values: dict[str, Any], small: Baseline) -> None:
    """What a model file says of its configuration is held to the same bounds and types."""
    with pytest.raises(InputError, match="the model does not fit the baseline of today"):
        configure_from(small, values)


def test_a_configuration_made_by_hand_is_held_to_the_bounds_too(small: Baseline) -> None:
    """`build_network` does not trust its caller."""
    with pytest.raises(InputError, match=r"cannot be made with this configuration\n  - setting width: found 65"):
        build_network(small, small.Config(width=65), 2, 3, 4)


def test_a_network_is_made_for_the_shape_that_is_asked_for(small: Baseline) -> None:
    """Features of shape (batch, coefficients, frames) become scores of shape (batch, labels)."""
    network = build_network(small, small.Config(), 2, 3, 4)
    assert network(torch.zeros(5, 3, 4)).shape == (5, 2)


def test_a_shape_cannot_fill_the_memory(small: Baseline) -> None:
    """Ten terabytes of weights are refused before any of them is made."""
    with pytest.raises(
        InputError, match=r"would store 2,000,000,000,002 numbers for 2 labels, .* more than the 50,000"
    ):
        build_network(small, small.Config(), 2, 10**6, 10**6)


def test_buffers_count_towards_what_a_network_may_store(tmp_path: Path) -> None:
    """Stored numbers are refused wherever they are kept."""
    change = (
        "return nn.Sequential(",
        "return nn.BatchNorm1d(30_000_000, affine=False) if config.deep else nn.Sequential(",
    )
    baseline = load_baseline(_written(tmp_path, change))
    with pytest.raises(InputError, match="would store 60,000,001 numbers"):
        build_network(baseline, baseline.Config(deep=True), 2, 3, 4)


@pytest.mark.parametrize("sizes", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_a_network_needs_labels_coefficients_and_frames(sizes: tuple[int, int, int], small: Baseline) -> None:
    """A clip too short for one frame is an error in words."""
    with pytest.raises(InputError, match="each must be at least 1"):
        build_network(small, small.Config(), *sizes)


def test_an_error_in_a_baseline_names_its_file_and_line(tmp_path: Path) -> None:
    """What goes wrong in `network` is told to the author of the file."""
    baseline = load_baseline(_written(tmp_path, ("return nn.Sequential(", "return 1 / 0, (")))
    with pytest.raises(InputError, match=r"small\.py failed in line \d+: ZeroDivisionError: division by zero"):
        build_network(baseline, baseline.Config(), 2, 3, 4)


def test_what_network_gives_has_to_be_a_module(tmp_path: Path) -> None:
    """A function instead of a module is an error in words."""
    baseline = load_baseline(_written(tmp_path, ("return nn.Sequential(", "return print and (lambda *_: 0) or (")))
    with pytest.raises(InputError, match=r"gives a function, expected a torch\.nn\.Module"):
        build_network(baseline, baseline.Config(), 2, 3, 4)


def test_the_switches_of_the_plainest_network_do_something() -> None:
    """Batch norm and dropout are layers of `ffnn`, and its weight penalty is a weight decay of twice as much."""
    baseline = require_torch(load_baseline("ffnn"))
    plain, switched = baseline.Config(), configure(baseline, ["batch_norm=true", "dropout=0.2", "weight_penalty=1e-4"])
    kinds = [
        [type(layer).__name__ for layer in build_network(baseline, config, 12, 10, 25)] for config in (plain, switched)
    ]
    assert ("BatchNorm1d" in kinds[0], kinds[1].count("BatchNorm1d")) == (False, 3)
    network = build_network(baseline, switched, 12, 10, 25)
    assert {layer.p for layer in network if isinstance(layer, torch.nn.Dropout)} == {0.2}
    assert (recipe_of(baseline, plain).weight_decay, recipe_of(baseline, switched).weight_decay) == (0, 2e-4)


@pytest.mark.parametrize(
    ("tau", "time_masks", "frequency_masks", "bands"),
    [(1.0, 0, 0, 0), (1.5, 2, 0, 0), (2.0, 2, 2, 2), (3.0, 2, 2, 4), (6.0, 2, 2, 6), (8.0, 2, 2, 6)],
)
def test_wider_bc_resnets_are_trained_with_specaugment(
    tau: float, time_masks: int, frequency_masks: int, bands: int
) -> None:
    """The masks of the published code: a width drawn below 20 frames, and below 0, 1, 3, 5 or 7 bands."""
    baseline = require_torch(load_baseline("bc_resnet_1"))
    augmentation = recipe_of(baseline, baseline.Config(tau=tau)).augmentation
    found = (augmentation.time_masks, augmentation.frequency_masks, augmentation.frequency_mask_bands)
    assert found == (time_masks, frequency_masks, bands)
    assert augmentation.time_mask_s == (0.19 if time_masks else 0)


@pytest.mark.parametrize(
    ("name", "settings", "shape", "says"),
    [
        ("bc_resnet_1", {}, (41, 101), "41 coefficients are not a multiple of 40"),
        ("conv1d_sber", {"channels": 48}, (64, 101), "64 coefficients do not divide into 48 groups"),
        ("conv1d_sber", {}, (64, 20), "20 frames are too few, it needs 21"),
        ("tenet6_narrow", {"kernel_size": 8}, (40, 98), "kernel_size is 8, expected an odd number"),
    ],
)
def test_an_architecture_says_which_shapes_it_cannot_take(
    name: str, settings: dict[str, Any], shape: tuple[int, int], says: str
) -> None:
    """A shape or setting that cannot work is an error in words when the network is made, not when it runs."""
    baseline = load_baseline(name)
    with pytest.raises(InputError, match=says):
        build_network(baseline, baseline.Config(**settings), 12, *shape)


def test_the_course_baseline_runs_on_the_fewest_frames_that_it_takes() -> None:
    """21 frames leave one after two strides and two poolings."""
    baseline = load_baseline("conv1d_sber")
    network = build_network(baseline, baseline.Config(), 5, 64, 21).eval()
    assert network(torch.zeros(1, 64, 21)).shape == (1, 5)


def _at_the_end_of_its_bounds(name: str, end: str, shape: tuple[int, int]) -> torch.nn.Module:
    baseline = load_baseline(name)
    config = {field.name: field.metadata[end] for field in dataclasses.fields(baseline.Config) if field.metadata}
    network: torch.nn.Module = build_network(baseline, configure_from(baseline, config), 35, *shape)
    return network


@pytest.mark.parametrize(
    ("name", "end"),
    [(name, end) for name in ARCHITECTURES for end in ("least", "most") if (name, end) != ("cnn", "most")],
)
def test_the_ends_of_the_bounds_make_a_network_that_runs(name: str, end: str) -> None:
    """Whatever configuration is accepted makes a network that is small enough for any machine."""
    shape = (512, 101) if name == "conv1d_sber" else (40, 101)
    network = _at_the_end_of_its_bounds(name, end, shape)
    assert sum(parameter.numel() for parameter in network.parameters()) <= MOST_STORED_NUMBERS
    assert network.eval()(torch.zeros(1, *shape)).shape == (1, 35)


def test_bounds_that_are_too_wide_together_are_refused() -> None:
    """The widest CNN keeps every bound and would take 4 GB."""
    with pytest.raises(InputError, match=r"cnn would store 1,008,\d{3},\d{3} numbers for 35 labels"):
        _at_the_end_of_its_bounds("cnn", "most", (40, 101))
