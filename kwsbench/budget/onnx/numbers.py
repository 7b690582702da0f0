"""Arithmetic on the few numbers that shapes are computed from, in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.budget.onnx.graph import KNOWN_ELEMENTS, Shape, Step, Value

Numbers = NDArray[Any]

_BINARY: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Mod": np.mod,
    "Max": np.maximum,
    "Min": np.minimum,
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Where": np.where,
}
_UNARY: dict[str, Callable[..., Any]] = {
    "Neg": np.negative,
    "Abs": np.abs,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Sqrt": np.sqrt,
    "Not": np.logical_not,
    "Identity": np.asarray,
}
_REDUCE: dict[str, Callable[..., Any]] = {
    "ReduceProd": np.prod,
    "ReduceSum": np.sum,
    "ReduceMax": np.max,
    "ReduceMin": np.min,
}
_RESHAPING = ("Reshape", "Squeeze", "Unsqueeze", "Flatten")


def numbers_of(step: Step, operands: Sequence[Value | None], shape: Shape) -> Numbers | None:
    """Returns the contents of a step's first output, or None where they are many, unknown or of no use for shapes.

    Args:
        step: The step.
        operands: Its inputs.
        shape: The shape of its first output.
    """
    if np.prod(shape, dtype=object) > KNOWN_ELEMENTS:
        return None
    if step.op in {"Shape", "Size"}:
        return _of_shape(step, operands)
    known = [operand.numbers for operand in operands if operand is not None and operand.numbers is not None]
    if len(known) < sum(operand is not None for operand in operands):
        return None
    with np.errstate(all="ignore"):
        return _evaluated(step, known, shape)


def _of_shape(step: Step, operands: Sequence[Value | None]) -> Numbers | None:
    if operands[0] is None:
        return None
    if step.op == "Size":
        return np.asarray(operands[0].elements, dtype=np.int64)
    sizes = operands[0].shape[step.attributes.get("start", 0) : step.attributes.get("end")]
    return np.asarray(sizes, dtype=np.int64)


def _evaluated(step: Step, known: list[Numbers], shape: Shape) -> Numbers | None:
    if step.op in _BINARY:
        return np.asarray(_BINARY[step.op](*known)) if len(known) == (3 if step.op == "Where" else 2) else None
    if step.op in _UNARY:
        return np.asarray(_UNARY[step.op](known[0]))
    if step.op in _REDUCE and np.prod(shape, dtype=object) == 1:
        return np.asarray(_REDUCE[step.op](known[0])).reshape(shape)
    if step.op in _RESHAPING:
        return known[0].reshape(shape)
    return _OTHERS[step.op](step, known, shape) if step.op in _OTHERS else None


def _cast(step: Step, known: list[Numbers], _shape: Shape) -> Numbers | None:
    from onnx.helper import tensor_dtype_to_np_dtype

    return known[0].astype(tensor_dtype_to_np_dtype(step.attributes["to"]))


def _divided(_step: Step, known: list[Numbers], _shape: Shape) -> Numbers | None:
    if known[0].dtype.kind not in "iu":
        return np.asarray(known[0] / known[1])
    return None if (known[1] == 0).any() else np.trunc(known[0] / known[1]).astype(known[0].dtype)


def _gathered(step: Step, known: list[Numbers], _shape: Shape) -> Numbers | None:
    axis = step.attributes.get("axis", 0)
    inside = np.abs(known[1] + 0.5) < known[0].shape[axis]
    return np.take(known[0], known[1].astype(np.int64), axis=axis) if inside.all() else None


def _sliced(step: Step, known: list[Numbers], _shape: Shape) -> Numbers | None:
    if len(known) < 3:
        return None
    starts, ends = known[1].tolist(), known[2].tolist()
    axes = known[3].tolist() if len(known) > 3 and step.inputs[3] else range(len(starts))
    strides = known[4].tolist() if len(known) > 4 else [1] * len(starts)
    parts = [slice(None)] * known[0].ndim
    for axis, start, end, stride in zip(axes, starts, ends, strides, strict=False):
        parts[axis] = slice(start, end, stride)
    return known[0][tuple(parts)]


def _range(_step: Step, known: list[Numbers], _shape: Shape) -> Numbers | None:
    start, limit, delta = (number.reshape(-1)[0] for number in known)
    return np.arange(start, limit, delta, dtype=known[0].dtype)


def _filled(step: Step, _known: list[Numbers], shape: Shape) -> Numbers | None:
    from onnx import numpy_helper

    tensor = step.attributes.get("value")
    return np.full(shape, 0.0 if tensor is None else numpy_helper.to_array(tensor).reshape(-1)[0])


_OTHERS: dict[str, Callable[[Step, list[Numbers], Shape], Numbers | None]] = {
    "Cast": _cast,
    "Div": _divided,
    "Gather": _gathered,
    "Slice": _sliced,
    "Range": _range,
    "ConstantOfShape": _filled,
    "Concat": lambda step, known, _: np.concatenate(known, axis=step.attributes["axis"]),
    "Expand": lambda _step, known, shape: np.broadcast_to(known[0], shape),
    "Transpose": lambda step, known, _: np.transpose(known[0], step.attributes.get("perm")),
    "Tile": lambda _step, known, _: np.tile(known[0], known[1].tolist()),
}
