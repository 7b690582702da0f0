"""What thop counts, and that counting with it leaves no trace."""

from __future__ import annotations

import logging
import sys
import warnings
from importlib.metadata import PackageNotFoundError
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from kwsbench.budget import thop_count
from kwsbench.budget.report import Count
from kwsbench.budget.thop_count import count_with_thop

PROBE = np.zeros((1, 64, 101), dtype=np.float32)


class Course(nn.Module):
    """The course's baseline, with layers in blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(self.block(64, 32), self.block(32, 32))
        self.pool = nn.AdaptiveAvgPool1d(1)
        self.hidden, self.output = nn.Linear(32, 16), nn.Linear(16, 5)

    @staticmethod
    def block(inputs: int, outputs: int) -> nn.Sequential:
        """A grouped convolution, a mixing one, and what follows them."""
        grouped = nn.Conv1d(inputs, outputs, 3, stride=2, groups=32)
        return nn.Sequential(
            grouped, nn.Conv1d(outputs, outputs, 1), nn.BatchNorm1d(outputs), nn.ReLU(), nn.MaxPool1d(2)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Maps (batch, 64, frames) to (batch, 5)."""
        return torch.as_tensor(self.output(self.hidden(self.pool(self.blocks(features)).flatten(1))))


class Hidden(nn.Module):
    """A network that computes by functions alone."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(8, 64, 3))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Maps (batch, 64, frames) to (batch, 8, frames - 2)."""
        return functional.conv1d(features, self.weight)


class Noisy(nn.Module):
    """A network that prints, warns, logs and draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv1d(64, 2, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Maps (batch, 64, frames) to (batch, 2, frames)."""
        print("printed")  # noqa: T201
        print("complained", file=sys.stderr)  # noqa: T201
        warnings.warn("warned", stacklevel=1)
        logging.warning("logged")  # noqa: LOG015
        return torch.as_tensor(self.layer(features + torch.randn_like(features)))


class Failing(nn.Module):
    """A network that fails where somebody looks into it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv1d(64, 2, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Maps (batch, 64, frames) to (batch, 2, frames)."""
        if self.layer._forward_hooks:
            raise RuntimeError("hooked\nand more")
        return torch.as_tensor(self.layer(features))


class Subclassed(nn.Linear):
    """A linear layer of a type that thop does not know."""


def test_the_baseline_of_the_course_is_counted_as_the_course_counts_it() -> None:
    """3,205 parameters and 82,992 MACs, the limits' own yardstick, with every layer by its name."""
    counted = count_with_thop(Course(), PROBE)
    assert (counted.count, counted.reason) == (Count(params=3_205, macs=82_992), "")
    assert counted.by_module["blocks.0.0"] == (32 * 2 * 3 + 32, 32 * 50 * 2 * 3)
    assert counted.by_module["output"] == (16 * 5 + 5, 16 * 5)
    params, macs = zip(*counted.by_module.values(), strict=True)
    assert (sum(params), sum(macs)) == (3_205, 82_992)


def test_a_network_that_is_one_layer_has_an_empty_name() -> None:
    """Thop forgets the parameters of the root."""
    counted = count_with_thop(nn.Conv1d(64, 2, 1), PROBE)
    assert (counted.count, counted.by_module) == (Count(params=0, macs=101 * 2 * 64), {"": (0, 101 * 2 * 64)})


def test_only_one_clip_is_counted() -> None:
    """Whatever the number of probes."""
    assert count_with_thop(Course(), np.repeat(PROBE, 3, axis=0)) == count_with_thop(Course(), PROBE)


@pytest.mark.parametrize(
    "network",
    [
        Hidden(),
        nn.Sequential(Subclassed(101, 4)),
        nn.Sequential(nn.GroupNorm(2, 64)),
        nn.Sequential(nn.LeakyReLU(), nn.GELU()),
    ],
    ids=["functional", "subclass", "group norm", "activations"],
)
def test_what_thop_is_said_to_miss_it_misses(network: nn.Module) -> None:
    """The docstring of the module lists it; a thop that learns to count it is noticed here."""
    assert count_with_thop(network, PROBE).count == Count(params=0, macs=0)


def test_the_given_network_stays_as_it_was() -> None:
    """Its mode, buffers, hooks, parameters and gradients, in every module."""
    network = Course().train()
    network.blocks.eval()
    seen: list[str] = []
    network.hidden.register_forward_hook(lambda *_: seen.append("hooked"))

    def state() -> list[object]:
        return [
            (name, m.training, sorted(vars(m)), list(m._forward_hooks), list(m._buffers), list(m._parameters))
            for name, m in network.named_modules()
        ]

    before, numbers = state(), {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert count_with_thop(network, PROBE).count is not None
    assert state() == before
    assert all(torch.equal(tensor, numbers[name]) for name, tensor in network.state_dict().items())


def test_a_failure_leaves_the_network_as_it_was() -> None:
    """The copy is thrown away, with what thop has put into it."""
    network = Failing()
    assert count_with_thop(network, PROBE).reason == "thop failed: RuntimeError: hooked"
    assert not network.layer._forward_hooks
    assert not dict(network.named_buffers())
    assert network.training


def test_nothing_is_printed_warned_or_logged(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither by thop nor by the network."""
    assert count_with_thop(Noisy(), PROBE).count == Count(params=64 * 2 + 2, macs=101 * 64 * 2)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_the_log_has_no_handler_more_than_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first `logging.warning` of a process would install one, on a stream that is gone."""
    monkeypatch.setattr(logging.root, "handlers", [])
    count_with_thop(Noisy(), PROBE)
    assert logging.root.handlers == []


def test_the_random_numbers_go_on_as_before() -> None:
    """A network that draws does not shift what is drawn after it."""
    network = Noisy()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    count_with_thop(network, PROBE)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("attribute", ["total_ops", "total_params"])
def test_a_module_with_a_count_of_its_own_gives_a_reason(attribute: str) -> None:
    """Thop would overwrite it, or fail on it."""
    network = Course()
    setattr(network.blocks[1], attribute, torch.tensor(5.0))
    counted = count_with_thop(network, PROBE)
    assert (counted.count, counted.by_module) == (None, {})
    assert counted.reason == f"blocks.1 has a {attribute} of its own, which is where thop keeps its count"


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_scripted_network_gives_a_reason() -> None:
    """Also where it is a part of another."""
    scripted = torch.jit.script(nn.Conv1d(64, 2, 1))
    reasons = [count_with_thop(network, PROBE).reason for network in (scripted, nn.Sequential(nn.ReLU(), scripted))]
    assert reasons == [f"thop cannot look into a ScriptModule ({where})" for where in ("the network itself", "1")]


@pytest.mark.parametrize("probe", [np.full((1, 3), "yes"), np.full((1, 3), None)], ids=["text", "objects"])
def test_inputs_that_are_no_numbers_give_a_reason(probe: Any) -> None:
    """They cannot become tensors."""
    counted = count_with_thop(Course(), probe)
    assert counted.count is None
    assert counted.reason.startswith("thop is given numbers only, not inputs of type ")


def test_an_input_of_the_wrong_shape_gives_a_reason() -> None:
    """With what the network said of it."""
    counted = count_with_thop(nn.Sequential(nn.Linear(3, 2)), PROBE)
    assert counted.count is None
    assert counted.reason.startswith("thop failed: RuntimeError: mat1 and mat2 shapes cannot be multiplied")


def test_a_network_that_cannot_be_copied_gives_a_reason() -> None:
    """It is never counted in the original."""
    network = Course()
    network.hidden.weight.requires_grad_()
    network.leftover = network.hidden.weight * 2
    assert "deepcopy" in count_with_thop(network, PROBE).reason
    assert not dict(network.hidden.named_buffers())


@pytest.mark.parametrize(
    ("installed", "reason"),
    [
        ({"thop", "ultralytics-thop"}, "the module thop comes from ultralytics-thop, which is AGPL-3.0"),
        ({"ultralytics-thop"}, "the module thop comes from ultralytics-thop, which is AGPL-3.0"),
        (set(), "thop is not installed: pip install 'kwsbench[torch]'"),
    ],
    ids=["both", "AGPL", "none"],
)
def test_only_thop_itself_is_used(monkeypatch: pytest.MonkeyPatch, installed: set[str], reason: str) -> None:
    """Another package under its name is not imported, and a missing one is said to be missing."""

    def distribution(package: str) -> str:
        if package not in installed:
            raise PackageNotFoundError(package)
        return package

    monkeypatch.setattr(thop_count, "distribution", distribution)
    monkeypatch.setattr(thop_count, "_count", _must_not_be_called)
    counted = count_with_thop(Course(), PROBE)
    assert counted.count is None
    assert counted.reason.startswith(reason)


def _must_not_be_called(*_: object) -> None:
    raise AssertionError("thop was used")


def test_a_thop_that_cannot_be_imported_gives_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without setuptools, from Python 3.12 on."""
    monkeypatch.setitem(sys.modules, "thop", None)
    assert count_with_thop(Course(), PROBE).reason.startswith("thop failed: ModuleNotFoundError: ")


@pytest.mark.parametrize("count", [0.5, float("nan"), float("inf")])
def test_a_count_that_is_no_integer_gives_a_reason(monkeypatch: pytest.MonkeyPatch, count: float) -> None:
    """A network can write into thop's buffers."""
    monkeypatch.setattr("thop.profile", lambda *_, **__: (count, 1.0, {}))
    counted = count_with_thop(Course(), PROBE)
    assert (counted.count, counted.reason) == (None, f"thop failed: ValueError: {count} is no count")
