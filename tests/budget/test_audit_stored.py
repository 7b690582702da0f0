"""The audit counts every stored number that is read, wherever it is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kwsbench.budget.audit import audit_network
from kwsbench.budget.audit.python_numbers import FREE, shortest_period
from kwsbench.budget.report import Audit
from tests.budget import networks as nets

T, C = nets.FRAMES, nets.CHANNELS
FORMS = {
    "module": lambda network: network,
    "script": nets.as_script,
    "trace": nets.as_trace,
    "export": nets.as_exported,
}


def _blocking(audit: Audit) -> list[str]:
    return [finding.message for finding in audit.findings if finding.blocks]


def _count(function: object, **attributes: object) -> int:
    audit = audit_network(nets.Function(function, **attributes), nets.probes())
    assert _blocking(audit) == []
    return audit.params


def test_a_tensor_in_a_closure_counts() -> None:
    """Weights that only a function's closure holds are read, so they count."""
    weight = torch.randn(5, C)
    assert _count(lambda x: weight @ x) == 5 * C


def test_tensors_in_a_list_count() -> None:
    """Weights in a plain Python list of tensors count, each once."""
    weights = [torch.randn(C, C) for _ in range(3)]

    def chain(x: Tensor) -> Tensor:
        for weight in weights:
            x = weight @ x
        return x

    assert _count(chain) == 3 * C * C


def test_a_plain_attribute_counts_and_is_named() -> None:
    """A tensor that is a plain attribute counts, and a finding says that it is neither parameter nor buffer."""
    network = nets.Function(lambda x: x)
    network.weight = torch.randn(5, C)
    network.function = lambda x: network.weight @ x
    audit = audit_network(network, nets.probes())
    assert audit.params == 5 * C
    assert any("20 numbers are stored outside parameters and buffers" in one.message for one in audit.findings)


def test_attributes_that_no_probe_reads_count() -> None:
    """A table of tensors or arrays that no probe reaches counts, because another input may."""
    network = nets.Function(lambda x: x * 2, table=[torch.randn(3, 3)], more={"a": np.zeros(7)})
    audit = audit_network(network, nets.probes())
    assert audit.params == 9 + 7
    assert any("16 stored numbers were not read" in finding.message for finding in audit.findings)


def test_a_tensor_made_from_python_numbers_counts_once() -> None:
    """`torch.tensor([...])` in the code stores its numbers, however often it is executed."""

    def function(x: Tensor) -> Tensor:
        for _ in range(5):
            x = x * torch.tensor([[1.5], [2.5], [3.5], [4.5]])
        return x

    assert _count(function) == 4


@pytest.mark.parametrize("levels", [1_000, 3])
def test_weights_in_a_list_of_floats_count(levels: int) -> None:
    """40 weights in a Python list count as 40 stored numbers, even where they have only 3 different values."""
    weights = [float(value) for value in np.random.default_rng(0).integers(0, levels, 40) / 7]

    def function(x: Tensor) -> Tensor:
        flat = x.flatten()
        return sum(weight * flat[place] for place, weight in enumerate(weights))

    assert _count(function) == 40


def test_weights_as_single_tensors_count() -> None:
    """40 weights with 3 different values in tensors of one number count as 40."""
    weights = [torch.tensor(value / 7) for value in np.random.default_rng(0).integers(0, 3, 40)]
    assert _count(lambda x: sum(weight * x[0, 0, 0] for weight in weights)) == 40
    numbers = [float(weight) for weight in weights]
    assert _count(lambda x: sum(torch.tensor(number) * x[0, 0, 0] for number in numbers)) == 40


def test_constants_of_formulas_are_free() -> None:
    """A few Python numbers, and numbers that repeat themselves step by step, are formulas, not weights."""

    def function(x: Tensor) -> Tensor:
        for _ in range(50):
            x = 0.3 * x + 0.7 * torch.relu(x - 1e-5)
        return x

    assert _count(function) == 0


def test_a_sequence_is_as_long_as_what_it_repeats() -> None:
    """The shortest period of a sequence is what, repeated, gives it."""
    assert [shortest_period(list(text)) for text in ("", "a", "aaaa", "abab", "ababa", "abc")] == [0, 1, 1, 2, 2, 3]
    assert FREE == 16


def test_constants_of_a_script_count() -> None:
    """Weights that freezing has made constants of a script count as they did before."""
    audit = audit_network(nets.as_frozen(nets.FunctionalConvolution()), nets.probes())
    assert (audit.params, _blocking(audit)) == (6 * C * 3 + 6, [])


@pytest.mark.parametrize("form", ["module", "script", "export"])
def test_a_whole_embedding_table_counts(form: str) -> None:
    """All rows of an embedding count, and looking one up costs nothing."""
    audit = audit_network(FORMS[form](nets.Embedding()), nets.probes())
    assert (audit.params, audit.macs, _blocking(audit)) == (20 * 3, 0, [])


def test_a_table_of_stored_clips_counts() -> None:
    """Clips that the input is compared with are stored numbers."""
    audit = audit_network(nets.Table(), nets.probes())
    assert (audit.params, audit.macs) == (7 * C * T, 0)


def test_frozen_weights_count() -> None:
    """Weights that are not trained count like any."""
    network = nets.FunctionalLinear().requires_grad_(requires_grad=False)
    assert audit_network(network, nets.probes()).params == 5 * C


def test_a_view_of_one_number_is_one_number() -> None:
    """A weight with a stride of 0 stores one number for each row."""
    network = nets.FunctionalLinear()
    network.weight = nn.Parameter(torch.randn(5, 1).expand(5, C))
    audit = audit_network(network, nets.probes())
    assert (audit.params, audit.weight_bytes, audit.macs) == (5, 20, 5 * C * T)


def test_shared_storage_counts_once() -> None:
    """Two names of one parameter, and two overlapping views of one storage, store their numbers once."""
    weight = nn.Parameter(torch.randn(C, C))
    network = nn.Sequential(nn.Linear(T, T, bias=False), nn.Linear(T, T, bias=False))
    network[1].weight = network[0].weight
    assert audit_network(network, nets.probes()).params == T * T
    assert _count(lambda x: weight[:3] @ (weight[1:].T @ x[:, :3]), weight=weight) == C * C


def test_complex_weights_count_twice() -> None:
    """A complex number stores two."""
    weight = torch.randn(C, 1, dtype=torch.complex64)
    assert _count(lambda x: (x * weight).abs()) == 2 * C


def test_parameters_from_a_seed_count() -> None:
    """Weights that are drawn from a seeded generator in every run count, and a finding says so."""

    def function(x: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(3)
        return torch.randn(5, C, generator=generator) @ x

    network = nets.Function(function)
    audit = audit_network(network, nets.probes())
    assert audit.params == 5 * C
    assert any("drawn at random" in finding.message for finding in audit.findings)


def test_numbers_from_bit_arithmetic_count() -> None:
    """Pseudo-random weights made by integer arithmetic from a range are no formula, and count."""
    assert _count(lambda x: ((torch.arange(5 * C) * 7919 % 97).float().view(5, C) - 48) @ x) == 5 * C


def test_computed_windows_are_not_stored_but_named() -> None:
    """A window that is computed stores nothing; a finding says how many numbers are computed."""
    audit = audit_network(nets.Function(lambda x: x * torch.hann_window(C * T).view(C, T)), nets.probes())
    assert audit.params == 0
    assert any("64 numbers that the input is multiplied with are computed" in one.message for one in audit.findings)


def test_a_parameter_that_is_never_read_counts() -> None:
    """Registered weights that no probe reads count, and a finding names how many."""
    network = nets.FunctionalLinear()
    network.unused = nn.Linear(3, 2)
    audit = audit_network(network, nets.probes())
    assert audit.params == 5 * C + 8
    assert any("8 stored numbers were not read" in finding.message for finding in audit.findings)


def test_batch_norm_statistics_count_where_they_are_scale_and_shift() -> None:
    """Running statistics are listed; without a learned scale beside them they count."""
    assert audit_network(nets.ScaleFree(), nets.probes()).params == 2 * C
    audit = audit_network(nn.BatchNorm1d(C), nets.probes())
    assert (audit.params, audit.batch_norm_statistics) == (2 * C, 2 * C)


def test_statistics_that_are_read_otherwise_count() -> None:
    """Running statistics that something else reads too are stored numbers like any."""
    norm = nn.BatchNorm1d(C)
    assert _count(lambda x: norm(x) * norm.running_var[:, None], norm=norm) == 3 * C


def test_weights_read_as_bytes_count_as_bytes() -> None:
    """A float tensor that is read byte by byte stores four numbers in each float."""
    weight = torch.randn(5, 1)
    assert _count(lambda x: weight.view(torch.int8).float() @ x) == 5 * 4


def test_writing_into_a_tensor_keeps_its_history() -> None:
    """A tensor that is filled with weights and input is followed through `out=` and in-place operators."""
    weight = torch.randn(5, C)

    def function(x: Tensor) -> Tensor:
        out = torch.empty(5, T)
        torch.mm(weight, x[0], out=out)
        room = torch.zeros(5, T)
        room.copy_(out).mul_(2)
        return room * room

    audit = audit_network(nets.Function(function), nets.probes())
    assert (audit.params, audit.macs, _blocking(audit)) == (5 * C, 5 * C * T + 2 * 5 * T, [])
