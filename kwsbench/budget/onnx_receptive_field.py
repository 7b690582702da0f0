"""How much of the input one value of the last convolution of an ONNX graph sees, along the last axis."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from kwsbench.budget.onnx_graph import Graph, Step
from kwsbench.budget.onnx_operands import operand
from kwsbench.budget.onnx_propagation import Propagation
from kwsbench.budget.onnx_shapes import reduced_axes, second, window_of
from kwsbench.checkpoint.onnx_file import names

_CONVOLUTIONS = names("Conv ConvInteger ConvTranspose QLinearConv")
_POOLS = names("AveragePool LpPool MaxPool QLinearAveragePool")
_SEEING_ALL = names("""
    Attention CumProd CumSum DFT Einsum Flatten GRU Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool LSTM MatMul
    MatMulInteger QGemm QLinearGlobalAveragePool QLinearMatMul RNN STFT
""")


@dataclass(frozen=True)
class _View:
    """What one value sees.

    Attributes:
        field: Positions of the input.
        step: How many positions of the input lie between two neighbours.
    """

    field: Fraction = Fraction(1)
    step: Fraction = Fraction(1)


def receptive_field(graph: Graph, found: Propagation) -> int | None:
    """Returns the positions of the input's last axis that one value of the last convolution sees.

    What mixes all positions (a mean over time, a recurrent layer, a matrix product) sees the whole input.

    Args:
        graph: The graph.
        found: The values of the graph.

    Returns:
        Positions, at most all of them; None where there is no convolution.
    """
    first = next(iter(graph.inputs.values()))
    views = dict.fromkeys(graph.inputs, _View())
    result = None
    for step in graph.steps:
        seen = [views[name] for name in step.inputs if name in views]
        if seen and found.knows((*step.inputs, *step.outputs)):
            widest = _View(max(view.field for view in seen), max(view.step for view in seen))
            view = _after(step, found, widest, whole=max(first.shape[-1:], default=1))
            views |= dict.fromkeys(step.outputs, view)
            result = view if step.op in _CONVOLUTIONS else result
    return None if result is None else min(int(result.field), max(first.shape, default=1))


def _after(step: Step, found: Propagation, view: _View, whole: int) -> _View:
    operands = found.operands(step)
    if step.op in _CONVOLUTIONS or step.op in _POOLS:
        pooled = tuple(step.attributes.get("kernel_shape", ()))
        window = window_of(step, pooled if step.op in _POOLS else operand(step, operands, second(step)).shape[2:])
        stride, extent = Fraction(window.strides[-1]), window.extent(-1) - 1
        if step.op == "ConvTranspose":
            return _View(view.field + extent // stride * view.step, view.step / stride)
        return _View(view.field + extent * view.step, view.step * stride)
    if step.op in _SEEING_ALL or _reduces_last_axis(step, found):
        return _View(max(view.field, Fraction(whole)), view.step)
    return view


def _reduces_last_axis(step: Step, found: Propagation) -> bool:
    operands = found.operands(step)
    return step.op.startswith("Reduce") and len(operand(step, operands, 0).shape) - 1 in reduced_axes(step, operands)
