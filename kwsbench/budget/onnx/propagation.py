"""Shapes of everything in an ONNX graph for one clip, from its input, its weights and its attributes.

This is kwsbench's own propagation: it shares nothing with `onnx.shape_inference`, whose result it is compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from kwsbench.budget.onnx.graph import BOOL, FLOAT, INT32, INT64, UINT8, Graph, Step, Value
from kwsbench.budget.onnx.numbers import numbers_of
from kwsbench.budget.onnx.operands import Operands, UnknownShapeError, contradictions_told, has, operand
from kwsbench.budget.onnx.shapes import RULES
from kwsbench.checkpoint.onnx_file import check_elements, names


@dataclass
class Propagation:
    """Every value of a graph for one clip.

    Attributes:
        values: What is known of each value, by name.
        unknown: Steps whose outputs have no shape before the model runs, and why.
    """

    values: dict[str, Value]
    unknown: dict[str, str] = field(default_factory=dict)

    def operands(self, step: Step) -> list[Value | None]:
        """Returns what is known of a step's inputs; None for inputs that are left out."""
        return [self.values[name] if name else None for name in step.inputs]

    def knows(self, names: Sequence[str]) -> bool:
        """Returns whether the shapes of all these values are known."""
        return all(name in self.values for name in names if name)


def propagate(graph: Graph) -> Propagation:
    """Follows shapes, types and small contents through a graph.

    Raises:
        InputError: A step's inputs do not go together.
        RefusedError: A value would have more than 10^9 elements.
    """
    found = Propagation({**{name: stored.value for name, stored in graph.stored.items()}, **graph.inputs})
    for step in graph.steps:
        if not found.knows(step.inputs):
            continue
        if step.op not in RULES:
            found.unknown[step.name] = "kwsbench has no rule for its shape"
            continue
        try:
            with contradictions_told(step):
                found.values |= _results(step, found.operands(step))
        except UnknownShapeError as error:
            found.unknown[step.name] = str(error)
    return found


def _results(step: Step, operands: list[Value | None]) -> Mapping[str, Value]:
    shapes = RULES[step.op](step, operands)
    depends = step.op not in {"Shape", "Size"} and any(value is not None and value.depends for value in operands)
    results = {}
    for position, (name, shape) in enumerate(zip(step.outputs, shapes, strict=False)):
        check_elements(f"the result of node {step.name!r} ({step.op})", shape)
        known = numbers_of(step, operands, shape) if not position else None
        results[name] = Value(shape, _data_type(step, operands, position), depends, known)
    return {name: value for name, value in results.items() if name}


_FIXED_TYPES = {
    **dict.fromkeys(names("And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or Xor"), BOOL),
    **dict.fromkeys(names("ArgMax ArgMin Shape Size"), INT64),
    **dict.fromkeys(names("ConvInteger MatMulInteger"), INT32),
}
_FURTHER_TYPES = {"TopK": INT64, "MaxPool": INT64, "Dropout": BOOL, "DynamicQuantizeLinear": FLOAT}
_TYPE_ATTRIBUTE = {
    **dict.fromkeys(names("BitCast Cast"), "to"),
    **dict.fromkeys(names("EyeLike RandomNormal RandomUniform"), "dtype"),
    **dict.fromkeys(names("BlackmanWindow HammingWindow HannWindow MelWeightMatrix"), "output_datatype"),
}
_TYPE_INPUT = {
    **dict.fromkeys(names("CastLike DequantizeLinear Where"), 1),
    **dict.fromkeys(names("OneHot QLinearConcat"), 2),
    **dict.fromkeys(names("QLinearAdd QLinearConv QLinearMatMul QLinearMul"), 7),
}


def _data_type(step: Step, operands: Operands, position: int) -> int:
    if step.op in _FIXED_TYPES:
        return _FIXED_TYPES[step.op]
    if position == 1 and step.op in _FURTHER_TYPES:
        return _FURTHER_TYPES[step.op]
    if step.op in _TYPE_ATTRIBUTE:
        return int(step.attributes.get(_TYPE_ATTRIBUTE[step.op], FLOAT))
    if step.op in _CHOSEN_TYPES:
        return _CHOSEN_TYPES[step.op](step, operands)
    return operand(step, operands, _TYPE_INPUT.get(step.op, 0)).data_type


def _quantised_type(step: Step, operands: Operands) -> int:
    if has(operands, 2):
        return operand(step, operands, 2).data_type
    return int(step.attributes.get("output_dtype", 0)) or UINT8


_CHOSEN_TYPES: dict[str, Callable[[Step, Operands], int]] = {
    "QuantizeLinear": _quantised_type,
    "DynamicQuantizeLinear": lambda _step, _operands: UINT8,
    "QGemm": lambda step, operands: operand(step, operands, 8).data_type if has(operands, 8) else FLOAT,
    "ConstantOfShape": lambda step, _: int(step.attributes["value"].data_type) if "value" in step.attributes else FLOAT,
}
