"""Whole ONNX graphs: networks with counts derived by hand, and the ways in which numbers and costs could be hidden."""

from __future__ import annotations

import pytest
import torch
from onnx import TensorProto, helper

from kwsbench.budget.onnx.audit import audit_onnx
from kwsbench.budget.report import Convolution
from kwsbench.checkpoint.onnx_file import load_graph
from kwsbench.errors import InputError, RefusedError
from tests.budget.onnx.models import audit_of, blocking, exported, graph_of

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
    assert audit.receptive_field_frames == 3 + 2 + 2


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
    monkeypatch.setattr("kwsbench.budget.onnx.audit.inferred_shapes", lambda *_: {})
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


def test_a_layer_tells_the_shape_of_its_convolution() -> None:
    """Channels and kernel come from the weight, groups from the attribute; a transposed one tells none."""
    network = torch.nn.Sequential(
        torch.nn.Unflatten(1, (4, 2)),
        torch.nn.Conv2d(4, 6, (2, 3), groups=2),
        torch.nn.ConvTranspose2d(6, 6, (1, 3)),
        torch.nn.Conv2d(6, 5, 1),
    )
    layers = audit_of(exported(network, torch.zeros(1, 8, 20))).layers
    assert {layer.name: layer.convolution for layer in layers} == {
        "1": Convolution(out_channels=6, in_channels=4, kernel=6, groups=2),
        "2": None,
        "3": Convolution(out_channels=5, in_channels=6, kernel=1),
    }


def test_a_convolution_with_a_weight_of_the_input_tells_no_shape() -> None:
    """What is computed from the input is no stored weight that could be made separable."""
    layers = audit_of(graph_of("y = Conv(x, x)", X)).layers
    assert [layer.convolution for layer in layers] == [None]
