"""An ONNX graph as the budget reads it: steps, the tensors stored in it, and its inputs for one clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.checkpoint.onnx_file import bits_of, check_elements, elements_of, names, operator_set
from kwsbench.errors import InputError

Shape = tuple[int, ...]

FLOAT, UINT8, INT32, INT64, BOOL, DOUBLE = 1, 2, 6, 7, 9, 11
INTEGERS = frozenset({2, 3, 4, 5, 6, 7, 12, 13, 21, 22, 25, 26})
KNOWN_ELEMENTS = 1024
"""Tensors of at most that many numbers are followed by value: shapes, axes, sizes."""

_MOVING = names("""
    Cast Clip Concat Expand Flatten Gather Identity MaxPool Pad Relu Reshape Slice Split Squeeze Transpose Unsqueeze
""")


@dataclass(frozen=True)
class Value:
    """What is known of a tensor before anything runs.

    Attributes:
        shape: Its shape.
        data_type: Its `onnx.TensorProto.DataType`.
        depends: Whether its contents depend on the model's input.
        numbers: Its contents, where they are few and do not depend on the input.
    """

    shape: Shape
    data_type: int
    depends: bool = False
    numbers: NDArray[Any] | None = None

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return elements_of(self.shape)

    @property
    def bits(self) -> int:
        """Bits of one number."""
        return bits_of(self.data_type)

    @property
    def num_bytes(self) -> int:
        """Bytes of all of it, with numbers below a byte packed."""
        return -(-self.elements * self.bits // 8)


@dataclass(frozen=True)
class Step:
    """One node.

    Attributes:
        op: Its operator; names of com.microsoft are distinct from the standard's.
        name: Its name, which no other step has.
        inputs: Names of what it reads; empty for an input that is left out.
        outputs: Names of what it makes; empty for an output that is left out.
        attributes: Its attributes as Python values; a tensor stays a `TensorProto`.
        opset: Version of the standard operators.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    opset: int = 20


@dataclass(frozen=True)
class Stored:
    """One tensor that is stored in the file.

    Attributes:
        name: Its name; for a constant in a node, the name of the node's output.
        value: Its shape and type, and its contents where they are few.
        elements: Numbers that are stored for it; for a sparse tensor its values and their indices.
        num_bytes: Their bytes at their stored width.
    """

    name: str
    value: Value
    elements: int
    num_bytes: int


@dataclass(frozen=True)
class Graph:
    """A graph in the order of its nodes.

    Attributes:
        steps: Its nodes, without those that only hold constants.
        inputs: Its inputs with the shape of one clip.
        stored: Initialisers and constants in nodes, by name.
        outputs: Names of its outputs.
    """

    steps: tuple[Step, ...]
    inputs: Mapping[str, Value]
    stored: Mapping[str, Stored]
    outputs: tuple[str, ...]

    @cached_property
    def makers(self) -> Mapping[str, Step]:
        """The step that makes each value, by the value's name."""
        return {name: step for step in self.steps for name in step.outputs if name}

    def moved_from(self, name: str) -> str:
        """Returns the value that a value shows moved about, converted or cut off; itself where it is computed."""
        return self._moved.get(name, name)

    @cached_property
    def _moved(self) -> Mapping[str, str]:
        moved: dict[str, str] = {}
        for step in self.steps:
            if step.op in _MOVING:
                moved |= dict.fromkeys(step.outputs, moved.get(step.inputs[0], step.inputs[0]))
        return moved


def read_graph(model: Any, input_shape: Shape | None) -> Graph:
    """Reads an `onnx.ModelProto` that `load_graph` returned.

    Args:
        model: The model.
        input_shape: Shape of its first input, batch first; needed where an axis other than the first is not fixed.

    Raises:
        InputError: `input_shape` is needed, or contradicts the model.
    """
    proto = model.graph
    opset = operator_set(model)
    stored = {tensor.name: _stored(tensor.name, tensor) for tensor in proto.initializer}
    stored |= {sparse.values.name: _stored_sparse(sparse.values.name, sparse) for sparse in proto.sparse_initializer}
    steps: list[Step] = []
    taken: set[str] = set()
    for index, node in enumerate(proto.node):
        step = _step(node, index, opset, taken)
        taken.add(step.name)
        if step.op == "Constant":
            stored[step.outputs[0]] = _stored_constant(step)
        else:
            steps.append(step)
    inputs = [value for value in proto.input if value.name not in stored]
    shapes = _input_shapes(inputs, input_shape)
    values = {
        v.name: Value(shape, v.type.tensor_type.elem_type, depends=True)
        for v, shape in zip(inputs, shapes, strict=True)
    }
    return Graph(tuple(steps), values, stored, tuple(value.name for value in proto.output))


def _step(node: Any, index: int, opset: int, taken: set[str]) -> Step:
    from onnx.helper import get_attribute_value

    attributes = {a.name: _plain(get_attribute_value(a)) for a in node.attribute}
    name = node.name or node.op_type
    while name in taken:  # costs are kept by name, and a file may give one name twice
        name = f"{name}#{index}"
    return Step(node.op_type, name, tuple(node.input), tuple(node.output), attributes, opset)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(part) for part in value]
    return value


def _stored(name: str, tensor: Any) -> Stored:
    from onnx import numpy_helper

    dims = tuple(tensor.dims)
    elements = elements_of(dims)
    numbers = numpy_helper.to_array(tensor) if elements <= KNOWN_ELEMENTS else None
    value = Value(dims, tensor.data_type, numbers=numbers)
    return Stored(name, value, elements, value.num_bytes)


def _stored_sparse(name: str, sparse: Any) -> Stored:
    value = Value(tuple(sparse.dims), sparse.values.data_type)
    held, indices = Value(tuple(sparse.values.dims), value.data_type), Value(tuple(sparse.indices.dims), INT64)
    return Stored(name, value, held.elements + indices.elements, held.num_bytes + indices.num_bytes)


def _stored_constant(step: Step) -> Stored:
    name, attributes = step.outputs[0], step.attributes
    if "value" in attributes:
        return _stored(name, attributes["value"])
    if "sparse_value" in attributes:
        return _stored_sparse(name, attributes["sparse_value"])
    for key, (data_type, dtype) in {"float": (FLOAT, np.float32), "int": (INT64, np.int64)}.items():
        for content in (attributes.get(f"value_{key}"), attributes.get(f"value_{key}s")):
            if content is not None:
                numbers = np.asarray(content, dtype=dtype)
                value = Value(numbers.shape, data_type, numbers=numbers if numbers.size <= KNOWN_ELEMENTS else None)
                return Stored(name, value, value.elements, value.num_bytes)
    raise InputError(f"the constant {step.name!r} holds no numbers; export the model without text")


def _input_shapes(inputs: Sequence[Any], given: Shape | None) -> list[Shape]:
    if not inputs:
        raise InputError("the model has no input: what it says cannot depend on the audio")
    declared = [_declared(value) for value in inputs]
    shapes = [_fixed(inputs[0].name, declared[0], given)]
    shapes += [_fixed(value.name, dims, None) for value, dims in zip(inputs[1:], declared[1:], strict=True)]
    for value, shape in zip(inputs, shapes, strict=True):
        check_elements(f"the input {value.name!r}", shape)
    return shapes


def _declared(value: Any) -> tuple[int | None, ...] | None:
    if not value.type.HasField("tensor_type"):
        raise InputError(f"the input {value.name!r} of the model is no tensor; export it with tensors only")
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in tensor.shape.dim)


def _fixed(name: str, dims: tuple[int | None, ...] | None, given: Shape | None) -> Shape:
    if given is not None:
        return _given(name, dims, given)
    if dims is not None and None not in dims[1:]:
        return tuple(size or 1 for size in dims)
    shown = "unknown" if dims is None else f"({', '.join('?' if size is None else str(size) for size in dims)})"
    example = (
        "1,64,101" if dims is None else ",".join(str(size or (101 if axis else 1)) for axis, size in enumerate(dims))
    )
    raise InputError(
        f"the input {name!r} has the shape {shown}, which is not fixed; say what one second of audio is, such as `--input-shape {example}`"
    )


def _given(name: str, dims: tuple[int | None, ...] | None, given: Shape) -> Shape:
    matches = dims is None or (
        len(dims) == len(given) and all(size in {None, asked} for size, asked in zip(dims, given, strict=True))
    )
    if not matches or min(given, default=1) < 1:
        shown = "any" if dims is None else ", ".join("?" if size is None else str(size) for size in dims)
        raise InputError(f"the input {name!r} has the shape ({shown}), and {given} does not fit it")
    return given
