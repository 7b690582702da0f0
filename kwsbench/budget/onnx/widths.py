"""How wide the numbers are that an ONNX node multiplies, and where integers are only dressed as floats."""

from __future__ import annotations

import numpy as np

from kwsbench.budget.onnx.graph import Graph, Step
from kwsbench.budget.onnx.propagation import Propagation
from kwsbench.budget.onnx.shapes import second
from kwsbench.checkpoint.onnx_file import names

_TWO_FACTORS = names("""
    Attention BatchNormalization BitShift Conv ConvInteger ConvTranspose Div Einsum GRU Gemm GroupNormalization
    InstanceNormalization LSTM LayerNormalization MatMul MatMulInteger Mod Mul PRelu QGemm QLinearAdd QLinearConv
    QLinearMatMul QLinearMul RMSNormalization RNN
""")
_QUANTISING = names("DynamicQuantizeLinear QuantizeLinear")


def follows_quantising(step: Step, graph: Graph, found: Propagation) -> bool:
    """Returns whether a DequantizeLinear only undoes a QuantizeLinear, as the pairs do that mark integer operators.

    One that scales by something else than what was divided by is a multiplication like any other.

    Args:
        step: The step.
        graph: The graph.
        found: The values of the graph.
    """
    if step.op != "DequantizeLinear":
        return False
    maker = graph.makers.get(graph.moved_from(step.inputs[0]))
    if maker is None or maker.op not in _QUANTISING:
        return False
    return _is_same(found, maker.inputs[1] if maker.op == "QuantizeLinear" else maker.outputs[1], step.inputs[1])


def _is_same(found: Propagation, one: str, other: str) -> bool:
    left, right = found.values[one].numbers, found.values[other].numbers
    return one == other or (left is not None and right is not None and np.array_equal(left, right))


def width_of(step: Step, graph: Graph, found: Propagation) -> str:
    """Returns the bits of what a step multiplies, its second factor (the weight) first, such as `8x32`.

    A factor that was dequantised is as wide as it was before.

    Args:
        step: The step.
        graph: The graph.
        found: The values of the graph.
    """
    first = _bits(graph, found, step.inputs[0])
    if step.op not in _TWO_FACTORS or len(step.inputs) <= second(step):
        return f"{first}x{first}"
    return f"{_bits(graph, found, step.inputs[second(step)])}x{first}"


def _bits(graph: Graph, found: Propagation, name: str) -> int:
    name = graph.moved_from(name)
    maker = graph.makers.get(name)
    if maker is not None and maker.op == "DequantizeLinear":
        name = maker.inputs[0]
    return found.values[name].bits
