"""The audit counts every operator that multiplies, whatever form it was written in."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from kwsbench.budget.audit import audit_network
from kwsbench.budget.report import Convolution
from tests.budget import networks as nets

T, C = nets.FRAMES, nets.CHANNELS

ATTENTION_MACS = (
    3 * T * C * C  # projections in
    + T * C  # scale of the queries
    + T * T * C  # queries times keys
    + 2 * 2 * T * T  # softmax of 2 heads
    + T * T * C  # times values
    + T * C * C  # projection out
)

COSTS = {
    # name: network, stored numbers, MACs
    "functional convolution": (nets.FunctionalConvolution, 6 * C * 3 + 6, 6 * (T - 2) * C * 3),
    "functional linear layer": (nets.FunctionalLinear, 5 * C, 5 * C * T),
    "matrix product": (nets.MatrixProduct, 5 * C, 5 * C * T),
    "einsum": (nets.Einsum, 5 * C, 5 * C * T),
    "multiply and sum": (nets.MultiplyAndSum, 5 * C, 5 * C * T),
    "GRU": (lambda: nets.Recurrent(nn.GRU), 9 * (C + 3) + 18, T * (9 * (C + 3) + 2 * 3)),
    "LSTM": (lambda: nets.Recurrent(nn.LSTM), 12 * (C + 3) + 24, T * (12 * (C + 3) + 3 * 3)),
    "cell in a loop": (nets.CellInLoop, 9 * (C + 3) + 18, T * (9 * (C + 3) + 2 * 3)),
    "transposed and grouped": (
        nets.Transposed,
        (C * 6 * 3 + 6) + (6 * 2 * 3 + 6),
        C * T * 6 * 3 + 6 * (2 * T + 1 - 2) * 2 * 3,
    ),
    "shared module": (nets.Shared, C * C * 3 + C, 3 * C * T * C * 3),
    # 4 transforms each way of 16 points: n ceil(log2 n); 9 bins of complex products
    "convolution by FFT": (nets.FourierConvolution, 2 * C * 9, C * (2 * 16 * 4 + 9 * 4)),
    "batch norm": (
        nets.Normalised,
        (6 * C * 3 + 6) + 12 + (6 * 6 * 3 + 6) + (6 * 5 + 5),
        6 * 12 * C * 3 + 6 * 12 + 6 * 4 * 6 * 3 + 6 + 6 * 5 + 5,
    ),
    "int4 in bytes": (nets.Int4, 5 * C + 5, 5 * C * T),
    "int8": (nets.Int8, 5 * C + 1, 5 * C * T),
}
FORMS = {
    "module": lambda network: network,
    "script": nets.as_script,
    "trace": nets.as_trace,
    "export": nets.as_exported,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", COSTS)
def test_a_network_costs_what_was_derived_by_hand_in_every_format(name: str, form: str) -> None:
    """Module, script, trace and exported program of one network have the derived counts and nothing to block them."""
    make, params, macs = COSTS[name]
    audit = audit_network(FORMS[form](make()), nets.probes())
    assert (audit.params, audit.macs) == (params, macs)
    assert [finding.message for finding in audit.findings if finding.blocks] == []
    assert sum(layer.macs for layer in audit.layers) == sum(audit.macs_by_width.values()) == macs
    assert sum(layer.params for layer in audit.layers) == params


MEAN_OF_WEIGHTS = T * T  # over the heads, for the weights that attention also returns
SCALE_OF_SCORES = 2 * T * T - T * C  # a fused kernel scales the products of queries and keys instead of the queries
ATTENTION = {
    "module": ATTENTION_MACS + MEAN_OF_WEIGHTS,
    "script": ATTENTION_MACS + MEAN_OF_WEIGHTS + SCALE_OF_SCORES,  # a script takes the fast path whatever is switched
    "trace": ATTENTION_MACS,  # nobody uses the mean, so a trace leaves it out
    "export": ATTENTION_MACS + MEAN_OF_WEIGHTS,
}


@pytest.mark.parametrize("form", FORMS)
def test_attention_is_seen_on_its_fast_path(form: str) -> None:
    """Multi-head attention costs its projections, both products and the softmax, fused or not."""
    audit = audit_network(FORMS[form](nets.Attention()), nets.probes())
    assert (audit.params, audit.macs) == (4 * C * C + 4 * C, ATTENTION[form])


@pytest.mark.parametrize("form", FORMS)
def test_a_transformer_layer_is_seen_on_its_fast_path(form: str) -> None:
    """A transformer layer costs attention, two linear layers and two layer norms (3 per element each)."""
    audit = audit_network(FORMS[form](nets.Transformer()), nets.probes())
    assert audit.params == (4 * C * C + 4 * C) + (C * 8 + 8) + (8 * C + C) + 4 * C
    assert audit.macs == ATTENTION_MACS + SCALE_OF_SCORES + 2 * T * C * 8 + 2 * 3 * T * C


def test_stft_and_mel_in_the_network_count() -> None:
    """9 frames of window, FFT, squares, mel product and logarithm are counted; the mel weights are stored numbers."""
    audit = audit_network(nets.Spectrogram(), nets.probes((1, 160)))
    frames, bins = 9, 17
    assert audit.params == 5 * bins
    assert audit.macs == frames * (32 + 32 * 5 + 2 * bins + 5 * bins + 5)


def test_work_on_weights_alone_is_free() -> None:
    """What does not depend on the input can be computed once, and costs nothing."""
    weight = torch.randn(6, C)
    network = nets.Function(lambda x: torch.softmax(weight @ weight.T, 0) @ weight @ x)
    assert audit_network(network, nets.probes()).macs == 6 * C * T


def test_an_operator_without_a_formula_blocks() -> None:
    """An operator whose cost is not known is named, with the module that runs it, and blocks the verdict."""
    network = nets.Function(lambda x: torch.linalg.svdvals(x[0]))
    findings = audit_network(network, nets.probes()).findings
    assert any(finding.blocks and "linalg_svd" in finding.message for finding in findings)


def test_widths_peak_and_receptive_field() -> None:
    """Weights of 8 bits are told by their storage; activations live until their last use; convolutions see frames."""
    assert audit_network(nets.Int8(), nets.probes()).macs_by_width == {"8x32": 5 * C * T}
    audit = audit_network(nets.Normalised(), nets.probes())
    assert audit.receptive_field_frames == 1 + 2 * 2 + 1 + 2 * 2  # dilated kernel, pool, kernel after a step of 2
    assert audit.peak_activation_bytes == 4 * (6 * 12 + 6 * 12)  # the convolution's result and its norm
    assert audit.batch_norm_statistics == 12


def test_int4_weights_weigh_half_a_byte() -> None:
    """Packed weights count once for every weight, and weigh what they are stored in."""
    audit = audit_network(nets.Int4(), nets.probes())
    assert audit.weight_bytes == 5 * C // 2 + 4 * 5
    assert audit.macs_by_width == {"4x32": 5 * C * T}


def test_layers_are_named_by_the_owner_of_what_they_read() -> None:
    """Layers come in the order of execution, by module, and what has no weights by the operator or the module."""
    audit = audit_network(nets.Normalised(), nets.probes())
    assert [layer.name for layer in audit.layers] == ["conv", "norm", "last", "mean", "out", "_log_softmax"]


def test_a_layer_tells_the_shape_of_its_convolution() -> None:
    """Channels, kernel elements and groups come from the stored weight; what is transposed or computed tells none."""
    shapes = {layer.name: layer.convolution for layer in audit_network(nets.Transposed(), nets.probes()).layers}
    assert shapes == {"up": None, "grouped": Convolution(out_channels=6, in_channels=6, kernel=3, groups=3)}
    picture = nn.Sequential(nn.Unflatten(1, (1, C)), nn.Conv2d(1, 5, (2, 3)))
    (layer,) = audit_network(picture, nets.probes()).layers
    assert layer.convolution == Convolution(out_channels=5, in_channels=1, kernel=6)
    of_itself = nets.Function(lambda x: functional.conv1d(x, x[..., :3].repeat(2, 1, 1)))
    assert [layer.convolution for layer in audit_network(of_itself, nets.probes()).layers if layer.macs] == [None]


def test_the_dearest_of_several_convolutions_is_told() -> None:
    """Where one module owns the weights of two, the shape is that of the one that costs more."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.small, self.large = nn.Parameter(torch.randn(3, C, 3)), nn.Parameter(torch.randn(7, 3, 5))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.conv1d(functional.conv1d(x, self.small), self.large)

    layers = audit_network(nn.Sequential(Two()), nets.probes()).layers
    assert [layer.convolution for layer in layers] == [Convolution(out_channels=7, in_channels=3, kernel=5)]


def test_brevitas_counts_at_its_own_widths() -> None:
    """A quantised convolution multiplies 4-bit weights with 8-bit activations; quantising costs 1 per element."""
    brevitas = pytest.importorskip("brevitas.nn")
    network = nn.Sequential(
        brevitas.QuantIdentity(bit_width=8), brevitas.QuantConv1d(C, 6, 3, weight_bit_width=4, bias=False)
    )
    audit = audit_network(network, nets.probes())
    assert audit.macs_by_width == {"4x8": 6 * (T - 2) * C * 3, "32x32": C * T}
    assert next(layer for layer in audit.layers if layer.name == "1").weight_bytes == 6 * C * 3 // 2


def test_relu_is_free_wherever_it_stands() -> None:
    """Activations that need no multiplier cost nothing."""
    network = nets.Function(lambda x: functional.relu(torch.tanh(torch.sigmoid(x) - 1)))
    assert audit_network(network, nets.probes()).macs == 0
