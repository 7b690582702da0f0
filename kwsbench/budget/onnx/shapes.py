"""Shapes of what computes: convolutions, products, pooling, reductions, norms, recurrent layers, transforms.

Source: the operator reference of ONNX, https://onnx.ai/onnx/operators/, operator sets 7 to 28.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kwsbench.budget.onnx.einsum import equation_of
from kwsbench.budget.onnx.graph import Shape, Step
from kwsbench.budget.onnx.movement import RULES as MOVEMENT
from kwsbench.budget.onnx.movement import Rule, Shapes
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
from kwsbench.checkpoint.onnx_file import names

_SAME = names("""
    Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast CastLike Ceil Celu Clip Cos Cosh CumProd CumSum
    DequantizeLinear Elu Erf Exp EyeLike Floor Gelu GroupNormalization HardSigmoid HardSwish Hardmax Identity
    InstanceNormalization IsInf IsNaN LRN LeakyRelu Log LogSoftmax LpNormalization MeanVarianceNormalization Mish Neg
    Not PRelu QLinearLeakyRelu QLinearSigmoid QLinearSoftmax QuantizeLinear RMSNormalization RandomNormalLike
    RandomUniformLike Reciprocal Relu ReverseSequence Round Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign
    Sqrt Swish Tan Tanh ThresholdedRelu Trilu
""")
_BROADCAST = names("""
    Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod
    Mul Or Pow Sub Sum Where Xor
""")
_REDUCTIONS = names("""
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
""")
WEIGHT_POSITION = {"QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3, "QLinearAdd": 3, "QLinearMul": 3}
"""Where the second factor stands among the inputs; 1 for operators that are not named."""


def second(step: Step) -> int:
    """Returns the position of a step's second factor."""
    return WEIGHT_POSITION.get(step.op, 1)


def _same(step: Step, operands: Operands) -> Shapes:
    return [operand(step, operands, 0).shape]


def _broadcast(step: Step, operands: Operands) -> Shapes:
    return [broadcast(step, [operand(step, operands, i).shape for i in range(len(operands))])]


def _broadcast_pair(step: Step, operands: Operands) -> Shapes:
    return [broadcast(step, [operand(step, operands, i).shape for i in (0, second(step))])]


def _matmul(step: Step, operands: Operands) -> Shapes:
    left, right = operand(step, operands, 0).shape, operand(step, operands, second(step)).shape
    if not left or not right or left[-1] != right[-2 if len(right) > 1 else -1]:
        raise mismatch(step, left, right)
    batch = broadcast(step, [left[:-2], right[:-2]])
    return [(*batch, *left[-2:-1], *(right[-1:] if len(right) > 1 else ()))]


def _gemm(step: Step, operands: Operands) -> Shapes:
    left, right = operand(step, operands, 0).shape, operand(step, operands, second(step)).shape
    if len(left) != 2 or len(right) != 2:
        raise mismatch(step, left, right)
    rows, inner = reversed(left) if step.attributes.get("transA", 0) else left
    width, columns = reversed(right) if step.attributes.get("transB", 0) else right
    if inner != width:
        raise mismatch(step, left, right)
    return [(rows, columns)]


@dataclass(frozen=True)
class Window:
    """How a kernel moves over the positions of its input; every tuple has one entry per axis."""

    kernel: Shape
    strides: Shape
    dilations: Shape
    pads: Shape
    auto_pad: str
    ceil_mode: bool = False

    def extent(self, axis: int) -> int:
        """Returns how many positions the kernel spans."""
        return (self.kernel[axis] - 1) * self.dilations[axis] + 1

    def positions(self, step: Step, sizes: Shape) -> Shape:
        """Returns how many positions the kernel takes on an input of the given sizes."""
        return tuple(self._positions(step, axis, size) for axis, size in enumerate(sizes))

    def _positions(self, step: Step, axis: int, size: int) -> int:
        stride, extent = self.strides[axis], self.extent(axis)
        if self.auto_pad.startswith("SAME"):
            return -(-size // stride)
        before, after = (0, 0) if self.auto_pad == "VALID" else (self.pads[axis], self.pads[len(self.kernel) + axis])
        room = size + before + after - extent
        if room < 0:
            raise mismatch(step, (size,), (extent,))
        count = (-(-room // stride) if self.ceil_mode else room // stride) + 1
        # A window that would begin in the padding behind the input is left out.
        return count - 1 if self.ceil_mode and (count - 1) * stride >= size + before else count


def window_of(step: Step, kernel: Shape) -> Window:
    """Returns how the kernel of a convolution or a pooling moves. Raises InputError where its attributes contradict it."""
    rank, attributes = len(kernel), step.attributes
    strides = tuple(attributes.get("strides") or (1,) * rank)
    dilations = tuple(attributes.get("dilations") or (1,) * rank)
    pads = tuple(attributes.get("pads") or (0,) * 2 * rank)
    if len(strides) != rank or len(dilations) != rank or len(pads) != 2 * rank or min((*strides, *dilations, 1)) < 1:
        raise mismatch(step, kernel, strides, dilations, pads)
    auto_pad = attributes.get("auto_pad", "NOTSET")
    return Window(kernel, strides, dilations, pads, auto_pad, bool(attributes.get("ceil_mode", 0)))


def _convolution(step: Step, operands: Operands) -> Shapes:
    shape, weight = operand(step, operands, 0).shape, operand(step, operands, second(step)).shape
    groups = step.attributes.get("group", 1)
    fits = len(shape) == len(weight) > 2 and groups > 0 and shape[1] == weight[1] * groups and not weight[0] % groups
    if not fits or tuple(step.attributes.get("kernel_shape") or weight[2:]) != weight[2:]:
        raise mismatch(step, shape, weight)
    return [(shape[0], weight[0], *window_of(step, weight[2:]).positions(step, shape[2:]))]


def _transposed(step: Step, operands: Operands) -> Shapes:
    shape, weight = operand(step, operands, 0).shape, operand(step, operands, 1).shape
    groups = step.attributes.get("group", 1)
    if len(shape) != len(weight) or len(weight) < 3 or groups < 1 or shape[1] != weight[0]:
        raise mismatch(step, shape, weight)
    window, rank = window_of(step, weight[2:]), len(weight) - 2
    more = step.attributes.get("output_padding") or [0] * rank
    if asked := step.attributes.get("output_shape"):
        sizes = list(asked)[-rank:]
    elif window.auto_pad.startswith("SAME"):
        sizes = [size * stride for size, stride in zip(shape[2:], window.strides, strict=True)]
    else:
        pads = window.pads if window.auto_pad == "NOTSET" else (0,) * 2 * rank
        spread = [(size - 1) * window.strides[i] + window.extent(i) + more[i] for i, size in enumerate(shape[2:])]
        sizes = [size - pads[i] - pads[rank + i] for i, size in enumerate(spread)]
    return [(shape[0], weight[1] * groups, *sizes)]


def _pool(step: Step, operands: Operands) -> Shapes:
    shape, kernel = operand(step, operands, 0).shape, tuple(step.attributes.get("kernel_shape", ()))
    if not kernel or len(shape) != len(kernel) + 2 or step.attributes.get("channels_last", 0):
        raise mismatch(step, shape, kernel)
    return [(*shape[:2], *window_of(step, kernel).positions(step, shape[2:]))] * 2


def _global_pool(step: Step, operands: Operands) -> Shapes:
    shape = operand(step, operands, 0).shape
    if step.attributes.get("channels_last", 0):
        raise mismatch(step, shape)
    return [(*shape[:2], *(1 for _ in shape[2:]))]


def reduced_axes(step: Step, operands: Operands) -> tuple[int, ...]:
    """Returns the axes that a reduction sums over."""
    shape = operand(step, operands, 0).shape
    axes = setting(step, operands, "axes", 1)
    if not axes:
        return () if step.attributes.get("noop_with_empty_axes", 0) else tuple(range(len(shape)))
    return tuple(axis_of(step, shape, axis) for axis in axes)


def _without(shape: Shape, axes: Sequence[int], *, keep: bool) -> Shape:
    return tuple(1 if axis in axes else size for axis, size in enumerate(shape) if keep or axis not in axes)


def _reduction(step: Step, operands: Operands) -> Shapes:
    shape = operand(step, operands, 0).shape
    return [_without(shape, reduced_axes(step, operands), keep=bool(step.attributes.get("keepdims", 1)))]


def _arg_extreme(step: Step, operands: Operands) -> Shapes:
    shape = operand(step, operands, 0).shape
    axis = axis_of(step, shape, step.attributes.get("axis", 0))
    return [_without(shape, (axis,), keep=bool(step.attributes.get("keepdims", 1)))]


def _layer_norm(step: Step, operands: Operands) -> Shapes:
    shape = operand(step, operands, 0).shape
    axis = axis_of(step, shape, step.attributes.get("axis", -1))
    statistics = (*shape[:axis], *(1 for _ in shape[axis:]))
    return [shape, statistics, statistics]


def _batch_norm(step: Step, operands: Operands) -> Shapes:
    shape, channels = operand(step, operands, 0).shape, operand(step, operands, 1).shape
    if len(shape) < 2 or channels != shape[1:2]:
        raise mismatch(step, shape, channels)
    return [shape, *[channels] * 4]


def _recurrent(step: Step, operands: Operands) -> Shapes:
    shape, fed_back = operand(step, operands, 0).shape, operand(step, operands, 2).shape
    weight = operand(step, operands, 1).shape
    if len(shape) != 3 or len(fed_back) != 3 or len(weight) != 3 or weight[2] != shape[2] or weight[:2] != fed_back[:2]:
        raise mismatch(step, shape, weight, fed_back)
    directions, hidden = fed_back[0], fed_back[2]
    steps, batch = shape[:2] if not step.attributes.get("layout", 0) else (shape[1], shape[0])
    if step.attributes.get("layout", 0):
        return [(batch, steps, directions, hidden), *[(batch, directions, hidden)] * 2]
    return [(steps, directions, batch, hidden), *[(directions, batch, hidden)] * 2]


def _einsum(step: Step, operands: Operands) -> Shapes:
    return [equation_of(step, [operand(step, operands, i).shape for i in range(len(operands))]).shape]


@dataclass(frozen=True)
class AttentionSizes:
    """The sizes of the operator Attention (opset 23): batch, heads, queries, keys with the past, widths."""

    batch: int
    heads: int
    kv_heads: int
    queries: int
    keys: int
    key_width: int
    value_width: int
    flat: bool


def attention_sizes(step: Step, operands: Operands) -> AttentionSizes:
    """Returns the sizes of an Attention. Raises InputError where its inputs contradict each other."""
    query, key, value = (operand(step, operands, i).shape for i in range(3))
    past = operand(step, operands, 4).shape[2] if has(operands, 4) else 0
    if len(query) == 4:
        return AttentionSizes(*query[:2], key[1], query[2], key[2] + past, query[3], value[3], flat=False)
    heads, kv_heads = step.attributes.get("q_num_heads", 0), step.attributes.get("kv_num_heads", 0)
    if len(query) != 3 or not heads or not kv_heads:
        raise mismatch(step, query, key, value)
    widths = query[2] // heads, value[2] // kv_heads
    return AttentionSizes(query[0], heads, kv_heads, query[1], key[1] + past, *widths, flat=True)


def _attention(step: Step, operands: Operands) -> Shapes:
    a = attention_sizes(step, operands)
    whole = (a.batch, a.queries, a.heads * a.value_width) if a.flat else (a.batch, a.heads, a.queries, a.value_width)
    kept = [(a.batch, a.kv_heads, a.keys, width) for width in (a.key_width, a.value_width)]
    return [whole, *kept, (a.batch, a.heads, a.queries, a.keys)]


def _stft(step: Step, operands: Operands) -> Shapes:
    signal, hop = operand(step, operands, 0).shape, integers(step, operands, 1)[0]
    length = integers(step, operands, 3)[0] if has(operands, 3) else operand(step, operands, 2).elements
    if len(signal) < 2 or hop < 1 or not 0 < length <= signal[1]:
        raise mismatch(step, signal, (hop,), (length,))
    bins = length // 2 + 1 if step.attributes.get("onesided", 1) else length
    return [(signal[0], (signal[1] - length) // hop + 1, bins, 2)]


def dft_axis(step: Step, operands: Operands) -> int:
    """Returns the axis that a DFT works on."""
    shape = operand(step, operands, 0).shape
    if step.opset < 20:
        return axis_of(step, shape, step.attributes.get("axis", 1))
    return axis_of(step, shape, integers(step, operands, 2)[0] if has(operands, 2) else -2)


def _dft(step: Step, operands: Operands) -> Shapes:
    shape, axis = operand(step, operands, 0).shape, dft_axis(step, operands)
    onesided, inverse = step.attributes.get("onesided", 0), step.attributes.get("inverse", 0)
    if onesided and inverse:
        raise UnknownShapeError("a one-sided inverse transform is not defined in every operator set")
    points = integers(step, operands, 1)[0] if has(operands, 1) else shape[axis]
    return [(*shape[:axis], points // 2 + 1 if onesided else points, *shape[axis + 1 : -1], 2)]


RULES: dict[str, Rule] = {
    **MOVEMENT,
    **dict.fromkeys(_SAME, _same),
    **dict.fromkeys(_BROADCAST, _broadcast),
    **dict.fromkeys(("QLinearAdd", "QLinearMul"), _broadcast_pair),
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul"), _matmul),
    **dict.fromkeys(("Gemm", "QGemm"), _gemm),
    **dict.fromkeys(("Conv", "ConvInteger", "QLinearConv"), _convolution),
    "ConvTranspose": _transposed,
    **dict.fromkeys(("AveragePool", "LpPool", "MaxPool", "QLinearAveragePool"), _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "QLinearGlobalAveragePool"), _global_pool),
    **dict.fromkeys(_REDUCTIONS, _reduction),
    **dict.fromkeys(("ArgMax", "ArgMin"), _arg_extreme),
    "LayerNormalization": _layer_norm,
    "BatchNormalization": _batch_norm,
    **dict.fromkeys(("GRU", "LSTM", "RNN"), _recurrent),
    "Einsum": _einsum,
    "Attention": _attention,
    "STFT": _stft,
    "DFT": _dft,
    "Dropout": lambda step, operands: _same(step, operands) * 2,
    "DynamicQuantizeLinear": lambda step, operands: [*_same(step, operands), (), ()],
}
"""The shapes of a step's outputs, from its inputs and attributes."""
