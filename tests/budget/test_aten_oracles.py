"""Counts of PyTorch's operators, against PyTorch's own counter and its own decompositions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from kwsbench.budget import costs
from kwsbench.budget.aten_costs import macs_of
from tests.budget.aten_counting import counted, cplx, mkldnn, real

PROPERTY = settings(deadline=None, derandomize=True, max_examples=40, database=None)
_sizes = st.integers(1, 3)


@PROPERTY
@given(
    channels=st.tuples(_sizes, _sizes, _sizes),
    taps=st.tuples(_sizes, _sizes, _sizes),
    dimensions=_sizes,
    transposed=st.booleans(),
)
def test_convolutions_multiply_half_of_the_flops_of_pytorch(
    channels: tuple[int, int, int], taps: tuple[int, int, int], dimensions: int, *, transposed: bool
) -> None:
    """For any groups, kernel, stride and dilation, in one to three dimensions, also transposed."""
    groups, inputs, outputs = channels
    kernel, stride, dilation = taps
    kinds = (
        [nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d]
        if transposed
        else [nn.Conv1d, nn.Conv2d, nn.Conv3d]
    )
    layer = kinds[dimensions - 1](
        groups * inputs, groups * outputs, kernel, stride, padding=1, dilation=dilation, groups=groups
    )
    signal = real(2, groups * inputs, *[7, 6, 5][:dimensions])
    with FlopCounterMode(display=False) as flops:
        layer(signal)
    assert 2 * (counted(layer, signal).macs or 0) == flops.get_total_flops()
    assert 2 * (counted(layer, signal, whole=True).macs or 0) == flops.get_total_flops()


@PROPERTY
@given(rows=_sizes, inner=_sizes, columns=_sizes, batch=_sizes)
def test_matrix_products_multiply_half_of_the_flops_of_pytorch(rows: int, inner: int, columns: int, batch: int) -> None:
    """Plain, with a bias, and in batches that broadcast."""
    left, right = real(batch, rows, inner), real(inner, columns)

    def run() -> None:
        functional.linear(left, right.T, real(columns))
        torch.addmm(real(columns), left[0], right)
        torch.bmm(left, right.expand(batch, inner, columns))
        torch.baddbmm(real(1), left, right.expand(batch, inner, columns))
        torch.matmul(left.expand(2, batch, rows, inner), right)

    with FlopCounterMode(display=False) as flops:
        run()
    assert 2 * (counted(run).macs or 0) == flops.get_total_flops()


def test_padding_on_the_output_side_of_a_transposed_convolution_costs_nothing() -> None:
    """It only makes room."""
    weight = real(4, 2, 3)
    plain, wider = (
        counted(functional.conv_transpose1d, real(1, 4, 5), weight, stride=2, output_padding=extra) for extra in (0, 1)
    )
    assert plain.macs == wider.macs == 4 * 5 * 2 * 3


WHOLES: dict[str, Callable[[], Any]] = {
    "linear": lambda: functional.linear(real(2, 3, 4), real(5, 4), real(5)),
    "matmul of vectors": lambda: torch.matmul(real(4), real(4)),
    "matmul with a vector": lambda: torch.matmul(real(2, 3, 4), real(4)),
    "matmul that broadcasts": lambda: torch.matmul(real(2, 1, 3, 4), real(5, 4, 2)),
    "complex matmul": lambda: torch.matmul(cplx(3, 4), cplx(4, 2)),
    "inner": lambda: torch.inner(real(2, 4), real(3, 4)),
    "outer": lambda: torch.outer(real(2), real(3)),
    "kron": lambda: torch.kron(real(2, 3), real(4, 5)),
    "vecdot": lambda: torch.linalg.vecdot(real(3, 4), real(2, 1, 4)),
    "tensordot": lambda: torch.tensordot(real(2, 3, 4), real(4, 3, 5), dims=([1, 2], [1, 0])),
    "bilinear": lambda: functional.bilinear(real(2, 3), real(2, 4), real(5, 3, 4)),
    "einsum of three": lambda: torch.einsum("bi,ij,j->b", real(2, 3), real(3, 4), real(4)),
    "einsum with an ellipsis": lambda: torch.einsum("...ti,ij->...jt", real(2, 5, 3), real(3, 4)),
    "einsum without a result": lambda: torch.einsum("ij,kj", real(2, 3), real(4, 3)),
    "einsum that multiplies only": lambda: torch.einsum("i,i->i", real(5), real(5)),
    "einsum that sums first": lambda: torch.einsum("ij,k->k", real(2, 3), real(4)),
    "einsum that broadcasts": lambda: torch.einsum("ij,ij->i", real(2, 3), real(1, 3)),
    "einsum that sums what broadcasts": lambda: torch.einsum("ij,ij->j", real(2, 3), real(1, 3)),
    "einsum of one": lambda: torch.einsum("ii->i", real(3, 3)),
    "einsum of four": lambda: torch.einsum("ab,bc,cd,de->ae", real(2, 3), real(3, 4), real(4, 5), real(5, 2)),
    "conv1d": lambda: functional.conv1d(real(2, 4, 9), real(6, 2, 3), stride=2, groups=2),
    "conv2d same": lambda: functional.conv2d(real(2, 4, 9, 5), real(6, 4, 3, 3), padding="same"),
    "conv_transpose1d": lambda: functional.conv_transpose1d(real(2, 4, 9), real(4, 3, 3), stride=2, groups=2),
    "cosine_similarity": lambda: functional.cosine_similarity(real(2, 3), real(5, 1, 3), dim=-1),
    "pairwise_distance": lambda: functional.pairwise_distance(real(2, 3), real(2, 3)),
    "cdist": lambda: torch.cdist(real(4, 3), real(2, 3)),
    "batch_norm": lambda: functional.batch_norm(real(2, 3, 4), real(3), real(3), real(3), real(3)),
    "batch_norm on the clip": lambda: functional.batch_norm(real(2, 3, 4), None, None, real(3), training=True),
    "instance_norm": lambda: functional.instance_norm(real(2, 3, 4), weight=real(3)),
    "layer_norm": lambda: functional.layer_norm(real(2, 3, 4), (4,), real(4)),
    "group_norm": lambda: functional.group_norm(real(2, 4, 5), 2),
    "softmax": lambda: torch.softmax(real(2, 3), -1),
    "log_softmax": lambda: torch.log_softmax(real(2, 3), -1),
    "avg_pool1d": lambda: functional.avg_pool1d(real(2, 3, 8), 4),
    "adaptive_avg_pool1d": lambda: functional.adaptive_avg_pool1d(real(2, 3, 8), 3),
    "stft": lambda: torch.stft(real(100), 16, 4, window=real(16), return_complex=True),
    "stft of several, padded window": lambda: torch.stft(real(2, 90), 20, 5, 15, window=real(15), return_complex=True),
    "stft without a window": lambda: torch.stft(real(90), 20, return_complex=True),
    "two-sided stft": lambda: torch.stft(real(90), 20, window=real(20), onesided=False, return_complex=True),
    "complex stft": lambda: torch.stft(cplx(90), 20, window=real(20), return_complex=True),
    "fft": lambda: torch.fft.fft(cplx(2, 12)),
    "fft of real": lambda: torch.fft.fft(real(2, 12), n=16, dim=0),
    "rfft": lambda: torch.fft.rfft(real(12, 3), n=20, dim=0),
    "irfft": lambda: torch.fft.irfft(cplx(2, 9)),
    "fft2": lambda: torch.fft.fft2(cplx(2, 6, 5)),
    "rfft2": lambda: torch.fft.rfft2(real(2, 6, 5)),
    "irfftn": lambda: torch.fft.irfftn(cplx(4, 6, 5), s=(8, 9)),
    "hfft": lambda: torch.fft.hfft(cplx(2, 5)),
    "selu": lambda: functional.selu(real(3)),
    "celu": lambda: functional.celu(real(3), 2.0),
    "float_power": lambda: torch.float_power(real(3), 2),
    "norm": lambda: torch.norm(real(3, 4), dim=1),
    "weight_norm": lambda: torch._weight_norm(real(3, 4), real(3, 1)),
    "var": lambda: torch.var(real(3, 4)),
    "lstm cell": lambda: torch.lstm_cell(real(2, 3), [real(2, 4), real(2, 4)], real(16, 3), real(16, 4)),
    "gru cell": lambda: torch.gru_cell(real(2, 3), real(2, 4), real(12, 3), real(12, 4)),
    "rnn cell": lambda: torch.rnn_tanh_cell(real(2, 3), real(2, 4), real(4, 3), real(4, 4)),
    "dropout that is off": lambda: functional.dropout(real(2, 3), training=False),
}


@pytest.mark.parametrize("whole", WHOLES.values(), ids=WHOLES)
@pytest.mark.filterwarnings("ignore:A window was not provided")
def test_an_operator_counts_what_its_parts_count(whole: Callable[[], Any]) -> None:
    """It may arrive as a whole, as in inference mode, or taken apart by PyTorch."""
    with mkldnn(enabled=False):
        assert counted(whole, whole=True).macs == counted(whole).macs is not None


RECURRENT = {
    "one layer": nn.LSTM(3, 4),
    "two layers, both directions": nn.LSTM(3, 4, num_layers=2, bidirectional=True),
    "no bias": nn.LSTM(3, 4, bias=False),
    "projected": nn.LSTM(3, 4, num_layers=2, proj_size=2),
    "gru": nn.GRU(3, 4, num_layers=2, bidirectional=True),
    "rnn": nn.RNN(3, 4),
    "rnn with relu": nn.RNN(3, 4, nonlinearity="relu"),
}


@pytest.mark.parametrize("layer", RECURRENT.values(), ids=RECURRENT)
def test_a_recurrent_layer_counts_what_its_parts_count(layer: nn.Module) -> None:
    """As one operator, by mkldnn where that has it, and step by step; also with sequences of several lengths."""
    packed = nn.utils.rnn.pack_padded_sequence(real(5, 2, 3), torch.tensor([5, 3]))
    for signal in (real(5, 2, 3), packed):
        with mkldnn(enabled=True):
            by_mkldnn = counted(layer, signal)
        with mkldnn(enabled=False):
            in_parts, whole = (counted(layer, signal, whole=flag) for flag in (False, True))
        assert by_mkldnn.macs == in_parts.macs == whole.macs
        assert in_parts.macs


def test_mkldnn_has_a_formula_of_its_own() -> None:
    """The layer arrives as one operator, and counts as the equations of an LSTM."""
    with mkldnn(enabled=True):
        by_operator = counted(lambda: nn.LSTM(3, 4)(real(5, 2, 3))).by_operator
    expected = costs.lstm_layer(inputs=3, hidden=4, steps=10)
    assert by_operator.get("aten::mkldnn_rnn_layer", expected) == expected


def test_fused_cells_count_their_gates() -> None:
    """Their matrices are separate operators."""
    gates = (real(2, 16), real(2, 16), real(2, 4))
    assert macs_of("aten::_thnn_fused_lstm_cell", gates, {}, (real(2, 4),)) == 3 * 2 * 4
    assert macs_of("aten::_thnn_fused_gru_cell", gates, {}, (real(2, 4),)) == 2 * 2 * 4


ATTENTION = 2 * 3 * (4 * 4 * (5 + 3 + 5))  # 2 clips, 3 heads, 4 queries and keys, width 5


@pytest.mark.parametrize("masked", [False, True])
def test_fused_attention_counts_every_query_with_every_key(masked: bool) -> None:  # noqa: FBT001
    """A causal mask saves nothing, in any form that attention arrives in."""
    query = real(2, 3, 4, 5)

    def run() -> torch.Tensor:
        return functional.scaled_dot_product_attention(query, query, query, is_causal=masked)

    assert counted(run).by_operator["aten::_scaled_dot_product_flash_attention_for_cpu"] == ATTENTION
    assert counted(run, whole=True).by_operator["aten::scaled_dot_product_attention"] == ATTENTION


def test_the_fast_path_of_a_transformer_counts_its_parts() -> None:
    """Four projections, attention, two norms and the feed-forward layers; GELU costs, ReLU does not."""
    width, inner, rows, heads = 8, 16, 6, 2
    attention = costs.attention(2 * heads, 3, 3, width // heads, width // heads)
    expected = rows * width * (4 * width + 2 * inner) + attention + 2 * 3 * rows * width
    for activation, more in (("relu", 0), ("gelu", rows * inner)):
        layer = nn.TransformerEncoderLayer(width, heads, inner, batch_first=True, activation=activation).eval()
        by_operator = counted(layer, real(2, 3, width), whole=True).by_operator
        assert by_operator["aten::_transformer_encoder_layer_fwd"] == expected + more


def test_the_fast_path_of_attention_counts_its_parts() -> None:
    """Four projections and attention; weights that are asked for are averaged over the heads."""
    layer = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    signal = real(2, 3, 8)
    expected = 4 * 6 * 8 * 8 + costs.attention(4, 3, 3, 4, 4)
    for asked, more in ((False, 0), (True, 2 * 3 * 3)):
        by_operator = counted(layer, signal, signal, signal, need_weights=asked, whole=True).by_operator
        assert by_operator["aten::_native_multi_head_attention"] == expected + more
