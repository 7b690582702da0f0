"""Every shipped network counts the same as a checkpoint and as its ONNX export, but for the batch norms that are folded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kwsbench.budget.audit import audit_network
from kwsbench.budget.report import Audit
from kwsbench.catalogue import baseline_paths
from kwsbench.checkpoint.model_file import Format
from kwsbench.checkpoint.network import NetworkCheckpoint
from kwsbench.export import export
from kwsbench.runtime.networks import input_shape_of, network_of_checkpoint
from tests.budget.onnx.models import audit_of, blocking
from tests.checkpoints import checkpoint_of

INTEGERS = {"tc_resnet8_int8"}  # its export has integers and their scales: tests/baselines/test_int8.py
NETWORKS = [
    name
    for name, path in baseline_paths().items()
    if "def network(" in path.read_text(encoding="utf-8") and name not in INTEGERS
]
NORMS = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)
CONVOLUTIONS = (torch.nn.Conv1d, torch.nn.Conv2d)


@dataclass
class Folding:
    """What is gone when batch norms move into the convolutions right before them, and what is left of the others."""

    params: int = 0
    macs: int = 0
    statistics_left: int = 0


def folding_of(network: torch.nn.Module, clip: torch.Tensor) -> Folding:
    """Watches which batch norms read what a convolution has just made.

    Scale and shift go; a convolution without bias gets one; and one product per value is not made any more.
    """
    made: list[tuple[torch.Tensor, Any]] = []
    folding = Folding()

    def note(module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if isinstance(module, CONVOLUTIONS):
            made.append((output, module))
            return
        before = [convolution for tensor, convolution in made if tensor is inputs[0]]
        if not before:
            folding.statistics_left += 2 * module.num_features
            return
        folding.params += 2 * module.num_features - (before[0].bias is None) * module.num_features
        folding.macs += output.numel()

    for module in network.modules():
        if isinstance(module, (*CONVOLUTIONS, *NORMS)):
            module.register_forward_hook(note)
    with torch.no_grad():
        network(clip)
    return folding


def trained(name: str) -> NetworkCheckpoint:
    """A checkpoint with no two batch norms alike: exporters store equal tensors once, and untrained ones are equal."""
    checkpoint = checkpoint_of(name)
    torch.manual_seed(1)
    lively = {
        key: torch.rand_like(value) + 0.5 if value.is_floating_point() and value.dim() == 1 else value
        for key, value in checkpoint.state_dict.items()
    }
    return replace(checkpoint, state_dict=lively)


@dataclass(frozen=True)
class Counted:
    """A network counted in both formats."""

    checkpoint: Audit
    onnx: Audit
    folding: Folding


@pytest.fixture(scope="module", params=NETWORKS)
def counted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Counted:
    """One of the shipped networks, exported with `kwsbench.export` and counted in both formats."""
    checkpoint = trained(request.param)
    path: Path = tmp_path_factory.mktemp("export") / "model.onnx"
    clips = np.random.default_rng(0).normal(size=(2, *input_shape_of(checkpoint.header))).astype(np.float32)
    assert [written.path for written in export(checkpoint, clips, {Format.ONNX: path})] == [path]
    network = network_of_checkpoint(checkpoint, None).eval()
    audit = audit_network(network, {"noise": clips[:1]})
    return Counted(audit, audit_of(path.read_bytes()), folding_of(network, torch.from_numpy(clips[:1])))


def test_an_export_stores_what_the_checkpoint_stores_without_what_folding_removes(counted: Counted) -> None:
    """Parameters, bytes and running statistics differ by the folded batch norms and by nothing else."""
    assert counted.onnx.params == counted.checkpoint.params - counted.folding.params
    assert counted.onnx.weight_bytes == 4 * counted.onnx.params
    assert counted.onnx.batch_norm_statistics == counted.folding.statistics_left


def test_an_export_multiplies_what_the_checkpoint_multiplies_without_what_folding_removes(counted: Counted) -> None:
    """MACs differ by one per value that a folded batch norm scaled; every other operator costs the same."""
    assert not blocking(counted.onnx)
    assert counted.onnx.macs == counted.checkpoint.macs - counted.folding.macs


def test_an_export_sees_as_many_frames_as_the_checkpoint(counted: Counted) -> None:
    """The receptive field is the same number, or in both formats none where nothing slides over time."""
    assert counted.onnx.receptive_field_frames == counted.checkpoint.receptive_field_frames


def test_an_export_has_the_convolutions_of_the_checkpoint(counted: Counted) -> None:
    """The shapes of the dearest convolutions of all layers are the same, in the same order."""
    in_layers, in_onnx = (
        [layer.convolution for layer in audit.layers if layer.convolution]
        for audit in (counted.checkpoint, counted.onnx)
    )
    assert in_onnx == in_layers


def test_all_shipped_networks_are_compared() -> None:
    """The list is not empty, and the first network of the course is on it."""
    assert "conv1d_sber" in NETWORKS
