"""Strangers' files are counted in the sandbox as their networks are counted here."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kwsbench.budget.network_count import NetworkCount, count_in_sandbox
from kwsbench.checkpoint.model_file import read_model_file
from kwsbench.runtime.networks import NetworkSource
from tests.budget import networks as nets
from tests.budget.test_audit_cheats import DENSE, Choosy
from tests.sandboxed import needs_sandbox

T, C = nets.FRAMES, nets.CHANNELS


class Mixed(nn.Module):
    """A convolution, a GRU, a matrix product with 4-bit weights and one with complex weights."""

    MACS = C * T * C * 3 + T * (9 * (C + 3) + 2 * 3) + 5 * C * T + 2 * C * T + 3 * C * T
    PARAMS = (C * C * 3 + C) + (9 * (C + 3) + 18) + (5 * C + 5) + 2 * C

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv1d(C, C, 3, padding=1)
        self.recurrent = nn.GRU(C, 3, batch_first=True)
        self.packed = nets.Int4()
        self.register_buffer("phase", torch.randn(C, 1, dtype=torch.complex64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (1, 4, 16) to (1, 8, 16)."""
        y = self.convolution(x)
        states = self.recurrent(y.transpose(1, 2))[0].transpose(1, 2)
        return torch.cat([states, self.packed(y)], 1) + (y * self.phase).abs().sum(1, keepdim=True)


def _script(network: nn.Module, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(nets.as_script(network), path)


def _exported(network: nn.Module, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network.eval(), (torch.zeros(nets.SHAPE),)), path)


def _counted(path: Path) -> NetworkCount:
    return count_in_sandbox(NetworkSource(read_model_file(path)), nets.probes())


def _blocking(counted: NetworkCount) -> str:
    return "; ".join(finding.message for finding in counted.audit.findings if finding.blocks)


@needs_sandbox
@pytest.mark.parametrize(
    ("write", "name"),
    [(_script, "net.pt"), (_exported, "net.pt2")],
    ids=["script", "exported program"],
)
def test_a_file_counts_as_its_network(write: Callable[[nn.Module, Path], None], name: str, tmp_path: Path) -> None:
    """Weights in parameters, buffers, packed bytes, and complex numbers count as derived by hand."""
    write(Mixed(), tmp_path / name)
    counted = _counted(tmp_path / name)
    assert (counted.audit.params, counted.audit.macs, _blocking(counted)) == (Mixed.PARAMS, Mixed.MACS, "")


@needs_sandbox
def test_a_branch_in_a_file_is_counted(tmp_path: Path) -> None:
    """A script works on inputs that are not among the probes, and is counted where it works."""
    _script(Choosy(), tmp_path / "net.pt")
    counted = _counted(tmp_path / "net.pt")
    assert counted.audit.macs >= DENSE
    assert _blocking(counted) == ""


def test_the_mixed_network_counts_the_same_here() -> None:
    """What the files are compared with, derived by hand, is what the module itself gives."""
    from kwsbench.budget.audit import audit_network

    audit: Any = audit_network(Mixed(), nets.probes())
    assert (audit.params, audit.macs) == (Mixed.PARAMS, Mixed.MACS)
