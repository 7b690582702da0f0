"""Whole ONNX graphs: networks with counts derived by hand, and the ways in which numbers and costs could be hidden."""

from __future__ import annotations

import pytest
import torch
from onnx import TensorProto, helper

from kwsbench.budget.onnx_audit import audit_onnx
from kwsbench.checkpoint.onnx_file import load_graph
from kwsbench.errors import InputError, RefusedError
from tests.budget.onnx_models import audit_of, blocking, exported, graph_of

X = "float[1, 4, 10] x"


class Network(torch.nn.Module):
    """One of everything that keyword-spotting networks are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv1d(8, 16, 3, padding=1, bias=False)
        self.norm = torch.nn.BatchNorm1d(16)
        self.grouped = torch.nn.Conv1d(16, 16, 3, groups=4, stride=2)
        self.pool = torch.nn.AvgPool1d(2)
        self.gru = torch.nn.GRU(16, 5, batch_first=True)
        self.linear = torch.nn.Linear(5, 3)
        with torch.no_grad():
            for place, tensor in enumerate((*self.parameters(), *self.buffers())):
                if tensor.is_floating_point():
                    tensor.uniform_(0.1 + place, 0.9 + place)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (batch, 8, frames) to (batch, 3)."""
        x = self.pool(self.grouped(torch.relu(self.norm(self.conv(x)))))
        return self.linear(self.gru(x.transpose(1, 2))[0].mean(1))


CONV, GROUPED, GRU, LINEAR = 8 * 16 * 3, 16 * 4 * 3 + 16, 15 * (16 + 5 + 2), 5 * 3 + 3
CONV_MACS, GROUPED_MACS, GRU_MACS = 20 * 16 * 8 * 3, 16 * 9 * 4 * 3, 4 * (15 * (16 + 5) + 2 * 5)
REST_MACS = 16 * 4 + 5 + 15  # pooling, mean over time, linear layer


def kept() -> dict[str, object]:
    """How the network is exported without folding anything."""
    return {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}


def test_a_network_counts_what_is_derived_by_hand() -> None:
    """An export with its batch norm counts scale and shift, lists mean and variance, and multiplies once per element."""
    audit = audit_of(exported(Network(), torch.zeros(1, 8, 20), **kept()))
    assert not blocking(audit)
    assert audit.params == CONV + 32 + GROUPED + GRU + LINEAR
    assert audit.batch_norm_statistics == 32
    assert audit.macs == CONV_MACS + 320 + GROUPED_MACS + GRU_MACS + REST_MACS
    assert audit.weight_bytes == 4 * audit.params
    assert audit.macs_by_width == {"32x32": audit.macs}
    assert audit.receptive_field_frames == 3 + 2


def test_a_folded_batch_norm_counts_what_the_export_stores() -> None:
    """Folded, scale and shift of the batch norm are gone, the convolution has a bias, and nothing is listed."""
    audit = audit_of(exported(Network(), torch.zeros(1, 8, 20)))
    assert audit.params == CONV + 16 + GROUPED + GRU + LINEAR
    assert audit.batch_norm_statistics == 0
    assert audit.macs == CONV_MACS + GROUPED_MACS + GRU_MACS + REST_MACS


def test_layers_are_named_by_their_modules() -> None:
    """A layer has the name of the module that owns its weights, with its numbers, bytes and MACs, in order."""
    layers = {layer.name: layer for layer in audit_of(exported(Network(), torch.zeros(1, 8, 20), **kept())).layers}
    assert list(layers)[:3] == ["conv", "norm", "grouped"]
    assert (layers["conv"].params, layers["conv"].macs, layers["conv"].kind) == (CONV, CONV_MACS, "Conv")
    assert layers["gru"].weight_bytes == 4 * GRU
    assert layers["linear"].macs == 15


def test_the_sums_over_layers_are_the_totals() -> None:
    """Every stored number and every MAC belongs to one layer."""
    audit = audit_of(exported(Network(), torch.zeros(1, 8, 20)))
    assert sum(layer.params for layer in audit.layers) == audit.params
    assert sum(layer.macs for layer in audit.layers) == audit.macs
    assert sum(layer.weight_bytes for layer in audit.layers) == audit.weight_bytes


def test_an_unfixed_length_needs_a_shape_and_an_unfixed_batch_is_one() -> None:
    """A symbolic axis other than the batch must be said, with an example; the count is then that of a fixed export."""
    data = exported(Network(), torch.zeros(1, 8, 20), dynamic_axes={"x": {0: "batch", 2: "time"}})
    with pytest.raises(InputError, match=r"--input-shape 1,8,101"):
        audit_of(data)
    assert audit_of(data, (1, 8, 20)).macs == audit_of(exported(Network(), torch.zeros(1, 8, 20))).macs
    batched = exported(Network(), torch.zeros(1, 8, 20), dynamic_axes={"x": {0: "batch"}})
    assert audit_of(batched).macs == CONV_MACS + GROUPED_MACS + GRU_MACS + REST_MACS


@pytest.mark.parametrize("shape", [(1, 8), (1, 7, 20), (1, 8, 0), ()])
def test_a_shape_that_does_not_fit_is_wrong_input(shape: tuple[int, ...]) -> None:
    """An input shape that contradicts the model is an error and not another count."""
    with pytest.raises(InputError, match="does not fit"):
        audit_of(exported(Network(), torch.zeros(1, 8, 20)), shape)


def test_a_longer_input_costs_more() -> None:
    """The count is that of the shape that was asked for."""
    data = exported(Network(), torch.zeros(1, 8, 20), dynamic_axes={"x": {2: "time"}})
    assert audit_of(data, (1, 8, 40)).layers[0].macs == 2 * CONV_MACS


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


def test_what_does_not_depend_on_the_clip_costs_nothing() -> None:
    """Weights that are scaled and multiplied among themselves can be computed once."""
    stored = "float[10, 10] w = {" + ", ".join(["1"] * 100) + "}, float g = {3}"
    audit = audit_of(graph_of("s = Mul(w, g) p = MatMul(s, s) y = MatMul(x, p)", f"{X} | {stored}"))
    assert audit.macs == 4 * 10 * 10
    assert audit.params == 100


def test_an_output_that_ignores_the_clip_cannot_be_certified() -> None:
    """A graph whose outputs are constants is no model of anything."""
    assert "depends" in blocking(audit_of(graph_of("s = Shape(x) y = Cast<to = 1>(s)"), run=False))[0]


def test_one_name_for_many_nodes_hides_nothing() -> None:
    """Costs add up over nodes that bear the same name."""
    model = load_graph(graph_of("a = Mul(x, x) b = Mul(a, x) y = Mul(b, x)"), "model.onnx")
    for node in model.graph.node:
        node.name = "same"
    assert audit_onnx(model, None, None).macs == 120


def test_two_dequantisers_of_one_value_are_not_both_free() -> None:
    """Only the undoing of a quantisation is free: scaling the same integers by another step multiplies."""
    body = "q = QuantizeLinear(x, s, z) a = DequantizeLinear(q, s, z) b = DequantizeLinear(q, t, z) y = Add(a, b)"
    audit = audit_of(graph_of(body, f"{X} | float s = {{0.5}}, float t = {{0.1}}, uint8 z = {{0}}"))
    assert audit.macs == 40 + 40


def test_false_shapes_in_the_file_change_nothing() -> None:
    """What the file says of its intermediate values is not believed by any count."""
    model = load_graph(graph_of("a = Mul(x, x) y = Mul(a, x)"), "model.onnx")
    model.graph.value_info.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, [1, 1, 1]))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 1]))
    audit = audit_onnx(model, None, None)
    assert audit.macs == 80
    assert not blocking(audit)


def test_counts_that_disagree_block_and_name_the_node() -> None:
    """Where the model makes another shape than the rules say, nothing is certified, and the node is named."""
    model = load_graph(graph_of("a = Mul(x, x) y = Relu(a)"), "model.onnx")
    model.graph.node[0].name = "liar"
    audit = audit_onnx(model, None, lambda _data, _inputs: {"a": (1, 4, 99), "y": (1, 4, 99)})
    assert any("'liar'" in message and "onnxruntime" in message for message in blocking(audit))


def test_a_node_that_only_one_count_knows_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """One count alone certifies nothing."""
    monkeypatch.setattr("kwsbench.budget.onnx_audit.inferred_shapes", lambda _model, _graph: {})
    data = graph_of("y = Mul(x, x)")
    assert "one way only" in blocking(audit_of(data, run=False))[0]
    assert not blocking(audit_of(data))


def test_a_model_that_onnxruntime_cannot_run_is_counted_and_says_so() -> None:
    """Without a run two counts are left, and a finding gives onnxruntime's reason."""
    audit = audit_of(graph_of("y = LRN<size = 3>(x)"))
    assert audit.macs == 160
    assert not blocking(audit)
    assert "counted without running it" in audit.findings[0].message


@pytest.mark.parametrize(
    ("body", "stored"),
    [
        ("n = Mul(s, s) t = ConstantOfShape(n) y = Add(x, t)", "int64[2] s = {1000000, 1}"),
        ("n = Mul(s, s) k = Unsqueeze(x, a) y = Expand(k, n)", "int64[4] s = {1000, 1000, 2, 1}, int64[1] a = {1}"),
        ("n = Mul(s, s) y = Tile(x, n)", "int64[3] s = {10000, 1, 1}"),
        (
            "n = Mul(s, s) k = Add(n, n) r = Range(z, k, o) f = Cast<to = 1>(r) m = ReduceSum(f) y = Add(x, m)",
            "int64 s = {1000000}, int64 z = {0}, int64 o = {1}",
        ),
        ("y = Resize(x, , r)", "float[3] r = {1, 1000000, 1000000}"),
        ("n = Mul(s, s) y = Pad(x, n)", "int64[6] s = {0, 0, 0, 0, 0, 1000000}"),
        (
            "p = Transpose<perm = [0, 2, 1]>(x) a = Expand(p, s) b = Expand(x, t) y = MatMul(a, b)",
            "int64[3] s = {10000, 10, 4}, int64[4] t = {100000, 1, 4, 10}",
        ),
    ],
)
def test_a_vast_tensor_that_the_graph_computes_is_refused_before_it_runs(body: str, stored: str) -> None:
    """Sizes that nodes compute from small constants are followed, and 10^12 elements are refused without allocating."""
    with pytest.raises(RefusedError, match="elements"):
        audit_of(graph_of(body, f"{X} | {stored}"))


@pytest.mark.parametrize(
    "body",
    [
        "y = MatMul(x, x)",
        "y = Conv<group = 3>(x, x)",
        "y = Gemm(x, x)",
        "y = Transpose<perm = [0, 0, 1]>(x)",
        "y = Concat<axis = 7>(x, x)",
        "y = Relu()",
        'y = Einsum<equation = "ab,bc->ac">(x, x)',
        "y = MaxPool<kernel_shape = [30]>(x)",
    ],
)
def test_a_graph_that_contradicts_itself_is_wrong_input(body: str) -> None:
    """Inputs that do not go together are an error that names the node, not a traceback."""
    with pytest.raises(InputError, match="node"):
        audit_of(graph_of(body), run=False)


def test_peak_memory_counts_what_is_alive_at_one_time() -> None:
    """Input, a branch that waits and its result are alive together; views share memory."""
    audit = audit_of(
        graph_of(
            "a = Relu(x) b = Concat<axis = 1>(a, a) r = Reshape(b, s) c = Concat<axis = 0>(r, r) y = Add(c, c)",
            f"{X} | int64[2] s = {{8, 10}}",
        )
    )
    assert audit.peak_activation_bytes == 4 * (160 + 160)
    audit = audit_of(graph_of("a = Relu(x) b = Concat<axis = 1>(a, a) y = Concat<axis = 1>(b, x)"))
    assert audit.peak_activation_bytes == 4 * (40 + 80 + 120)


def test_a_receptive_field_grows_with_kernels_strides_and_dilations() -> None:
    """Kernel 3, then stride 2, then dilation 2 behind a stride: 3 + 1 x 1 + 2 x 2 x 2 positions."""
    stored = "float[1, 4, 3] w = {1,1,1,1,1,1,1,1,1,1,1,1}, float[1, 1, 3] v = {1, 1, 1}"
    body = "a = Conv(x, w) b = MaxPool<kernel_shape = [2], strides = [2]>(a) y = Conv<dilations = [2]>(b, v)"
    audit = audit_of(graph_of(body, f"float[1, 4, 40] x | {stored}"))
    assert audit.receptive_field_frames == 3 + 1 + 2 * 2 * 2
    assert audit_of(graph_of("y = Relu(x)")).receptive_field_frames is None


def test_a_dead_end_of_the_graph_is_counted_as_it_stands() -> None:
    """The graph is counted as it is given: a node whose result nobody reads costs what it costs."""
    assert audit_of(graph_of("idle = Mul(x, x) y = Relu(x)")).macs == 40


def test_the_audit_leaves_the_model_as_it_was() -> None:
    """Counting twice gives the same, because nothing of the model is changed."""
    model = load_graph(exported(Network(), torch.zeros(1, 8, 20)), "model.onnx")
    before = model.SerializeToString(deterministic=True)
    assert audit_onnx(model, None, None) == audit_onnx(model, None, None)
    assert model.SerializeToString(deterministic=True) == before


def test_old_operator_sets_give_axes_as_attributes() -> None:
    """A Squeeze, a ReduceMean, a Pad and an Upsample of operator set 9 are read from their attributes."""
    body = """p = Pad<pads = [0, 0, 1, 0, 0, 1]>(x) u = Unsqueeze<axes = [0]>(p) s = Squeeze<axes = [0]>(u)
    k = Slice<axes = [2], starts = [1], ends = [11]>(s) y = ReduceMean<axes = [2]>(k)"""
    audit = audit_of(graph_of(body, opset=9))
    assert not blocking(audit)
    assert audit.macs == 4
