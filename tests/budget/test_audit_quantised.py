"""Networks in low precision: Brevitas is counted exactly, PyTorch's own packed layers cannot be certified."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import nn

from kwsbench.budget.audit import audit_network
from tests.budget import networks as nets

T, C = nets.FRAMES, nets.CHANNELS


def _blocking(audit: Any) -> str:
    return "; ".join(finding.message for finding in audit.findings if finding.blocks)


@pytest.mark.filterwarnings("ignore")
def test_brevitas_layers_cost_what_integers_cost() -> None:
    """4-bit weights weigh half a byte; a quantised activation costs a division each; roundings are no second weight."""
    quantised = pytest.importorskip("brevitas.nn")
    from brevitas.quant import Int8Bias

    torch.manual_seed(0)
    convolution = quantised.QuantConv1d(C, 6, 3, weight_bit_width=4, bias_quant=Int8Bias)
    network = nn.Sequential(quantised.QuantIdentity(bit_width=8, return_quant_tensor=True), convolution).train()
    network(torch.randn(nets.SHAPE))
    audit = audit_network(network, nets.probes())
    layer = next(one for one in audit.layers if one.name == "1")
    assert (layer.params, layer.macs) == (6 * C * 3 + 6, 6 * (T - 2) * C * 3)
    assert layer.weight_bytes == 6 * C * 3 // 2 + 4 * 6
    assert audit.macs_by_width == {"4x8": 6 * (T - 2) * C * 3, "32x32": C * T}
    assert (audit.macs, _blocking(audit)) == (6 * (T - 2) * C * 3 + C * T, "")


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_packed_layers_of_pytorch_cannot_be_certified(kind: str) -> None:
    """Their operators are not in ATen and their weights in no tensor: each is named, and none counts silently as 0."""
    quantisation: Any = torch.ao.quantization
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("this PyTorch has no fbgemm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "dynamic":
            network = quantisation.quantize_dynamic(nn.Sequential(nn.Linear(T, 5)), {nn.Linear})
        else:
            stubs = quantisation.QuantStub(), quantisation.DeQuantStub()
            plain = nn.Sequential(stubs[0], nn.Linear(T, 5), stubs[1]).eval()
            plain.qconfig = quantisation.get_default_qconfig("fbgemm")
            prepared = quantisation.prepare(plain)
            prepared(torch.randn(nets.SHAPE))
            network = quantisation.convert(prepared)
        audit = audit_network(network, nets.probes())
    name = "quantized::linear_dynamic" if kind == "dynamic" else "quantized::linear"
    assert f"{name} in" in _blocking(audit)
