"""ONNX models of strangers: parsed from bytes, and refused where running or counting them would be unsafe.

What passes has no data outside the file, no control flow, no functions of its own and no operator outside two lists;
every tensor holds as many numbers as it promises; and every value is made once, before it is used. Unknown fields are
dropped, so that what is counted and what is run are the same thing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kwsbench.checkpoint.header import ModelHeader
from kwsbench.checkpoint.header_reading import parse_header
from kwsbench.checkpoint.onnx_wire import check_wire
from kwsbench.errors import InputError, RefusedError
from kwsbench.extras import import_extra


def names(text: str) -> frozenset[str]:
    """Returns the operators that a text lists, parted by white space."""
    return frozenset(text.split())


METADATA_KEY = "kwsbench"
MAX_ELEMENTS = 10**9
MAX_NODES = 50_000
MAX_HEADER_CHARACTERS = 1 << 20
OLDEST_OPSET = 7

STANDARD_DOMAINS = ("", "ai.onnx")
STANDARD_OPERATORS = names("""
    Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization
    Bernoulli BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast CastLike
    CausalConvWithState Ceil Celu CenterCropPad Clip Col2Im Compress Concat Constant ConstantOfShape Conv ConvInteger
    ConvTranspose Cos Cosh CumProd CumSum DFT DeformConv DepthToSpace DequantizeLinear Det Div Dropout
    DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu
    Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization
    HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN LSTM
    LayerNormalization LeakyRelu Less LessOrEqual LinearAttention Log LogSoftmax LpNormalization LpPool MatMul
    MatMulInteger Max MaxPool MaxRoiPool MaxUnpool Mean MeanVarianceNormalization MelWeightMatrix Min Mish Mod Mul
    Multinomial Neg NonMaxSuppression NonZero Not OneHot Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear
    RMSNormalization RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1
    ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu
    Reshape Resize ReverseSequence RoiAlign RotaryEmbedding Round STFT Scatter ScatterElements ScatterND Selu Shape
    Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum SwiGLU
    Swish Tan Tanh TensorScatter ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze Upsample Where Xor
""")
"""Operators of the standard that compute on tensors and nothing else: no control flow, sequences, text or images."""

MICROSOFT_DOMAIN = "com.microsoft"
MICROSOFT_OPERATORS = names("""
    QGemm QLinearAdd QLinearAveragePool QLinearConcat QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul
    QLinearSigmoid QLinearSoftmax
""")
"""The operators that onnxruntime's static quantisation writes (format QOperator)."""

_FLOAT, _INT, _STRING, _INTS = 1, 2, 3, 7  # onnx.AttributeProto.AttributeType
MICROSOFT_ATTRIBUTES = {
    **dict.fromkeys(names("alpha"), _FLOAT),
    **dict.fromkeys(names("axis ceil_mode channels_last count_include_pad opset storage_order transA transB"), _INT),
    **dict.fromkeys(names("auto_pad"), _STRING),
    **dict.fromkeys(names("dilations kernel_shape pads strides"), _INTS),
}
"""Attributes of those operators, with their types; the checker of onnx does not know them."""

_CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")
_SHAPE_INPUT = {"ConstantOfShape": 0, "Expand": 1, "Resize": 3, "OneHot": 1}
_FACTOR_INPUT = {"Tile": 1}
_BITS = {  # onnx.TensorProto.DataType; 8 is text, 0 is undefined
    1: 32,
    2: 8,
    3: 8,
    4: 16,
    5: 16,
    6: 32,
    7: 64,
    9: 8,
    10: 16,
    11: 64,
    12: 32,
    13: 64,
    14: 64,
    15: 128,
    16: 16,
    17: 8,
    18: 8,
    19: 8,
    20: 8,
    21: 4,
    22: 4,
    23: 4,
    24: 8,
    25: 2,
    26: 2,
}
_FIELD_OF = {  # where a tensor without raw_data keeps its numbers, and how many entries one number takes
    **dict.fromkeys((1,), ("float_data", 1)),
    **dict.fromkeys((14,), ("float_data", 2)),
    **dict.fromkeys((11,), ("double_data", 1)),
    **dict.fromkeys((15,), ("double_data", 2)),
    **dict.fromkeys((7,), ("int64_data", 1)),
    **dict.fromkeys((12, 13), ("uint64_data", 1)),
}


def bits_of(data_type: int) -> int:
    """Returns the bits of one number of an ONNX data type, such as 32 for `TensorProto.FLOAT`; complex ones count both parts.

    Raises:
        InputError: It is no type of numbers.
    """
    if data_type not in _BITS:
        raise InputError(f"the model holds data of type {data_type}, which are no numbers that kwsbench knows")
    return _BITS[data_type]


def elements_of(dims: Iterator[int] | tuple[int, ...]) -> int:
    """Returns how many elements a tensor of these dimensions has; negative dimensions raise InputError."""
    sizes = tuple(dims)
    if any(size < 0 for size in sizes):
        raise InputError(f"a tensor of the model has the dimensions {sizes}, and one of them is negative")
    return math.prod(sizes)


def check_elements(what: str, dims: tuple[int, ...]) -> None:
    """Raises RefusedError where a tensor would have more than 10^9 elements; allocates nothing."""
    if (count := elements_of(dims)) > MAX_ELEMENTS:
        raise RefusedError(f"{what} would have {count:,} elements, more than the {MAX_ELEMENTS:,} that are allowed")


def load_graph(data: bytes, name: str) -> Any:
    """Returns the `onnx.ModelProto` of a file, after every check that needs no input shape.

    Args:
        data: The file, whole.
        name: The file as messages shall call it.

    Raises:
        InputError: It is no ONNX model, cut off, or contradicts itself.
        RefusedError: It has external data, control flow, functions, foreign operators, or tensors of absurd size.
    """
    onnx = import_extra("onnx", "onnx")
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # protobuf has no types of its own

    check_wire(data, onnx.ModelProto.DESCRIPTOR, name)
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise InputError(f"{name} is no ONNX model: {str(error).lower() or 'it cannot be decoded'}") from error
    model.DiscardUnknownFields()
    _check_model(model, name)
    _check_tensors(model, name)
    _check_nodes(model, name)
    _check_order(model.graph, name)
    return model


def operator_set(model: Any) -> int:
    """Returns the version of the standard operators that an `onnx.ModelProto` uses; 0 where it does not say one."""
    versions = [entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS]
    return int(versions[0]) if len(versions) == 1 else 0


def header_of(model: Any, name: str) -> ModelHeader | None:
    """Returns what an export of kwsbench says of itself, or None for other models.

    Raises:
        InputError: It carries a header that this kwsbench does not read, one of absurd length, or two of them.
    """
    texts = [entry.value for entry in model.metadata_props if entry.key == METADATA_KEY]
    if not texts:
        return None
    if len(texts) > 1:
        raise InputError(f"{name} has {len(texts)} headers of kwsbench, expected one; export it again")
    if len(texts[0]) > MAX_HEADER_CHARACTERS:
        raise InputError(
            f"the header of {name} has {len(texts[0]):,} characters, expected {MAX_HEADER_CHARACTERS:,} at most"
        )
    return parse_header(Path(name), texts[0], ModelHeader)


def _check_model(model: Any, name: str) -> None:
    import onnx

    if not model.ir_version or not model.opset_import or not model.graph.output:
        raise InputError(f"{name} is no ONNX model: it has no version, no operator set or no graph with an output")
    if model.functions:
        raise RefusedError(
            f"{name} defines functions of its own, such as {model.functions[0].name!r}; inline them with `onnx.inliner.inline_local_functions` and save it again"
        )
    if len(model.training_info):
        raise RefusedError(f"{name} carries a training graph; export it for inference")
    versions = [entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS]
    newest = onnx.defs.onnx_opset_version()
    if len(versions) != 1 or not OLDEST_OPSET <= versions[0] <= newest:
        found = " and ".join(map(str, versions)) or "none"
        raise InputError(
            f"{name} uses operator set {found}, expected one from {OLDEST_OPSET} to {newest}; export it again with `opset_version=20`"
        )


def _check_tensors(model: Any, name: str) -> None:
    for tensor in _tensors(model):
        _check_inside(tensor, name)
        _check_complete(tensor, name)
    for sparse in model.graph.sparse_initializer:
        check_elements(f"the tensor {sparse.values.name!r} of {name}", tuple(sparse.dims))


def _tensors(message: Any) -> Iterator[Any]:
    # Wherever a tensor can stand: initialisers, attributes, sparse parts, and places that later versions add.
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if field.is_repeated else (value,):
                yield from _tensors(part)


def _check_inside(tensor: Any, name: str) -> None:
    if not tensor.data_location and not tensor.external_data:
        return
    places = [entry.value for entry in tensor.external_data if entry.key == "location"]
    raise RefusedError(
        f"{name} keeps the tensor {tensor.name!r} in another file ({', '.join(map(repr, places)) or 'unnamed'}); save it as one file with `onnx.save(model, path, save_as_external_data=False)`"
    )


def _check_complete(tensor: Any, name: str) -> None:
    what = f"the tensor {tensor.name!r} of {name}"
    check_elements(what, tuple(tensor.dims))
    if tensor.HasField("segment"):
        raise RefusedError(f"{what} is only a segment of one; save the model again")
    promised, held = elements_of(tensor.dims), _held_elements(tensor)
    if promised != held:
        raise RefusedError(f"{what} promises {promised:,} numbers and holds {held:,}")


def _held_elements(tensor: Any) -> int:
    bits, (field, entries) = bits_of(tensor.data_type), _FIELD_OF.get(tensor.data_type, ("int32_data", 1))
    per_byte = max(8 // bits, 1)
    raw, typed = len(tensor.raw_data) * 8 // bits, len(getattr(tensor, field)) // entries * per_byte
    filling = -elements_of(tensor.dims) % per_byte  # of the last byte
    return max(raw + typed - filling, 0)


def _check_nodes(model: Any, name: str) -> None:
    graph, context = model.graph, _checker_of(model)
    if len(graph.node) > MAX_NODES:
        raise RefusedError(f"{name} has {len(graph.node):,} nodes, more than the {MAX_NODES:,} that are allowed")
    contents = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        _check_operator(node, name)
        _check_form(node, context, name)
        if node.op_type == "Constant":
            contents.update((node.output[0], a.t) for a in node.attribute if a.name == "value" and node.output)
        _check_made_size(node, contents, name)


def _check_operator(node: Any, name: str) -> None:
    what = f"{name} uses the operator {node.op_type!r}"
    if node.domain in STANDARD_DOMAINS and node.op_type in _CONTROL_FLOW:
        raise RefusedError(
            f"{what} in node {node.name!r}: control flow has no cost that can be stated; export it without"
        )
    if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
        raise RefusedError(f"{what} with a graph of its own in node {node.name!r}; export it without control flow")
    if any(attribute.ref_attr_name for attribute in node.attribute):
        raise RefusedError(f"{what} with an attribute of a function that is not there in node {node.name!r}")
    if node.domain == "ai.onnx.ml":
        raise RefusedError(
            f"{what} of ai.onnx.ml: trees and other classical models are read as LightGBM text models only"
        )
    allowed = {MICROSOFT_DOMAIN: MICROSOFT_OPERATORS, **dict.fromkeys(STANDARD_DOMAINS, STANDARD_OPERATORS)}
    if node.op_type not in allowed.get(node.domain, ()):
        domain = f" of {node.domain}" if node.domain else ""
        raise RefusedError(
            f"{what}{domain} in node {node.name!r}, which is not on the list of operators that kwsbench runs; export it with standard operators and save it before onnxruntime optimises it"
        )


def _checker_of(model: Any) -> Any:
    # Of inputs, attributes and their types against the standard: native code reads them without looking.
    from onnx import checker

    context = checker.C.CheckerContext()
    context.ir_version = model.ir_version
    context.opset_imports = {entry.domain: entry.version for entry in model.opset_import} | dict.fromkeys(
        STANDARD_DOMAINS, operator_set(model)
    )
    return context


def _check_form(node: Any, context: Any, name: str) -> None:
    from onnx import checker

    what = f"{name} is no valid ONNX model: node {node.name or node.op_type!r} ({node.op_type})"
    strange = [a.name for a in node.attribute if MICROSOFT_ATTRIBUTES.get(a.name) != a.type]
    if node.domain == MICROSOFT_DOMAIN and strange:
        raise InputError(f"{what} has an attribute {strange[0]!r} that it should not have")
    try:
        checker.check_node(node, context)
    except checker.ValidationError as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise InputError(f"{what}: {reason}") from error


def _check_made_size(node: Any, contents: dict[str, Any], name: str) -> None:
    # What constants alone decide; sizes that other nodes compute are checked once the input's shape is known.
    what = f"the result of node {node.name or node.op_type!r} of {name}"
    for table in (_SHAPE_INPUT, _FACTOR_INPUT):
        position = table.get(node.op_type, len(node.input))
        if position < len(node.input) and (sizes := _integers(contents.get(node.input[position]))):
            check_elements(what, tuple(max(size, 1) for size in sizes))
    for attribute in node.attribute:
        if attribute.name == "shape" and attribute.ints:
            check_elements(what, tuple(attribute.ints))
    if node.op_type == "Range" and all(len(_integers(contents.get(source))) == 1 for source in node.input):
        start, limit, delta = (_integers(contents[source])[0] for source in node.input)
        check_elements(what, (len(range(start, limit, delta or 1)),))


def _integers(tensor: Any) -> list[int]:
    from onnx import numpy_helper

    if tensor is None or tensor.data_type not in (6, 7) or elements_of(tensor.dims) > 64:
        return []
    return [int(number) for number in numpy_helper.to_array(tensor).reshape(-1)]


def _check_order(graph: Any, name: str) -> None:
    stored = [tensor.name for tensor in graph.initializer] + [t.values.name for t in graph.sparse_initializer]
    made = {*stored, *(value.name for value in graph.input)}
    if "" in made or len(set(stored)) < len(stored):
        raise InputError(f"{name} is no valid ONNX model: two stored tensors have one name, or one has none")
    for node in graph.node:
        if missing := [source for source in node.input if source and source not in made]:
            raise InputError(
                f"{name} is no valid ONNX model: node {node.name or node.op_type!r} reads {missing[0]!r}, which nothing before it makes"
            )
        outputs = [output for output in node.output if output]
        if len(set(outputs)) < len(outputs) or made & set(outputs):
            raise InputError(f"{name} is no valid ONNX model: {(made & set(outputs)) or outputs} is made twice")
        made |= set(outputs)
    if missing := [value.name for value in graph.output if value.name not in made]:
        raise InputError(f"{name} is no valid ONNX model: nothing makes its output {missing[0]!r}")
