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
from tests.budget.onnx_models import audit_of, blocking, exported

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

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._clips: Iterator[NDArray[np.float32]] = iter(rng.normal(size=(3, 1, 8, 20)).astype(np.float32))

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next clip, or None."""
        clip = next(self._clips, None)
        return None if clip is None else {"x": clip}


@pytest.fixture(scope="module", params=list(QuantFormat), ids=lambda form: form.name)
def static(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Audit]:
    """The network in 8 bits, in one of onnxruntime's two formats."""
    folder: Path = tmp_path_factory.mktemp("static")
    (folder / "float.onnx").write_bytes(exported(network(), torch.zeros(1, 8, 20)))
    logging.disable(logging.WARNING)
    try:
        quantize_static(folder / "float.onnx", folder / "int8.onnx", Clips(), quant_format=request.param)
    finally:
        logging.disable(logging.NOTSET)
    return request.param.name, audit_of((folder / "int8.onnx").read_bytes())


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
    """Weights are stored in 8 bits, biases in 32, and scales and zero points count beside them."""
    form, audit = static
    scales = audit.params - CONV - GROUPED - LINEAR
    assert 2 * 3 <= scales <= 2 * 12
    weights = CONV + GROUPED + LINEAR - BIASES
    bytes_of_scales = audit.weight_bytes - weights - 4 * BIASES
    assert scales < bytes_of_scales < 5 * scales
    assert form in {"QDQ", "QOperator"}


def test_activations_of_a_quantised_network_are_bytes(static: tuple[str, Audit]) -> None:
    """What is quantised at once takes a byte per value: the input in floats and its bytes are the peak."""
    _, audit = static
    assert audit.peak_activation_bytes == max(4 * 160 + 160, 160 + 320, 320 + 288)


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
