"""The numbers that an ONNX graph stores, wherever they stand, and the ways in which they could be hidden."""

from __future__ import annotations

import pytest
from onnx import TensorProto, helper

from kwsbench.budget.onnx.audit import audit_onnx
from kwsbench.checkpoint.onnx_file import load_graph
from tests.budget.onnx.models import audit_of, blocking, graph_of

X = "float[1, 4, 10] x"


def params(body: str, header: str = X, **options: object) -> int:
    """The stored numbers that a graph counts."""
    return audit_of(graph_of(body, header, **options), run=False).params  # type: ignore[arg-type]


TEN = "{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}"


@pytest.mark.parametrize(
    ("body", "stored", "count"),
    [
        ("y = Mul(x, w)", f"float[10] w = {TEN}", 10),
        (f"w = Constant<value = float[10] {TEN}>() y = Mul(x, w)", "", 10),
        (
            "w = Constant<value_floats = [1.0, 2.0, 3.0]>() v = Concat<axis = 0>(w, w) m = ReduceSum(v) y = Mul(x, m)",
            "",
            3,
        ),
        (
            "w = Constant<value_ints = [1, 2, 3, 4]>() f = Cast<to = 1>(w) g = Reshape(f, s) y = Add(x, g)",
            "int64[2] s = {4, 1}",
            4,
        ),
        (
            "t = Transpose(w) y = MatMul(x, t) z = MatMul(x, t)",
            "float[2, 10] w = {1,2,3,4,5,6,7,8,9,10,1,2,3,4,5,6,7,8,9,10}",
            20,
        ),
        ("a = Mul(x, w) y = Mul(a, v)", f"float[10] w = {TEN}, float[10] v = {TEN}", 20),
        ("i = ArgMax<axis = 2, keepdims = 0>(x) y = Gather(w, i)", "float[5, 2] w = {1,2,3,4,5,6,7,8,9,10}", 10),
        ("y = Gather<axis = 2>(x, i)", "int64[4] i = {3, 1, 2, 0}", 4),
        (
            "r = Reshape(x, s) y = Slice(r, b, e, a)",
            "int64[2] s = {4, 10}, int64[1] b = {0}, int64[1] e = {3}, int64[1] a = {1}",
            0,
        ),
        ("y = Reshape(x, s) z = Cast<to = 1>(s) k = ReduceSum(x) u = Mul(k, z)", "int64[3] s = {4, 1, 10}", 3),
        ("y = Identity(x)", f"float[10] w = {TEN}", 10),
    ],
)
def test_every_stored_number_that_is_data_counts_once(body: str, stored: str, count: int) -> None:
    """Initialisers, constants in nodes, tables and indices count; sharing counts once, copies twice, shapes not at all."""
    outputs = ", ".join(name for name in ("y", "z", "u") if f"{name} = " in body)
    data = graph_of(body, f"{X} | {stored}" if stored else X, outputs)
    assert audit_of(data, run=False).params == count


def test_stored_clips_that_are_looked_up_count_like_weights() -> None:
    """Six clips of the test set, the nearest of which decides: every number of every clip counts, and so do the answers."""
    clips = ", ".join(str(number) for number in range(6 * 4 * 10))
    stored = f"float[6, 4, 10] t = {{{clips}}}, int64[2] a = {{1, 2}}, int64[6] s = {{2, 0, 1, 1, 0, 2}}"
    body = """d = Sub(x, t) q = ReduceSumSquare<keepdims = 0>(d, a) n = ArgMin<axis = 0, keepdims = 0>(q)
    g = Gather(s, n) y = Cast<to = 1>(g)"""
    audit = audit_of(graph_of(body, f"{X} | {stored}"))
    assert not blocking(audit)
    assert (audit.params, audit.macs) == (6 * 40 + 6, 6 * 40)
    assert audit.weight_bytes == 4 * 6 * 40 + 8 * 6


def test_a_stored_tensor_that_nothing_reads_counts_and_is_named() -> None:
    """Numbers that the file carries and no node reads are counted, with a finding that names them."""
    audit = audit_of(graph_of("y = Identity(x)", f"{X} | float[10] idle = {TEN}"), run=False)
    assert audit.params == 10
    assert any("'idle'" in finding.message and "never read" in finding.message for finding in audit.findings)


def test_an_initialiser_that_is_also_an_input_is_a_stored_number() -> None:
    """Old exports list weights among the inputs; they stay weights, and the clip stays the input."""
    model = load_graph(graph_of("y = Mul(x, w)", f"{X} | float[10] w = {TEN}"), "model.onnx")
    model.graph.input.insert(0, helper.make_tensor_value_info("w", TensorProto.FLOAT, [10]))
    audit = audit_onnx(model, (1, 4, 10), None)
    assert (audit.params, audit.macs) == (10, 40)


def test_sparse_weights_count_their_values_and_their_places() -> None:
    """A sparse tensor stores its values and their indices, and both count."""
    model = load_graph(graph_of("w = Constant<value = float[10] {1,2,3,4,5,6,7,8,9,10}>() y = Mul(x, w)"), "model.onnx")
    node = model.graph.node[0]
    del node.attribute[:]
    values = helper.make_tensor("v", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [3], [1, 4, 7])
    node.attribute.add().CopyFrom(
        helper.make_attribute("sparse_value", helper.make_sparse_tensor(values, indices, [10]))
    )
    audit = audit_onnx(load_graph(model.SerializeToString(), "model.onnx"), None, None)
    assert (audit.params, audit.weight_bytes) == (6, 3 * 4 + 3 * 8)


def scalars(count: int) -> bytes:
    """A graph that multiplies by so many different constants."""
    body = " ".join(f"v{i + 1} = Mul(v{i}, c{i})" for i in range(count))
    stored = ", ".join(f"float c{i} = {{{i}.5}}" for i in range(count))
    return graph_of(f"v0 = Identity(x) {body} y = Identity(v{count})", f"{X} | {stored}")


def test_a_few_scalar_constants_are_code_and_many_are_weights() -> None:
    """Up to 16 different scalars are free, as slopes and exponents are; with one more all of them count."""
    assert audit_of(scalars(16)).params == 0
    many = audit_of(scalars(17))
    assert many.params == 17
    assert "17 different scalar constants" in many.findings[0].message


def test_numbers_in_attributes_are_scalars_like_others() -> None:
    """A network that keeps its weights as slopes in attributes does not get them for nothing."""
    body = " ".join(f"v{i + 1} = LeakyRelu<alpha = 0.{i + 10}>(v{i})" for i in range(20))
    assert params(f"v0 = Identity(x) {body} y = Identity(v20)") == 20


def test_four_bit_numbers_count_one_each_and_weigh_half_a_byte() -> None:
    """A tensor of int4 holds as many numbers as it has elements, in half as many bytes."""
    model = load_graph(
        graph_of("d = DequantizeLinear(w, s) y = Mul(x, d)", f"{X} | float s = {{0.5}}, int8[10] w = {TEN}"), "m"
    )
    packed = helper.make_tensor("w", TensorProto.INT4, [10], [1, 2, 3, 4, 5, 6, 7, -1, -2, -3])
    model.graph.initializer[1].CopyFrom(packed)
    audit = audit_of(load_graph(model.SerializeToString(), "m").SerializeToString())
    assert (audit.params, audit.weight_bytes) == (11, 5 + 4)
    assert audit.macs_by_width == {"4x32": 40}


MASK, SHIFT, SIXTEEN = "uint8 m = {15}", "uint8 f = {4}", "uint8 q = {16}"
UNPACKED = {
    "by masks and shifts": (
        'l = BitwiseAnd(w, m) h = BitShift<direction = "RIGHT">(w, f) u = Concat<axis = 0>(l, h)',
        f"uint8[5] w = {{1, 2, 3, 4, 5}}, {MASK}, {SHIFT}",
        10,
    ),
    "by remainders": (
        "l = Mod(w, q) h = Div(w, q) u = Concat<axis = 0>(l, h)",
        f"uint8[5] w = {{1, 2, 3, 4, 5}}, {SIXTEEN}",
        10,
    ),
    "by a remainder and a difference": (
        "l = Mod(w, q) d = Sub(w, l) h = Div(d, q) u = Concat<axis = 0>(l, h)",
        f"uint8[5] w = {{1, 2, 3, 4, 5}}, {SIXTEEN}",
        10,
    ),
    "by two shifts at once": (
        'b = BitShift<direction = "RIGHT">(w, p) l = BitwiseAnd(b, m) u = Reshape(l, t)',
        f"uint8[1, 5] w = {{1, 2, 3, 4, 5}}, uint8[2, 1] p = {{0, 4}}, int64[1] t = {{10}}, {MASK}",
        10 + 2,
    ),
}


@pytest.mark.parametrize(("unpack", "stored", "count"), UNPACKED.values(), ids=UNPACKED)
def test_numbers_that_are_packed_into_others_count_unpacked(unpack: str, stored: str, count: int) -> None:
    """Two four-bit numbers in one byte that the graph takes apart are two numbers, in one byte."""
    audit = audit_of(graph_of(f"{unpack} v = Cast<to = 1>(u) y = Mul(x, v)", f"{X} | {stored}"), run=False)
    assert audit.params == count
    assert audit.weight_bytes == count - 5
    assert any("'w' (10 numbers): several numbers packed" in finding.message for finding in audit.findings)


def test_packed_numbers_that_a_look_up_takes_apart_count_unpacked() -> None:
    """A table of packed bytes is unpacked after the look-up, and its numbers count all the same."""
    stored = "uint8[6] w = {1, 2, 3, 4, 5, 6}, uint8 m = {15}, uint8 f = {4}"
    body = """i = ArgMax<axis = 2, keepdims = 0>(x) g = Gather(w, i) l = BitwiseAnd(g, m)
    h = BitShift<direction = "RIGHT">(g, f) s = Add(l, h) y = Cast<to = 1>(s)"""
    assert params(body, f"{X} | {stored}") == 12


def test_quantised_weights_are_not_taken_for_packed_ones() -> None:
    """Weights that the graph rounds to integers and back count once each."""
    stored = f"float[10] w = {TEN}, float s = {{0.5}}, int8 z = {{0}}"
    assert params("q = QuantizeLinear(w, s, z) d = DequantizeLinear(q, s, z) y = Mul(x, d)", f"{X} | {stored}") == 12


def test_statistics_of_a_batch_norm_that_are_read_otherwise_count() -> None:
    """Mean and variance are only left out where they fold away: not where another node reads them, or no clip passes."""
    numbers = "float[4] a = {1, 2, 3, 4}, float[4] m = {5, 6, 7, 8}, float[4] v = {1, 1, 1, 2}"
    norm = "BatchNormalization(x, a, a, m, v)"
    audit = audit_of(graph_of(f"y = {norm}", f"{X} | {numbers}"))
    assert (audit.params, audit.batch_norm_statistics) == (4, 8)
    audit = audit_of(graph_of(f"n = {norm} k = Unsqueeze(m, e) y = Add(n, k)", f"{X} | {numbers}, int64[1] e = {{1}}"))
    assert (audit.params, audit.batch_norm_statistics) == (8, 4)
    hidden = "c = ConstantOfShape(e) n = BatchNormalization(c, a, a, m, v) y = MatMul(x, n)"
    audit = audit_of(
        graph_of(hidden, f"float[1, 1, 4] x | {numbers}, int64[3] e = {{1, 4, 1}}"),
        run=False,
    )
    assert (audit.params, audit.batch_norm_statistics) == (12, 0)


def test_weights_from_a_seed_count_as_if_stored() -> None:
    """Random numbers that do not depend on the clip are weights that somebody chose by their seed."""
    audit = audit_of(graph_of("w = RandomNormal<shape = [10, 3], seed = 7.0>() y = MatMul(x, w)"))
    assert audit.params == 30
    assert "seed" in audit.findings[0].message


def test_weights_from_a_formula_are_told() -> None:
    """A large constant that is computed from a few numbers is a finding, so that nobody overlooks it."""
    stored = "int64 a = {0}, int64 n = {100}, int64 d = {1}, int64[2] s = {10, 10}"
    body = "r = Range(a, n, d) f = Cast<to = 1>(r) q = Sin(f) w = Reshape(q, s) y = MatMul(x, w)"
    audit = audit_of(graph_of(body, f"{X} | {stored}"))
    assert audit.params == 0
    assert any("computed from far fewer" in finding.message for finding in audit.findings)
