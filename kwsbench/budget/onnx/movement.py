"""Shapes of what moves numbers and multiplies none: reshaping, slicing, gathering, padding, resizing.

Source: the operator reference of ONNX, https://onnx.ai/onnx/operators/, operator sets 7 to 28.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from kwsbench.budget.onnx.graph import Shape, Step
from kwsbench.budget.onnx.operands import (
    Operands,
    UnknownShapeError,
    axis_of,
    broadcast,
    has,
    integers,
    mismatch,
    operand,
    setting,
)

Shapes = list[Shape]
Rule = Callable[[Step, Operands], Shapes]


def _reshape(step: Step, operands: Operands) -> Shapes:
    shape = operand(step, operands, 0).shape
    wanted = integers(step, operands, 1)
    if not step.attributes.get("allowzero", 0):
        wanted = [shape[i] if size == 0 and i < len(shape) else size for i, size in enumerate(wanted)]
    if wanted.count(-1) == 1 and (rest := math.prod(size for size in wanted if size != -1)) > 0:
        wanted[wanted.index(-1)] = math.prod(shape) // rest
    if min(wanted, default=0) < 0 or math.prod(wanted) != math.prod(shape):
        raise mismatch(step, shape, tuple(wanted))
    return [tuple(wanted)]


def _flatten(step: Step, operands: Operands) -> Shapes:
    shape = operand(step, operands, 0).shape
    axis = step.attributes.get("axis", 1)
    axis = axis if axis == len(shape) else axis_of(step, shape, axis)
    return [(math.prod(shape[:axis]), math.prod(shape[axis:]))]


def _transpose(step: Step, operands: Operands) -> Shapes:
    shape = operand(step, operands, 0).shape
    order = step.attributes.get("perm") or list(reversed(range(len(shape))))
    if sorted(order) != list(range(len(shape))):
        raise mismatch(step, shape, tuple(order))
    return [tuple(shape[axis] for axis in order)]


def _squeeze(step: Step, operands: Operands) -> Shapes:
    shape = operand(step, operands, 0).shape
    axes = setting(step, operands, "axes", 1)
    gone = [i for i, size in enumerate(shape) if size == 1] if axes is None else [axis_of(step, shape, a) for a in axes]
    if any(shape[axis] != 1 for axis in gone):
        raise mismatch(step, shape, tuple(gone))
    return [tuple(size for axis, size in enumerate(shape) if axis not in gone)]


def _unsqueeze(step: Step, operands: Operands) -> Shapes:
    shape = operand(step, operands, 0).shape
    axes = setting(step, operands, "axes", 1) or []
    rank = len(shape) + len(axes)
    new = {axis_of(step, (1,) * rank, axis) for axis in axes}
    sizes = iter(shape)
    if len(new) < len(axes):
        raise mismatch(step, shape, tuple(axes))
    return [tuple(1 if axis in new else next(sizes) for axis in range(rank))]


def _concat_of(step: Step, shapes: Shapes) -> Shapes:
    axis = axis_of(step, shapes[0], step.attributes.get("axis", 1))
    rests = {shape[:axis] + shape[axis + 1 :] for shape in shapes}
    if len(rests) > 1 or len({len(shape) for shape in shapes}) > 1:
        raise mismatch(step, *shapes)
    return [(*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])]


def _concat(step: Step, operands: Operands) -> Shapes:
    return _concat_of(step, [operand(step, operands, i).shape for i in range(len(operands))])


def _qlinear_concat(step: Step, operands: Operands) -> Shapes:
    return _concat_of(step, [operand(step, operands, i).shape for i in range(2, len(operands), 3)])


def _split(step: Step, operands: Operands) -> Shapes:
    shape = operand(step, operands, 0).shape
    axis = axis_of(step, shape, step.attributes.get("axis", 0))
    parts = setting(step, operands, "split", 1)
    if parts is None:
        count = step.attributes.get("num_outputs", len(step.outputs))
        each = -(-shape[axis] // max(count, 1))
        parts = [min(each, shape[axis] - each * i) for i in range(count)]
    if sum(parts) != shape[axis] or len(parts) != len(step.outputs) or min(parts) < 0:
        raise mismatch(step, shape, tuple(parts))
    return [(*shape[:axis], size, *shape[axis + 1 :]) for size in parts]


def _slice(step: Step, operands: Operands) -> Shapes:
    shape = operand(step, operands, 0).shape
    starts, ends = setting(step, operands, "starts", 1) or [], setting(step, operands, "ends", 2) or []
    axes = setting(step, operands, "axes", 3) or list(range(len(starts)))
    strides = setting(step, operands, "steps", 4) or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(strides) or 0 in strides:
        raise mismatch(step, shape, tuple(starts), tuple(ends))
    result = list(shape)
    for axis, start, end, stride in zip(axes, starts, ends, strides, strict=True):
        place = axis_of(step, shape, axis)
        result[place] = len(range(*slice(start, end, stride).indices(shape[place])))
    return [tuple(result)]


def _gather(step: Step, operands: Operands) -> Shapes:
    shape, index = operand(step, operands, 0).shape, operand(step, operands, 1).shape
    axis = axis_of(step, shape, step.attributes.get("axis", 0))
    return [shape[:axis] + index + shape[axis + 1 :]]


def _gather_nd(step: Step, operands: Operands) -> Shapes:
    shape, index = operand(step, operands, 0).shape, operand(step, operands, 1).shape
    batch = step.attributes.get("batch_dims", 0)
    is_inside = index and 0 <= batch < len(index) and 1 <= index[-1] <= len(shape) - batch
    if not is_inside or shape[:batch] != index[:batch]:
        raise mismatch(step, shape, index)
    return [index[:-1] + shape[batch + index[-1] :]]


def _expand(step: Step, operands: Operands) -> Shapes:
    return [broadcast(step, [operand(step, operands, 0).shape, tuple(integers(step, operands, 1))])]


def _tile(step: Step, operands: Operands) -> Shapes:
    shape, repeats = operand(step, operands, 0).shape, tuple(integers(step, operands, 1))
    if len(shape) != len(repeats):
        raise mismatch(step, shape, repeats)
    return [tuple(size * count for size, count in zip(shape, repeats, strict=True))]


def _pad(step: Step, operands: Operands) -> Shapes:
    shape = operand(step, operands, 0).shape
    pads = setting(step, operands, "pads", 1) or []
    axes = integers(step, operands, 3) if has(operands, 3) else list(range(len(shape)))
    if len(pads) != 2 * len(axes):
        raise mismatch(step, shape, tuple(pads))
    result = list(shape)
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        result[axis_of(step, shape, axis)] += before + after
    return [tuple(result)]


def _resize(step: Step, operands: Operands) -> Shapes:
    shape = operand(step, operands, 0).shape
    if step.attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize":
        raise UnknownShapeError("it crops while it resizes")
    if step.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise UnknownShapeError("it keeps the aspect ratio while it resizes")
    axes = [axis_of(step, shape, axis) for axis in step.attributes.get("axes") or range(len(shape))]
    result = list(shape)
    if has(operands, 3) and (sizes := integers(step, operands, 3)):
        targets = sizes
    else:
        scales = _scales(step, operands)
        targets = [math.floor(shape[axis] * scale) for axis, scale in zip(axes, scales, strict=False)]
    if len(targets) != len(axes):
        raise mismatch(step, shape, tuple(targets))
    for axis, size in zip(axes, targets, strict=True):
        result[axis] = size
    return [tuple(result)]


def _scales(step: Step, operands: Operands) -> list[float]:
    if "scales" in step.attributes:
        return list(step.attributes["scales"])
    position = 1 if step.op == "Upsample" or step.opset < 11 else 2
    numbers = operand(step, operands, position).numbers
    if numbers is None:
        raise UnknownShapeError("its scales depend on what the model hears")
    if numbers.dtype.kind != "f" or not all(map(math.isfinite, numbers.reshape(-1).tolist())):
        raise mismatch(step, numbers.shape)
    return [float(number) for number in numbers.reshape(-1)]


def _blocks(step: Step, operands: Operands) -> Shapes:
    shape = operand(step, operands, 0).shape
    size = step.attributes.get("blocksize", 1)
    if len(shape) != 4 or size < 1:
        raise mismatch(step, shape)
    batch, channels, height, width = shape
    if step.op == "DepthToSpace":
        return [(batch, channels // size**2, height * size, width * size)]
    return [(batch, channels * size**2, height // size, width // size)]


def _one_hot(step: Step, operands: Operands) -> Shapes:
    shape, depth = operand(step, operands, 0).shape, integers(step, operands, 1)[0]
    axis = axis_of(step, (*shape, 1), step.attributes.get("axis", -1))
    return [(*shape[:axis], depth, *shape[axis:])]


def _top_k(step: Step, operands: Operands) -> Shapes:
    shape = operand(step, operands, 0).shape
    axis = axis_of(step, shape, step.attributes.get("axis", -1))
    count = integers(step, operands, 1)[0] if has(operands, 1) else step.attributes.get("k", 1)
    return [(*shape[:axis], count, *shape[axis + 1 :])] * 2


def _range(step: Step, operands: Operands) -> Shapes:
    numbers = [operand(step, operands, i).numbers for i in range(3)]
    if any(number is None or not number.size for number in numbers):
        raise UnknownShapeError("its length depends on what the model hears")
    start, limit, delta = (number.reshape(-1)[0].item() for number in numbers if number is not None)
    if not delta or not all(map(math.isfinite, (start, limit, delta))):
        raise mismatch(step, ())
    return [(max(math.ceil((limit - start) / delta), 0),)]


def _shape(step: Step, operands: Operands) -> Shapes:
    rank = len(operand(step, operands, 0).shape)
    return [(len(range(rank)[step.attributes.get("start", 0) : step.attributes.get("end")]),)]


def _random(step: Step, _operands: Operands) -> Shapes:
    return [tuple(step.attributes.get("shape", ()))]


def _scatter_same(step: Step, operands: Operands) -> Shapes:
    return [operand(step, operands, 0).shape]


def _window(step: Step, operands: Operands) -> Shapes:
    return [(integers(step, operands, 0)[0],)]


def _mel(step: Step, operands: Operands) -> Shapes:
    return [(integers(step, operands, 1)[0] // 2 + 1, integers(step, operands, 0)[0])]


RULES: dict[str, Rule] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "QLinearConcat": _qlinear_concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "GatherElements": lambda step, operands: [operand(step, operands, 1).shape],
    "GatherND": _gather_nd,
    "Expand": _expand,
    "Tile": _tile,
    "Pad": _pad,
    "Resize": _resize,
    "Upsample": _resize,
    "DepthToSpace": _blocks,
    "SpaceToDepth": _blocks,
    "OneHot": _one_hot,
    "TopK": _top_k,
    "Range": _range,
    "ConstantOfShape": lambda step, operands: [tuple(integers(step, operands, 0))],
    "Shape": _shape,
    "Size": lambda _step, _operands: [()],
    "RandomNormal": _random,
    "RandomUniform": _random,
    **dict.fromkeys(("Scatter", "ScatterElements", "ScatterND", "TensorScatter"), _scatter_same),
    **dict.fromkeys(("HannWindow", "HammingWindow", "BlackmanWindow"), _window),
    "MelWeightMatrix": _mel,
}
"""The shapes of a step's outputs, from its inputs and attributes."""
