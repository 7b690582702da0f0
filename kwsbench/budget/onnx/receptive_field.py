"""How much of the input one value of an ONNX graph sees through windows, along the last axis: as the torch audit says it.

Convolutions and local pooling slide windows. What mixes all positions at once (a mean over time, a recurrent layer, a
matrix product) slides none, and leaves the receptive field as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from kwsbench.budget.onnx.graph import Graph, Step
from kwsbench.budget.onnx.operands import operand
from kwsbench.budget.onnx.propagation import Propagation
from kwsbench.budget.onnx.shapes import Window, second, window_of
from kwsbench.checkpoint.onnx_file import names

_CONVOLUTIONS = names("Conv ConvInteger ConvTranspose QLinearConv")
_POOLS = names("AveragePool LpPool MaxPool QLinearAveragePool")


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
    """Returns the most positions of the input's last axis that one value of a convolution or local pooling sees.

    A pooling that leaves one position is no window but a summary of everything, and does not count by itself.

    Args:
        graph: The graph.
        found: The values of the graph.

    Returns:
        Positions, with those in the padding: the windows may span more than the input has. None without any window.
    """
    views = dict.fromkeys(graph.inputs, _View())
    windows = []
    for step in graph.steps:
        seen = [views[name] for name in step.inputs if name in views]
        if seen and found.knows((*step.inputs, *step.outputs)):
            view = _after(step, found, _widest(seen))
            views |= dict.fromkeys(step.outputs, view)
            windows += [view] if _is_window(step, found) else []
    return int(_widest(windows).field) if windows else None


def _widest(views: Iterable[_View]) -> _View:
    return max(views, key=lambda view: view.field)


def _is_window(step: Step, found: Propagation) -> bool:
    return step.op in _CONVOLUTIONS or (step.op in _POOLS and found.values[step.outputs[0]].shape[-1] > 1)


def _after(step: Step, found: Propagation, view: _View) -> _View:
    if step.op not in _CONVOLUTIONS | _POOLS:
        return view
    window = _window(step, found)
    stride, span = Fraction(window.strides[-1]), window.extent(-1) - 1
    if step.op == "ConvTranspose":
        return _View(view.field + span // stride * view.step, view.step / stride)
    return _View(view.field + span * view.step, view.step * stride)


def _window(step: Step, found: Propagation) -> Window:
    if step.op in _POOLS:
        return window_of(step, tuple(step.attributes["kernel_shape"]))
    return window_of(step, operand(step, found.operands(step), second(step)).shape[2:])
