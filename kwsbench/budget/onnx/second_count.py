"""The second count of an ONNX graph: the same steps, with shapes from elsewhere and formulas in another wording.

The shapes come from `onnx.shape_inference`, or are those that onnxruntime produced. Products of matrices are counted
from the outputs and the sizes of the weights; what costs so many MACs per element is defined once, in
`kwsbench.budget.onnx.costs`, and differs in the shapes only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kwsbench.budget import costs
from kwsbench.budget.onnx.costs import Results, macs_of, requantised, scaled
from kwsbench.budget.onnx.graph import INTEGERS, KNOWN_ELEMENTS, Graph, Shape, Step, Value
from kwsbench.budget.onnx.operands import Operands, has, operand
from kwsbench.budget.onnx.propagation import Propagation
from kwsbench.budget.onnx.shapes import second
from kwsbench.checkpoint.onnx_file import names

_STAND_INS: dict[str, tuple[str, Sequence[int]]] = {
    "QLinearAdd": ("Add", (0, 3)),
    "QLinearMul": ("Mul", (0, 3)),
    "QLinearAveragePool": ("AveragePool", (0,)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)),
    "QLinearLeakyRelu": ("Identity", (0,)),
    "QLinearSigmoid": ("Identity", (0,)),
    "QLinearSoftmax": ("Identity", (0,)),
    "QLinearConcat": ("Concat", range(2, 1 << 30, 3)),
    "QGemm": ("Gemm", (0, 3)),
}
"""Operators of com.microsoft, which shape inference does not know: one with the same shapes, and its inputs."""

_FOREIGN_ATTRIBUTES = ("channels_last", "opset")


def inferred_shapes(model: Any, graph: Graph, found: Propagation) -> dict[str, Shape]:
    """Returns the shapes that `onnx.shape_inference` finds for a graph with a fixed input.

    It follows the contents of shapes through the graph only where none is long: it would make an object of each number.

    Args:
        model: The `onnx.ModelProto`; it is not changed.
        graph: What was read from it, with the shapes of its inputs.
        found: kwsbench's own values, of which only the sizes are used.

    Returns:
        Shapes by the name of the value; values that inference does not know are left out.

    Raises:
        onnx.shape_inference.InferenceError: The graph contradicts itself.
    """
    from onnx import shape_inference

    twin, follows = _twin(model, graph), not _has_long_contents(graph, found)
    inferred = shape_inference.infer_shapes(twin, strict_mode=True, data_prop=follows).graph
    shapes = {value.name: _shape(value) for value in (*inferred.input, *inferred.value_info, *inferred.output)}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    return {name: shape for name, shape in shapes.items() if shape is not None}


def _has_long_contents(graph: Graph, found: Propagation) -> bool:
    made = (found.values.get(name) for step in graph.steps for name in step.outputs)
    whole = (value for value in made if value is not None and value.data_type in INTEGERS and not value.depends)
    return any(len(value.shape) < 2 and value.elements > KNOWN_ELEMENTS for value in whole)


def _shape(value: Any) -> Shape | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape") or not all(dim.HasField("dim_value") for dim in tensor.shape.dim):
        return None
    return tuple(dim.dim_value for dim in tensor.shape.dim)


def _twin(model: Any, graph: Graph) -> Any:
    # Nothing that the file says of its own shapes may colour what is inferred.
    import onnx

    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    del twin.graph.value_info[:]
    for value in twin.graph.output:
        value.type.tensor_type.ClearField("shape")
    for value in twin.graph.input:
        if value.name in graph.inputs:
            del value.type.tensor_type.shape.dim[:]
            for size in graph.inputs[value.name].shape:
                value.type.tensor_type.shape.dim.add().dim_value = size
    for node in twin.graph.node:
        if node.op_type in _STAND_INS:
            _stand_in(node)
    return twin


def _stand_in(node: Any) -> None:
    node.op_type, chosen = _STAND_INS[node.op_type]
    node.domain = ""
    inputs = [name for position, name in enumerate(node.input) if position in chosen]
    del node.input[:]
    node.input.extend(inputs)
    for attribute in [attribute for attribute in node.attribute if attribute.name in _FOREIGN_ATTRIBUTES]:
        node.attribute.remove(attribute)


def second_macs(step: Step, found: Propagation, shapes: Mapping[str, Shape]) -> int | None:
    """Counts one step with shapes from elsewhere.

    Args:
        step: The step.
        found: kwsbench's own values, of which only the contents and types are used.
        shapes: The shapes to count with.

    Returns:
        MACs; None where a shape that is needed is not among them, or the step has no formula.
    """
    if not all(name in shapes for name in (*step.inputs, step.outputs[0]) if name):
        return None
    operands = [_reshaped(found, name, shapes) for name in step.inputs]
    results = [_reshaped(found, name, shapes) for name in step.outputs[:1]]
    made = [value for value in results if value is not None]
    formula = _OTHER_WORDING.get(step.op)
    return formula(step, operands, made) if formula else macs_of(step, operands, made)


def _reshaped(found: Propagation, name: str, shapes: Mapping[str, Shape]) -> Value | None:
    return replace(found.values[name], shape=shapes[name]) if name else None


def _convolution(step: Step, operands: Operands, results: Results) -> int:
    weight, made = operand(step, operands, second(step)), results[0].shape
    # Every weight is used once at every position of the output.
    return weight.elements * made[0] * math.prod(made[2:]) + requantised(step, results)


def _transposed(step: Step, operands: Operands, _results: Results) -> int:
    weight, read = operand(step, operands, 1), operand(step, operands, 0).shape
    return weight.elements * read[0] * math.prod(read[2:])


def _product(step: Step, operands: Operands, results: Results) -> int:
    # Every output is a sum over the inner axis of the first factor.
    shape, axis = operand(step, operands, 0).shape, 0 if step.attributes.get("transA", 0) else -1
    factors = scaled(step, operands, results) if step.op in {"Gemm", "QGemm"} else 0
    return results[0].elements * shape[axis] + factors + requantised(step, results)


def _recurrent(step: Step, operands: Operands, results: Results) -> int | None:
    if macs_of(step, operands, results) is None:
        return None
    weights = operand(step, operands, 1).elements + operand(step, operands, 2).elements
    shape, (directions, _, hidden) = operand(step, operands, 0).shape, operand(step, operands, 2).shape
    gates = {"LSTM": 6 if has(operands, 7) else 3, "GRU": 2, "RNN": 0}[step.op] * hidden * directions
    return shape[0] * shape[1] * (weights + gates)


def _attention(step: Step, operands: Operands, results: Results) -> int | None:
    if step.attributes.get("softcap", 0.0) or has(operands, 4) or len(results[0].shape) != 4:
        return macs_of(step, operands, results)
    query, keys = operand(step, operands, 0), operand(step, operands, 1).shape[2]
    rows = results[0].elements // results[0].shape[-1]
    return keys * (query.elements + results[0].elements + rows + costs.softmax(rows))


_OTHER_WORDING = {
    **dict.fromkeys(names("Conv ConvInteger QLinearConv"), _convolution),
    "ConvTranspose": _transposed,
    **dict.fromkeys(names("Gemm MatMul MatMulInteger QGemm QLinearMatMul"), _product),
    **dict.fromkeys(names("GRU LSTM RNN"), _recurrent),
    "Attention": _attention,
}
