"""How much of the input one value of an ONNX graph sees through windows, along the last axis: as the torch audit says it.

Convolutions and local pooling slide windows. What mixes all positions at once (a mean over time, a recurrent layer, a
matrix product) slides none, and leaves the receptive field as it is.
"""

from __future__ import annotations

from collections.abc import Iterable

from kwsbench.budget.onnx.graph import Graph, Step
from kwsbench.budget.onnx.operands import operand
from kwsbench.budget.onnx.propagation import Propagation
from kwsbench.budget.onnx.shapes import Window, second, window_of
from kwsbench.budget.reach import NEIGHBOURS, Reach
from kwsbench.checkpoint.onnx_file import names

_CONVOLUTIONS = names("Conv ConvInteger ConvTranspose QLinearConv")
_POOLS = names("AveragePool LpPool MaxPool QLinearAveragePool")
_RESIZERS = names("Resize Upsample")


def receptive_field(graph: Graph, found: Propagation) -> int | None:
    """Returns the most positions of the input's last axis that one value of a convolution or local pooling sees.

    A pooling that leaves one position is no window but a summary of everything, and does not count by itself.

    Args:
        graph: The graph.
        found: The values of the graph.

    Returns:
        Positions, with those in the padding: the windows may span more than the input has. None without any window.
    """
    reaches = dict.fromkeys(graph.inputs, Reach())
    windows = []
    for step in graph.steps:
        seen = [reaches[name] for name in step.inputs if name in reaches]
        if seen and found.knows((*step.inputs, *step.outputs)):
            reach = _after(step, found, _widest(seen))
            reaches |= dict.fromkeys(step.outputs, reach)
            windows += [reach] if _is_window(step, found) else []
    return _widest(windows).frames if windows else None


def _widest(reaches: Iterable[Reach]) -> Reach:
    return max(reaches, key=lambda reach: reach.frames)


def _is_window(step: Step, found: Propagation) -> bool:
    return step.op in _CONVOLUTIONS or (step.op in _POOLS and found.values[step.outputs[0]].shape[-1] > 1)


def _after(step: Step, found: Propagation, before: Reach) -> Reach:
    if step.op in _RESIZERS:
        return _after_resizing(step, found, before)
    if step.op not in _CONVOLUTIONS | _POOLS:
        return before
    window = _window(step, found)
    stride, span = window.strides[-1], window.extent(-1) - 1
    if step.op == "ConvTranspose":
        return before.behind_transposed(span, stride)
    return before.behind_window(span, stride)


def _after_resizing(step: Step, found: Propagation, before: Reach) -> Reach:
    sizes = [found.values[name].shape[-1:] for name in (step.inputs[0], step.outputs[0])]
    mode = step.attributes.get("mode", "nearest")
    if not all(sizes) or mode not in NEIGHBOURS:
        return before
    aligns_corners = step.attributes.get("coordinate_transformation_mode") == "align_corners"
    return before.behind_resizing(mode, *(size for (size,) in sizes), aligns_corners=aligns_corners)


def _window(step: Step, found: Propagation) -> Window:
    if step.op in _POOLS:
        return window_of(step, tuple(step.attributes["kernel_shape"]))
    return window_of(step, operand(step, found.operands(step), second(step)).shape[2:])
