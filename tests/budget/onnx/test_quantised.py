"""Models in 8 bits, as onnxruntime and Brevitas write them; oracle: counts derived by hand, and the float model."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

from kwsbench.budget.report import Audit
from kwsbench.checkpoint.model_file import Format
from kwsbench.errors import RefusedError
from kwsbench.export import export
from tests.budget.onnx.models import audit_of, blocking, exported
from tests.checkpoints import checkpoint_of

CONV, GROUPED, LINEAR = 8 * 16 * 3 + 16, 16 * 4 * 3 + 16, 16 * 5 + 5
PRODUCTS = 20 * 16 * 8 * 3 + 18 * 16 * 4 * 3 + 16 * 5
BIASES = 16 + 16 + 5


def network() -> torch.nn.Sequential:
    """A convolution, a grouped one, a mean over time and a linear layer, on input of shape (1, 8, 20)."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv1d(8, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv1d(16, 16, 3, groups=4),
        torch.nn.AdaptiveAvgPool1d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 5),
    )


class Clips(CalibrationDataReader):  # type: ignore[misc]
    """Three clips of noise to calibrate with."""

    def __init__(self, name: str, *shape: int) -> None:
        rng = np.random.default_rng(0)
        self._name = name
        self._clips: Iterator[NDArray[np.float32]] = iter(rng.normal(size=(3, 1, *shape)).astype(np.float32))

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next clip, or None."""
        clip = next(self._clips, None)
        return None if clip is None else {self._name: clip}


def quantised(path: Path, clips: Clips, form: QuantFormat, **options: bool) -> bytes:
    """A model in 8 bits, as onnxruntime makes it of one in floats."""
    made = path.with_name("int8.onnx")
    logging.disable(logging.WARNING)
    try:
        quantize_static(path, made, clips, quant_format=form, **options)
    finally:
        logging.disable(logging.NOTSET)
    return made.read_bytes()


@pytest.fixture(scope="module", params=list(QuantFormat), ids=lambda form: form.name)
def static(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Audit]:
    """The network in 8 bits, in one of onnxruntime's two formats."""
    folder: Path = tmp_path_factory.mktemp("static")
    (folder / "float.onnx").write_bytes(exported(network(), torch.zeros(1, 8, 20)))
    data = quantised(folder / "float.onnx", Clips("x", 8, 20), request.param)
    return request.param.name, audit_of(data)


def test_every_product_of_a_quantised_network_is_8_by_8(static: tuple[str, Audit]) -> None:
    """The MACs of the layers are those of the float network, and all of them are in 8 bits."""
    _, audit = static
    assert not blocking(audit)
    assert audit.macs_by_width["8x8"] >= PRODUCTS
    assert sum(audit.macs_by_width.values()) == audit.macs
    floats = audit_of(exported(network(), torch.zeros(1, 8, 20)))
    assert floats.macs == PRODUCTS + 16


def test_both_formats_cost_the_same(static: tuple[str, Audit]) -> None:
    """Pairs of nodes and integer operators cost the products, the mean, and a step to 8 bits per value that is quantised."""
    form, audit = static
    quantised = 8 * 20 + 16 * 20 + 16 * 18 + 16 + 5  # the input and the results of the four layers
    last = {"QDQ": 0, "QOperator": 5}[form]  # integer operators end in a dequantisation
    pair_of_flatten = audit.macs - PRODUCTS - 16 - quantised - last
    assert pair_of_flatten == (16 if form == "QDQ" else 0)


def test_quantised_weights_weigh_a_byte_and_biases_four(static: tuple[str, Audit]) -> None:
    """Weights take 8 bits, biases 32, scales 32, zero points 8: of three weights and five activations, and of biases."""
    form, audit = static
    pairs, pairs_of_biases = 3 + 5, {"QDQ": 3, "QOperator": 0}[form]  # these with zero points of 32 bits
    assert audit.params == CONV + GROUPED + LINEAR + 2 * pairs + 2 * pairs_of_biases
    weights = CONV + GROUPED + LINEAR - BIASES
    assert audit.weight_bytes == weights + 4 * BIASES + (4 + 1) * pairs + (4 + 4) * pairs_of_biases


def test_activations_of_a_quantised_network_are_bytes(static: tuple[str, Audit]) -> None:
    """What is quantised at once takes a byte per value: the input in floats and its bytes are the peak."""
    _, audit = static
    assert audit.peak_activation_bytes == max(4 * 160 + 160, 160 + 320, 320 + 288)


@pytest.fixture(scope="module")
def course_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first network of the course, as `kwsbench.export` writes it, on input of shape (1, 64, 101)."""
    path = tmp_path_factory.mktemp("course") / "model.onnx"
    clips = np.random.default_rng(0).normal(size=(2, 64, 101)).astype(np.float32)
    assert list(export(checkpoint_of("conv1d_sber"), clips, {Format.ONNX: path}))
    return path


@pytest.mark.parametrize("form", list(QuantFormat), ids=lambda form: form.name)
def test_the_course_network_in_8_bits_counts_what_is_derived_by_hand(course_network: Path, form: QuantFormat) -> None:
    """Scales by channel of every weight, and in pairs of nodes of every bias too; each value that is quantised costs 1."""
    audit = audit_of(quantised(course_network, Clips("features", 64, 101), form, per_channel=True))
    is_pairs = form is QuantFormat.QDQ
    first, second, hidden, scores = (32 * 2 * 3, 32 * 32), (32 * 3, 32 * 32), 32 * 16, 16 * 12
    weights, channels, activations = sum((*first, *second, hidden, scores)), 4 * 32 + 16 + 12, 8
    assert audit.params == weights + channels + 2 * channels + 2 * activations + is_pairs * 2 * channels
    assert audit.weight_bytes == weights + 4 * channels + 5 * channels + 5 * activations + is_pairs * 8 * channels
    products = 50 * sum(first) + 12 * sum(second) + hidden + scores
    made = 64 * 101 + 2 * 32 * 50 + 2 * 32 * 12 + 32 + 16 + 12  # the input and the result of every layer
    moved = 32 * 25 + 32 * 6 + 32 * 6 if is_pairs else 32 * 6 + 12  # quantised once more; or brought back to floats
    mean, softmax = 32, 12
    assert not blocking(audit)
    assert audit.macs == products + made + moved + mean + softmax
    assert audit.receptive_field_frames == 21


@pytest.fixture(scope="module")
def brevitas_model() -> bytes:
    """A network with 8-bit weights and activations, as Brevitas exports it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from brevitas import nn
        from brevitas.export import export_onnx_qcdq

        torch.manual_seed(0)
        net = torch.nn.Sequential(
            nn.QuantIdentity(bit_width=8, return_quant_tensor=True),
            nn.QuantConv1d(8, 16, 3, weight_bit_width=8, bias=False),
            nn.QuantReLU(bit_width=8, return_quant_tensor=True),
            nn.QuantConv1d(16, 4, 3, weight_bit_width=4, bias=False),
        )
        net(torch.randn(4, 8, 20))
        buffer = io.BytesIO()
        export_onnx_qcdq(net.eval(), args=torch.zeros(1, 8, 20), export_path=buffer, dynamo=False)
    return buffer.getvalue()


def test_a_brevitas_export_is_counted_in_8_bits(brevitas_model: bytes) -> None:
    """Weights and activations of a QCDQ export are 8 bits wide, and its weights are counted once each."""
    audit = audit_of(brevitas_model)
    assert not blocking(audit)
    products = 18 * 16 * 8 * 3 + 16 * 4 * 16 * 3
    assert audit.macs_by_width["8x8"] == products
    weights, scales, zero_points = 16 * 8 * 3 + 4 * 16 * 3, 4, 2
    assert audit.params == weights + scales + zero_points
    assert audit.weight_bytes == weights + 4 * scales + zero_points
    assert audit.macs == products + 8 * 20 + 16 * 18


def test_an_export_with_operators_of_qonnx_is_refused_by_name() -> None:
    """QONNX quantises with operators of its own, which nobody here can run or count; the message names the first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from brevitas import nn
        from brevitas.export import export_qonnx

        buffer = io.BytesIO()
        net = torch.nn.Sequential(nn.QuantConv1d(8, 4, 3, weight_bit_width=4, bias=False))
        export_qonnx(net.eval(), args=torch.zeros(1, 8, 20), export_path=buffer, dynamo=False)
    with pytest.raises(RefusedError, match=r"'Quant' of (qonnx|onnx\.brevitas)"):
        audit_of(buffer.getvalue())
