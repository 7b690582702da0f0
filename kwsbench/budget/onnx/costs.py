"""What one ONNX node multiplies, by the definitions of `kwsbench.budget.costs`, from the shapes of its inputs.

The formulas come in two wordings for everything that multiplies matrices: here from the inputs, and in
`second_count` from the outputs and the sizes of the weights, so that a slip in one shows in the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from kwsbench.budget import costs
from kwsbench.budget.onnx.einsum import equation_of
from kwsbench.budget.onnx.graph import Step, Value
from kwsbench.budget.onnx.operands import Operands, has, integers, operand
from kwsbench.budget.onnx.shapes import attention_sizes, dft_axis, second
from kwsbench.checkpoint.onnx_file import names

Results = Sequence[Value]
Formula = Callable[[Step, Operands, Results], int]

FREE = names("""
    Abs Add And ArgMax ArgMin BitCast BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast CastLike Ceil Celu
    Clip Concat ConstantOfShape CumSum DepthToSpace Elu Equal Erf Expand EyeLike Flatten Floor Gather
    GatherElements GatherND GlobalMaxPool Greater GreaterOrEqual HammingWindow HannWindow HardSigmoid Hardmax Identity
    IsInf IsNaN Less LessOrEqual Max MaxPool MelWeightMatrix Min Neg Not OneHot Or Pad RandomNormal RandomNormalLike
    RandomUniform RandomUniformLike Range ReduceL1 ReduceMax ReduceMin ReduceSum Relu Reshape ReverseSequence Round
    Scatter Shape Shrink Sigmoid Sign Size Slice Softplus SpaceToDepth Split Squeeze Sub Sum
    Tanh TensorScatter ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Where Xor
""")
"""Operators that multiply nothing: they add, compare, move, or look up a small table."""

PER_OUTPUT = {
    **dict.fromkeys(names("Acos Acosh Asin Asinh Atan Atanh Cos Cosh Sin Sinh Tan"), 1),
    **dict.fromkeys(names("BitShift Div Exp Log Mod Mul Pow Reciprocal Softsign Sqrt"), 1),
    **dict.fromkeys(names("Gelu HardSwish LeakyRelu Mish PRelu Selu Swish"), 1),
    **dict.fromkeys(names("AveragePool GlobalAveragePool Mean ReduceLogSum ReduceMean"), 1),
    **dict.fromkeys(names("DynamicQuantizeLinear QuantizeLinear"), 1),
    **dict.fromkeys(names("QLinearAdd QLinearConcat QLinearSigmoid"), 1),
    **dict.fromkeys(names("QLinearAveragePool QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul"), 2),
    "QLinearSoftmax": 3,
    "LRN": 4,
}
"""MACs per output element. An operator of com.microsoft quantises its result: 1 more than the same in floats."""

PER_INPUT = dict.fromkeys(names("CumProd ReduceProd ReduceSumSquare"), 1)
"""MACs per input element."""

_SUMS_OF_SQUARES = names("GlobalLpPool ReduceL2 ReduceLogSumExp")
_SCALED_NORMS = names("GroupNormalization InstanceNormalization LayerNormalization RMSNormalization")
_FREE_GATES = names("elu hardsigmoid relu sigmoid softplus tanh")
_DIMENSIONS = ("nearest", "linear", "bilinear", "trilinear")


def macs_of(step: Step, operands: Operands, results: Results) -> int | None:
    """Returns the MACs of a step whose inputs depend on the model's input, or None where it has no formula.

    Args:
        step: The step.
        operands: What it reads.
        results: What it makes.
    """
    if step.op in FREE:
        return 0
    if step.op in PER_OUTPUT:
        return costs.per_element(results[0].elements, multiplications=PER_OUTPUT[step.op])
    if step.op in PER_INPUT:
        return costs.per_element(operand(step, operands, 0).elements, multiplications=PER_INPUT[step.op])
    return FORMULAS[step.op](step, operands, results) if step.op in FORMULAS else None


def _convolution(step: Step, operands: Operands, results: Results) -> int:
    _, channels_per_group, *kernel = operand(step, operands, second(step)).shape
    return costs.convolution(results[0].elements, channels_per_group, math.prod(kernel)) + requantised(step, results)


def _transposed(step: Step, operands: Operands, _results: Results) -> int:
    _, channels_per_group, *kernel = operand(step, operands, 1).shape
    return costs.transposed_convolution(operand(step, operands, 0).elements, channels_per_group, math.prod(kernel))


def _matmul(step: Step, operands: Operands, results: Results) -> int:
    left, right = operand(step, operands, 0).shape, operand(step, operands, second(step)).shape
    rows, columns = (left[-2] if len(left) > 1 else 1), (right[-1] if len(right) > 1 else 1)
    batch = [max(pair) for pair in _aligned(left[:-2], right[:-2])]
    return costs.matrix_product(math.prod(batch), rows, left[-1], columns) + requantised(step, results)


def _aligned(left: Sequence[int], right: Sequence[int]) -> list[tuple[int, int]]:
    rank = max(len(left), len(right))
    return list(zip([1] * (rank - len(left)) + [*left], [1] * (rank - len(right)) + [*right], strict=True))


def _gemm(step: Step, operands: Operands, results: Results) -> int:
    left, right = operand(step, operands, 0).shape, operand(step, operands, second(step)).shape
    rows, inner = reversed(left) if step.attributes.get("transA", 0) else left
    columns = right[0] if step.attributes.get("transB", 0) else right[1]
    return costs.matrix_product(1, rows, inner, columns) + scaled(step, operands, results) + requantised(step, results)


def scaled(step: Step, operands: Operands, results: Results) -> int:
    """Returns what the factors alpha and beta of a Gemm multiply."""
    elements = results[0].elements
    beta = step.attributes.get("beta", 1.0) if step.op == "Gemm" and has(operands, 2) else 1.0
    return costs.scaling(step.attributes.get("alpha", 1.0), elements) + costs.scaling(beta, elements)


def requantised(step: Step, results: Results) -> int:
    """Returns what an integer operator multiplies to bring its result to 8 bits; nothing for other operators."""
    return costs.quantisation(results[0].elements) if step.op.startswith("Q") else 0


def _recurrent(step: Step, operands: Operands, _results: Results) -> int | None:
    if not {name.lower() for name in step.attributes.get("activations", ())} <= _FREE_GATES:
        return None
    shape, (directions, _, hidden) = operand(step, operands, 0).shape, operand(step, operands, 2).shape
    steps, inputs = shape[0] * shape[1], shape[2]
    if step.op == "LSTM":
        peepholes = costs.lstm_gates(hidden) * steps if has(operands, 7) else 0
        return directions * (costs.lstm_layer(inputs, hidden, steps) + peepholes)
    return directions * (costs.gru_layer if step.op == "GRU" else costs.rnn_layer)(inputs, hidden, steps)


def _einsum(step: Step, operands: Operands, _results: Results) -> int:
    return equation_of(step, [operand(step, operands, i).shape for i in range(len(operands))]).macs


def _attention(step: Step, operands: Operands, _results: Results) -> int:
    a = attention_sizes(step, operands)
    scores = a.batch * a.heads * a.queries * a.keys
    softcap = scores if step.attributes.get("softcap", 0.0) else 0
    return costs.attention(a.batch * a.heads, a.queries, a.keys, a.key_width, a.value_width) + softcap


def _batch_norm(step: Step, operands: Operands, _results: Results) -> int:
    elements = operand(step, operands, 0).elements
    if step.attributes.get("training_mode", 0):
        return costs.normalisation(elements, scaled=True)
    return costs.batch_normalisation(elements)


def _scaled_norm(step: Step, operands: Operands, _results: Results) -> int:
    return costs.normalisation(operand(step, operands, 0).elements, scaled=True)


def _sum_of_squares(step: Step, operands: Operands, results: Results) -> int:
    return costs.sum_of_squares(operand(step, operands, 0).elements, results[0].elements)


def _lp_pool(step: Step, _operands: Operands, results: Results) -> int:
    window = math.prod(step.attributes.get("kernel_shape", ()))
    return costs.sum_of_squares(results[0].elements * window, results[0].elements)


def _lp_norm(step: Step, operands: Operands, results: Results) -> int:
    shape = operand(step, operands, 0).shape
    groups = results[0].elements // max(shape[step.attributes.get("axis", -1)], 1)
    return costs.sum_of_squares(results[0].elements, groups) + costs.per_element(results[0].elements)


def _resize(step: Step, operands: Operands, results: Results) -> int | None:
    before, after = operand(step, operands, 0).shape, results[0].shape
    resized = sum(old != new for old, new in zip(before, after, strict=True))
    mode = step.attributes.get("mode", "nearest")
    if step.attributes.get("antialias", 0) and mode != "nearest":
        return None  # its kernel grows with the factor
    if mode == "cubic" and resized <= 2:
        return costs.interpolation(results[0].elements, "bicubic")
    if mode != "nearest" and (mode != "linear" or resized >= len(_DIMENSIONS)):
        return None
    return costs.interpolation(results[0].elements, _DIMENSIONS[resized] if mode == "linear" else mode)


def _scatter(step: Step, operands: Operands, _results: Results) -> int:
    multiplies = step.attributes.get("reduction", "none") == "mul"
    return costs.per_element(operand(step, operands, 2).elements) if multiplies else 0


def _dropout(_step: Step, operands: Operands, _results: Results) -> int | None:
    training = operands[2] if has(operands, 2) else None
    is_off = training is None or (training.numbers is not None and not training.numbers.any())
    return 0 if is_off else None


def _stft(step: Step, operands: Operands, results: Results) -> int:
    batch, frames = results[0].shape[:2]
    points = integers(step, operands, 3)[0] if has(operands, 3) else operand(step, operands, 2).elements
    is_complex = operand(step, operands, 0).shape[2:] == (2,)
    windowed = (
        batch * frames * points * (costs.COMPLEX_BY_REAL if is_complex else costs.REAL) if has(operands, 2) else 0
    )
    return costs.fourier_transform(points, batch * frames, real=not is_complex) + windowed


def _dft(step: Step, operands: Operands, _results: Results) -> int:
    shape, axis = operand(step, operands, 0).shape, dft_axis(step, operands)
    points = integers(step, operands, 1)[0] if has(operands, 1) else shape[axis]
    transforms = math.prod(shape[:axis]) * math.prod(shape[axis + 1 : -1])
    return costs.fourier_transform(points, transforms, real=shape[-1] == 1)


FORMULAS: dict[str, Callable[[Step, Operands, Results], int | None]] = {
    **dict.fromkeys(names("Conv ConvInteger QLinearConv"), _convolution),
    "ConvTranspose": _transposed,
    **dict.fromkeys(names("MatMul MatMulInteger QLinearMatMul"), _matmul),
    **dict.fromkeys(names("Gemm QGemm"), _gemm),
    **dict.fromkeys(names("GRU LSTM RNN"), _recurrent),
    "Einsum": _einsum,
    "Attention": _attention,
    "BatchNormalization": _batch_norm,
    **dict.fromkeys(_SCALED_NORMS, _scaled_norm),
    "MeanVarianceNormalization": lambda _s, _o, results: costs.normalisation(results[0].elements, scaled=False),
    "Softmax": lambda _s, _o, results: costs.softmax(results[0].elements),
    "LogSoftmax": lambda _s, _o, results: costs.log_softmax(results[0].elements),
    **dict.fromkeys(_SUMS_OF_SQUARES, _sum_of_squares),
    "LpPool": _lp_pool,
    "LpNormalization": _lp_norm,
    **dict.fromkeys(names("Resize Upsample"), _resize),
    "DequantizeLinear": lambda _s, _o, results: costs.quantisation(results[0].elements),
    **dict.fromkeys(names("ScatterElements ScatterND"), _scatter),
    "Dropout": _dropout,
    "STFT": _stft,
    "DFT": _dft,
}
"""What needs more than a number of elements."""
