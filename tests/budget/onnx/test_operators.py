"""Oracles: MACs derived by hand from the table of costs, and the shapes that shape inference and onnxruntime produce."""

from __future__ import annotations

import pytest

from kwsbench.budget.onnx.audit import _first_count
from kwsbench.budget.onnx.costs import FORMULAS, FREE, PER_INPUT, PER_OUTPUT
from kwsbench.budget.onnx.graph import Graph, Step, Value
from kwsbench.budget.onnx.propagation import propagate
from kwsbench.budget.onnx.shapes import RULES
from kwsbench.checkpoint.onnx_file import MICROSOFT_OPERATORS, STANDARD_OPERATORS, names
from tests.budget.onnx.models import audit_of, blocking, graph_of

X = "float[1, 4, 10] x"
X2 = "float[1, 4, 6, 10] x"
FLAT = "float[3, 8] x"
QUANTISED = X + " | float s = {0.5}, uint8 z = {0}"

CASES: dict[str, tuple[str, str, int]] = {
    "convolution": (f"{X} | float[6, 4, 3] w = {{{', '.join(['1'] * 72)}}}", "y = Conv(x, w)", 6 * 8 * 4 * 3),
    "grouped, strided, dilated, padded convolution": (
        f"{X} | float[4, 2, 3] w = {{{', '.join(['1'] * 24)}}}",
        "y = Conv<group = 2, strides = [2], dilations = [2], pads = [1, 2]>(x, w)",
        4 * 5 * 2 * 3,
    ),
    "convolution that keeps its size": (
        f"{X} | float[4, 1, 3] w = {{{', '.join(['1'] * 12)}}}",
        'y = Conv<group = 4, strides = [3], auto_pad = "SAME_UPPER">(x, w)',
        4 * 4 * 3,
    ),
    "convolution over two axes": (
        f"{X2} | float[2, 4, 3, 2] w = {{{', '.join(['1'] * 48)}}}",
        "y = Conv(x, w)",
        2 * 4 * 9 * 4 * 6,
    ),
    "transposed convolution": (
        f"{X} | float[4, 3, 5] w = {{{', '.join(['1'] * 60)}}}",
        "y = ConvTranspose<strides = [2], pads = [1, 1], output_padding = [1]>(x, w)",
        4 * 10 * 3 * 5,
    ),
    "matrix product": (f"{X} | float[10, 3] w = {{{', '.join(['1'] * 30)}}}", "y = MatMul(x, w)", 4 * 10 * 3),
    "batched matrix product": (X, "t = Transpose<perm = [0, 2, 1]>(x)  y = MatMul(x, t)", 4 * 10 * 4),
    "product with a vector": (f"{X} | float[10] w = {{{', '.join(['1'] * 10)}}}", "y = MatMul(x, w)", 4 * 10),
    "Gemm with factors": (
        f"{FLAT} | float[5, 8] w = {{{', '.join(['1'] * 40)}}}, float[5] b = {{1, 2, 3, 4, 5}}",
        "y = Gemm<alpha = 0.5, beta = 2.0, transB = 1>(x, w, b)",
        3 * 8 * 5 + 15 + 15,
    ),
    "Gemm of a transposed input": (
        f"{FLAT} | float[3, 5] w = {{{', '.join(['1'] * 15)}}}",
        "y = Gemm<transA = 1>(x, w)",
        8 * 3 * 5,
    ),
    "einsum": (
        f"{X} | float[3, 4] w = {{{', '.join(['1'] * 12)}}}",
        'y = Einsum<equation = "bct,oc->bot">(x, w)',
        3 * 4 * 10,
    ),
    "einsum with an ellipsis": (X, 'y = Einsum<equation = "...ij,...kj->...ik">(x, x)', 4 * 4 * 10),
    "einsum that sums alone": (X, 'y = Einsum<equation = "bct->bt">(x)', 0),
    "batch norm": (f"{X} | float[4] a = {{1, 2, 3, 4}}", "y = BatchNormalization(x, a, a, a, a)", 40),
    "layer norm": (f"{X} | float[10] a = {{{', '.join(['1'] * 10)}}}", "y = LayerNormalization(x, a)", 120),
    "instance norm": (f"{X} | float[4] a = {{1, 2, 3, 4}}", "y = InstanceNormalization(x, a, a)", 120),
    "group norm": (f"{X} | float[4] a = {{1, 2, 3, 4}}", "y = GroupNormalization<num_groups = 2>(x, a, a)", 120),
    "mean and variance": (X2, "y = MeanVarianceNormalization(x)", 480),
    "local response": (X2, "y = LRN<size = 3>(x)", 960),
    "unit vectors": (X, "y = LpNormalization<axis = 1>(x)", 40 + 10 + 40),
    "product of elements": (X, "y = Mul(x, x)", 40),
    "broadcast product": ("float[1, 4, 1] x, float[10] z", "y = Mul(x, z)", 40),
    "division": (X, "y = Div(x, x)", 40),
    "power": (f"{X} | float p = {{2}}", "y = Pow(x, p)", 40),
    "remainder": (f"{X} | float p = {{2}}", "y = Mod<fmod = 1>(x, p)", 40),
    "sum": (X, "y = Sum(x, x, x)", 0),
    "mean of three": (X, "y = Mean(x, x, x)", 40),
    "maximum": (X, "y = Max(x, x)", 0),
    "softmax": (X, "y = Softmax(x)", 80),
    "log-softmax": (X, "y = LogSoftmax(x)", 40),
    "average pooling": (X, "y = AveragePool<kernel_shape = [3], strides = [2]>(x)", 16),
    "average pooling, rounded up": (X, "y = AveragePool<kernel_shape = [3], strides = [2], ceil_mode = 1>(x)", 20),
    "p-norm pooling": (X, "y = LpPool<kernel_shape = [3], p = 2>(x)", 32 * 3 + 32),
    "maximum pooling": (X, "y, i = MaxPool<kernel_shape = [3]>(x)", 0),
    "global average": (X, "y = GlobalAveragePool(x)", 4),
    "global maximum": (X, "y = GlobalMaxPool(x)", 0),
    "global p-norm": (X, "y = GlobalLpPool(x)", 44),
    "mean over time": (f"{X} | int64[1] a = {{2}}", "y = ReduceMean<keepdims = 0>(x, a)", 4),
    "mean of everything": (X, "y = ReduceMean(x)", 1),
    "mean of nothing": (X, "y = ReduceMean<noop_with_empty_axes = 1>(x)", 40),
    "sum over time": (f"{X} | int64[1] a = {{-1}}", "y = ReduceSum(x, a)", 0),
    "Euclidean norm": (f"{X} | int64[1] a = {{2}}", "y = ReduceL2(x, a)", 44),
    "absolute norm": (f"{X} | int64[1] a = {{2}}", "y = ReduceL1(x, a)", 0),
    "sum of squares": (f"{X} | int64[1] a = {{2}}", "y = ReduceSumSquare(x, a)", 40),
    "log of a sum": (f"{X} | int64[1] a = {{2}}", "y = ReduceLogSum(x, a)", 4),
    "log of a sum of exps": (f"{X} | int64[1] a = {{2}}", "y = ReduceLogSumExp(x, a)", 44),
    "product over time": (f"{X} | int64[1] a = {{2}}", "y = ReduceProd(x, a)", 40),
    "largest position": (X, "y = ArgMax<axis = 1, keepdims = 0>(x)", 0),
    "running sum": (f"{X} | int64 a = {{2}}", "y = CumSum(x, a)", 0),
    "nearest neighbours": (f"{X} | float[3] r = {{1, 1, 2}}", "y = Resize(x, , r)", 0),
    "linear interpolation": (f"{X} | float[3] r = {{1, 1, 2.5}}", 'y = Resize<mode = "linear">(x, , r)', 100 * 2),
    "bilinear interpolation": (
        f"{X2} | int64[4] r = {{1, 4, 9, 20}}",
        'y = Resize<mode = "linear">(x, , , r)',
        720 * 4,
    ),
    "bicubic interpolation": (f"{X2} | int64[4] r = {{1, 4, 9, 20}}", 'y = Resize<mode = "cubic">(x, , , r)', 720 * 16),
    "GRU, both directions": (
        "float[7, 1, 3] x, float[2, 12, 3] w, float[2, 12, 4] r",
        'y, h = GRU<hidden_size = 4, direction = "bidirectional">(x, w, r)',
        7 * 2 * (12 * (3 + 4) + 2 * 4),
    ),
    "LSTM": (
        "float[7, 1, 3] x, float[1, 16, 3] w, float[1, 16, 4] r",
        "y, h, c = LSTM<hidden_size = 4>(x, w, r)",
        7 * (16 * (3 + 4) + 3 * 4),
    ),
    "LSTM with peepholes": (
        "float[7, 1, 3] x, float[1, 16, 3] w, float[1, 16, 4] r, float[1, 12] p",
        "y, h, c = LSTM<hidden_size = 4>(x, w, r, , , , , p)",
        7 * (16 * (3 + 4) + 6 * 4),
    ),
    "RNN": (
        "float[7, 1, 3] x, float[1, 4, 3] w, float[1, 4, 4] r",
        "y, h = RNN<hidden_size = 4>(x, w, r)",
        7 * 4 * (3 + 4),
    ),
    "Fourier transform of real input": ("float[1, 2, 16, 1] x | int64 a = {2}", "y = DFT(x, , a)", 2 * 16 * 4),
    "Fourier transform of complex input": ("float[1, 2, 16, 2] x | int64 a = {2}", "y = DFT(x, , a)", 2 * 2 * 16 * 4),
    "short-time Fourier transform": (
        "float[1, 400] x | int64 h = {100}, int64 n = {64}",
        "y = STFT<onesided = 1>(x, h, , n)",
        4 * 64 * 6,
    ),
    "short-time Fourier transform with a window": (
        "float[1, 400] x | int64 h = {100}, int64 n = {64}",
        "w = HannWindow(n) y = STFT<onesided = 1>(x, h, w)",
        4 * 64 * 6 + 4 * 64,
    ),
    "quantising and back": (QUANTISED, "q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z)", 40),
    "dequantising by another scale": (
        QUANTISED + ", float t = {0.25}",
        "q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, t, z)",
        80,
    ),
    "dynamic quantising": (X, "q, s, z = DynamicQuantizeLinear(x) y = DequantizeLinear(q, s, z)", 40),
    "integer product": (
        "uint8[3, 8] x | uint8[8, 2] w = {1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8}",
        "y = MatMulInteger(x, w)",
        3 * 8 * 2,
    ),
    "integer convolution": (
        "uint8[1, 2, 5, 5] x | uint8[1, 2, 2, 2] w = {1, 2, 3, 4, 5, 6, 7, 8}",
        "y = ConvInteger(x, w)",
        16 * 2 * 4,
    ),
    "quantised convolution": (
        "uint8[1, 2, 5] x | uint8[1, 2, 2] w = {1, 2, 3, 4}, float s = {1}, uint8 z = {0}",
        "y = QLinearConv(x, s, z, w, s, z, s, z)",
        4 * 2 * 2 + 4,
    ),
    "quantised product": (
        "uint8[3, 4] x | uint8[4, 1] w = {1, 2, 3, 4}, float s = {1}, uint8 z = {0}",
        "y = QLinearMatMul(x, s, z, w, s, z, s, z)",
        3 * 4 + 3,
    ),
    "quantised Gemm": (
        "uint8[3, 4] x | uint8[2, 4] w = {1, 2, 3, 4, 5, 6, 7, 8}, float s = {1}, uint8 z = {0}",
        "y = com.microsoft.QGemm<transB = 1>(x, s, z, w, s, z, , s, z)",
        3 * 4 * 2 + 6,
    ),
    "quantised sum and product": (
        "uint8[3, 4] x | float s = {1}, uint8 z = {0}",
        "t = com.microsoft.QLinearAdd(x, s, z, x, s, z, s, z) y = com.microsoft.QLinearMul(t, s, z, x, s, z, s, z)",
        12 + 24,
    ),
    "quantised activations": (
        "uint8[3, 4] x | float s = {1}, uint8 z = {0}",
        """t = com.microsoft.QLinearSigmoid(x, s, z, s, z) u = com.microsoft.QLinearLeakyRelu(t, s, z, s, z)
        y = com.microsoft.QLinearConcat<axis = 1>(s, z, t, s, z, u, s, z)""",
        12 + 24 + 24,
    ),
    "quantised pooling": (
        "uint8[1, 2, 6, 6] x | float s = {1}, uint8 z = {0}",
        """t = com.microsoft.QLinearAveragePool<kernel_shape = [3, 3]>(x, s, z, s, z)
        y = com.microsoft.QLinearGlobalAveragePool(t, s, z, s, z)""",
        32 * 2 + 2 * 2,
    ),
}
UNARY = {
    0: "Abs Ceil Celu Elu Erf Floor HardSigmoid Hardmax Identity Neg Relu Round Sigmoid Sign Softplus Tanh ThresholdedRelu",
    1: """Acos Acosh Asin Asinh Atan Atanh Cos Cosh Exp Gelu HardSwish LeakyRelu Log Mish Reciprocal Selu Sin Sinh Softsign
    Sqrt Tan""",
}
MOVES = {
    "Reshape": (f"{X} | int64[3] s = {{0, -1, 2}}", "y = Reshape(x, s)"),
    "Flatten": (X, "y = Flatten<axis = 2>(x)"),
    "Squeeze": (f"{X} | int64[1] a = {{0}}", "y = Squeeze(x, a)"),
    "Unsqueeze": (f"{X} | int64[2] a = {{1, -1}}", "y = Unsqueeze(x, a)"),
    "Concat": (X, "y = Concat<axis = -1>(x, x)"),
    "Split": (X, "y, u, v = Split<axis = 2, num_outputs = 3>(x)"),
    "Slice": (
        f"{X} | int64[2] b = {{-1, 1}}, int64[2] e = {{-100, 9}}, int64[2] a = {{2, 1}}, int64[2] s = {{-3, 2}}",
        "y = Slice(x, b, e, a, s)",
    ),
    "Gather": (f"{X} | int64[2, 2] i = {{0, 1, 2, 3}}", "y = Gather<axis = 1>(x, i)"),
    "GatherND": (f"{X} | int64[3, 2] i = {{0, 1, 0, 2, 0, 3}}", "y = GatherND(x, i)"),
    "GatherElements": (f"{X} | int64[1, 1, 2] i = {{0, 1}}", "y = GatherElements<axis = 2>(x, i)"),
    "Expand": (f"{X} | int64[4] s = {{2, 1, 4, 1}}", "y = Expand(x, s)"),
    "Tile": (f"{X} | int64[3] s = {{1, 2, 3}}", "y = Tile(x, s)"),
    "Pad": (f"{X} | int64[6] p = {{0, 0, 2, 0, 1, 3}}", "y = Pad(x, p)"),
    "OneHot": (f"{X} | int64 d = {{5}}, float[2] v = {{0, 1}}", "i = Cast<to = 7>(x) y = OneHot<axis = 1>(i, d, v)"),
    "TopK": (f"{X} | int64[1] k = {{3}}", "y, i = TopK(x, k)"),
    "Where": (X, "c = Greater(x, x) y = Where(c, x, x)"),
    "Shape": (X, "s = Shape<start = 1>(x) t = ConstantOfShape(s) y = Add(t, x)"),
    "Range": (
        f"{X} | int64 a = {{0}}, int64 d = {{3}}",
        "s = Size(x) r = Range(a, s, d) f = Cast<to = 1>(r) m = ReduceMax(f) y = Add(x, m)",
    ),
    "DepthToSpace": (X2, "y = DepthToSpace<blocksize = 2>(x)"),
    "SpaceToDepth": (X2, "y = SpaceToDepth<blocksize = 2>(x)"),
    "Trilu": (X, "y = Trilu(x)"),
    "Clip": (f"{X} | float a = {{0}}, float b = {{1}}", "y = Clip(x, a, b)"),
    "ScatterND": (
        f"{X} | int64[1, 2] i = {{0, 1}}, float[1, 10] u = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}",
        "y = ScatterND(x, i, u)",
    ),
    "Dropout": (X, "y = Dropout(x)"),
}


@pytest.mark.parametrize(("header", "body", "macs"), CASES.values(), ids=CASES)
def test_an_operator_costs_what_the_table_says_and_every_count_agrees(header: str, body: str, macs: int) -> None:
    """Three sources of shapes agree on an operator, and its MACs are those derived by hand."""
    audit = audit_of(graph_of(body, header))
    assert not audit.findings
    assert audit.macs == sum(audit.macs_by_width.values()) == macs


@pytest.mark.parametrize(
    ("cost", "operator"), [(cost, name) for cost, names in UNARY.items() for name in names.split()]
)
def test_a_function_of_one_value_costs_what_the_table_says(cost: int, operator: str) -> None:
    """An activation that is evaluated by comparing or from a table is free, any other function costs 1 per element."""
    audit = audit_of(graph_of(f"y = {operator}(x)", X, opset=22))
    assert not blocking(audit)
    assert audit.macs == 40 * cost


@pytest.mark.parametrize(("header", "body"), MOVES.values(), ids=MOVES)
def test_moving_numbers_is_free_and_every_count_agrees_on_the_shape(header: str, body: str) -> None:
    """An operator that only moves numbers costs nothing, and its shape is the one that onnxruntime produces."""
    audit = audit_of(graph_of(body, header))
    assert not blocking(audit)
    assert audit.macs == 0


def test_onnxruntime_overrules_shape_inference_where_it_agrees_with_the_first_count() -> None:
    """Shape inference lets a pooling window begin in the padding behind the input: told, and it blocks where nothing ran."""
    data = graph_of("y = AveragePool<kernel_shape = [2], strides = [3], ceil_mode = 1, pads = [1, 1]>(x)", X)
    audit = audit_of(data)
    assert audit.macs == 16
    assert "by shape inference" in audit.findings[0].message
    assert not blocking(audit)
    assert "(1, 4, 5) by shape inference" in blocking(audit_of(data, run=False))[0]


def test_attention_costs_its_products_and_its_softmax() -> None:
    """The fused attention of operator set 23 costs B H (L S E + 3 L S + L S Ev), by both wordings of the formula."""
    header = "float[1, 2, 5, 4] x, float[1, 2, 7, 4] k, float[1, 2, 7, 3] v"
    audit = audit_of(graph_of("y = Attention(x, k, v)", header, opset=23), run=False)
    assert not blocking(audit)
    assert audit.macs == 2 * (5 * 7 * 4 + 3 * 5 * 7 + 5 * 7 * 3)


NOT_COUNTED = names("""
    AffineGrid Bernoulli BitCast CausalConvWithState CenterCropPad Col2Im Compress DeformConv Det GridSample
    LinearAttention MaxRoiPool MaxUnpool Multinomial NonMaxSuppression NonZero RoiAlign RotaryEmbedding SwiGLU Unique
""")
"""Operators that are safe to run, and that nobody has written a formula or a rule for: they block the verdict."""
COSTS = (FREE, PER_OUTPUT, PER_INPUT, FORMULAS)


def test_every_operator_that_may_run_is_counted_or_blocks() -> None:
    """An operator on the allow-list has one cost and a rule for its shape, or is known to have none; no other exists."""
    counted = set(RULES) & set().union(*COSTS)
    assert counted | NOT_COUNTED | {"Constant"} == STANDARD_OPERATORS | MICROSOFT_OPERATORS
    assert not counted & NOT_COUNTED
    assert sum(name in costs for name in counted for costs in COSTS) == len(counted)
    assert set().union(RULES, *COSTS) - {"BitCast"} == counted


def step_alone(operator: str) -> Graph:
    """A graph of one step that reads the input."""
    step = Step(operator, operator, ("x",), ("y",))
    return Graph((step,), {"x": Value((1, 4, 10), 1, depends=True)}, {}, ("y",))


@pytest.mark.parametrize("operator", sorted(NOT_COUNTED))
def test_an_operator_without_a_formula_or_a_rule_blocks_the_verdict(operator: str) -> None:
    """Each of them, alone in a graph, is a blocking finding that names it, and never costs 0 in silence."""
    graph = step_alone(operator)
    findings = _first_count(graph, propagate(graph)).findings
    assert [finding.blocks for finding in findings] == [True]
    assert operator in findings[0].message


@pytest.mark.parametrize("operator", ["Relu", "Mul", "CumProd", "Softmax"])
def test_an_operator_that_loses_its_formula_blocks_the_verdict(operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no list knows a cost, nothing stands in for it, not even for an operator that costs nothing."""
    monkeypatch.setattr("kwsbench.budget.onnx.costs.FREE", FREE - {operator})
    for costs in (PER_OUTPUT, PER_INPUT, FORMULAS):
        monkeypatch.delitem(costs, operator, raising=False)
    header = f"{X} | int64 a = {{1}}" if operator == "CumProd" else X
    body = {"Mul": "y = Mul(x, x)", "CumProd": "y = CumProd(x, a)"}.get(operator, f"y = {operator}(x)")
    opset = 26 if operator == "CumProd" else 21
    assert "no formula" in blocking(audit_of(graph_of(body, header, opset=opset), run=False))[0]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("y = Det(x)", "Det"),
        ("n = NonZero(x) y = Cast<to = 1>(n)", "NonZero"),
        ("i = Cast<to = 7>(x) s = ReduceMax<keepdims = 0>(i) t = ConstantOfShape(s) y = Add(x, t)", "depends on what"),
        ("y = Bernoulli(x)", "Bernoulli"),
        ('w = MatMul(x, x) y, h = RNN<hidden_size = 10, activations = ["Affine"]>(w, x, x)', "no formula"),
        ('n = Shape(x) y = Resize<mode = "linear", antialias = 1>(x, , , n)', "no formula"),
    ],
)
def test_what_cannot_be_counted_blocks_the_verdict(body: str, reason: str) -> None:
    """An operator without a formula, or whose size depends on the clip, is a finding that blocks, never a 0."""
    messages = blocking(audit_of(graph_of(body, "float[1, 10, 10] x"), run=False))
    assert messages
    assert reason in " ".join(messages)
