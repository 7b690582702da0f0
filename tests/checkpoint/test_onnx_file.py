"""Hostile, damaged and foreign ONNX files: each is refused with one clear error, and before anything is allocated."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from kwsbench.checkpoint.onnx_file import MAX_HEADER_CHARACTERS, MAX_NODES, header_of, load_graph
from kwsbench.checkpoint.onnx_wire import MAX_FIELDS, MAX_NAME_BYTES
from kwsbench.errors import InputError, KwsbenchError, RefusedError

PROPERTY = settings(deadline=None, derandomize=True, max_examples=150, database=None)
HEADER = {
    "baseline": "tiny",
    "config": {},
    "labels": ["yes", "no"],
    "num_keywords": 2,
    "front_end": {"kind": "log_mel", "window_samples": 400, "hop_samples": 160, "n_fft": 400, "num_mels": 40},
    "sample_rate_hz": 16000,
    "clip_samples": 16000,
    "manifest": "espeak_12",
    "revision": 1,
    "clips_sha256": "0",
    "seed": 0,
    "kwsbench_version": "0.1.0",
}


def plain_model() -> onnx.ModelProto:
    """A sound model: one product with a stored matrix."""
    weight = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(4, 3), "w")
    return model_of([helper.make_node("MatMul", ["x", "w"], ["y"], "product")], [weight])


def model_of(nodes: list[onnx.NodeProto], stored: list[TensorProto] | None = None) -> onnx.ModelProto:
    """A model of some nodes that reads `x`, of shape (1, 4), and makes `y`."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [x], [y], stored or [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def external(tensor: TensorProto, location: str) -> TensorProto:
    """The same tensor, kept in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return tensor


def refusal(model: onnx.ModelProto, kind: type[KwsbenchError] = RefusedError) -> str:
    """The message with which a model is refused."""
    with pytest.raises(kind) as caught:
        load_graph(model.SerializeToString(), "model.onnx")
    assert type(caught.value) is kind
    return caught.value.message


def constant(tensor: TensorProto) -> onnx.NodeProto:
    """A node that holds a tensor."""
    return helper.make_node("Constant", [], ["w"], value=tensor)


def stored(dims: list[int], name: str = "w") -> TensorProto:
    """A tensor that promises a shape and holds nothing."""
    return TensorProto(name=name, data_type=TensorProto.FLOAT, dims=dims)


PRODUCT = helper.make_node("MatMul", ["x", "w"], ["y"], "product")


def in_initialiser(model: onnx.ModelProto, tensor: TensorProto) -> None:
    """Puts a tensor among the initialisers."""
    model.graph.initializer.add().CopyFrom(tensor)


def in_constant(model: onnx.ModelProto, tensor: TensorProto) -> None:
    """Puts a tensor into a constant node."""
    model.graph.node.add().CopyFrom(helper.make_node("Constant", [], ["hidden"], value=tensor))


def in_sparse(model: onnx.ModelProto, tensor: TensorProto) -> None:
    """Puts a tensor into a sparse initialiser."""
    model.graph.sparse_initializer.add().values.CopyFrom(tensor)


def in_sparse_constant(model: onnx.ModelProto, tensor: TensorProto) -> None:
    """Puts a tensor into a constant node with sparse content."""
    node = model.graph.node.add(op_type="Constant", output=["hidden"])
    attribute = node.attribute.add(name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR)
    attribute.sparse_tensor.indices.CopyFrom(tensor)


def in_foreign_attribute(model: onnx.ModelProto, tensor: TensorProto) -> None:
    """Puts a tensor into an attribute that its operator does not have."""
    model.graph.node[0].attribute.add(name="more", type=onnx.AttributeProto.TENSORS).tensors.add().CopyFrom(tensor)


PLACES = [in_initialiser, in_constant, in_sparse, in_sparse_constant, in_foreign_attribute]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("location", ["weights.bin", "../../etc/passwd", "/etc/shadow"])
def test_data_in_another_file_is_refused_wherever_the_tensor_stands(
    place: Callable[[onnx.ModelProto, TensorProto], None], location: str
) -> None:
    """A tensor that lies outside the file is refused, and the message names it and where it points."""
    model = plain_model()
    place(model, external(numpy_helper.from_array(np.ones(3, np.float32), "far"), location))
    message = refusal(model)
    assert "'far'" in message
    assert location in message


@pytest.mark.parametrize("place", PLACES)
def test_a_tensor_that_promises_more_than_it_holds_is_refused(
    place: Callable[[onnx.ModelProto, TensorProto], None],
) -> None:
    """Dimensions of 10^12 elements without the bytes are refused, and no memory is taken for them."""
    model = plain_model()
    place(model, stored([1_000_000, 1_000_000], "vast"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "'vast'" in refusal(model)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64_000


@pytest.mark.parametrize(
    "tensor",
    [
        stored([100]),
        stored([1 << 32, 1 << 32]),
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], raw_data=bytes(8)),
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], raw_data=bytes(8), float_data=[1, 2]),
        TensorProto(name="w", data_type=TensorProto.INT4, dims=[3], raw_data=bytes(1)),
        TensorProto(name="w", data_type=TensorProto.FLOAT16, dims=[3], int32_data=[1, 2]),
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], raw_data=bytes(4), segment=TensorProto.Segment()),
    ],
)
def test_a_tensor_holds_exactly_what_its_dimensions_say(tensor: TensorProto) -> None:
    """Too few bytes, too many, the same numbers twice, or only a segment of them: refused."""
    assert "'w'" in refusal(model_of([PRODUCT], [tensor]))


@pytest.mark.parametrize(
    ("data_type", "count"), [(TensorProto.INT4, 3), (TensorProto.UINT4, 4), (TensorProto.BFLOAT16, 3)]
)
def test_narrow_numbers_are_read_packed(data_type: int, count: int) -> None:
    """Four-bit numbers share bytes, the last of which may be filled up."""
    bits = 4 if data_type in {TensorProto.INT4, TensorProto.UINT4} else 16
    tensor = TensorProto(name="w", data_type=data_type, dims=[count], raw_data=bytes(-(-count * bits // 8)))
    load_graph(model_of([PRODUCT], [tensor]).SerializeToString(), "model.onnx")


@pytest.mark.parametrize("tensor", [stored([-1]), TensorProto(name="w", data_type=TensorProto.STRING, dims=[0])])
def test_a_tensor_of_no_numbers_is_no_input(tensor: TensorProto) -> None:
    """A negative dimension or a tensor of text is a model that contradicts itself or is of no use."""
    refusal(model_of([PRODUCT], [tensor]), InputError)


@pytest.mark.parametrize(
    ("operator", "sizes"),
    [
        ("ConstantOfShape", [10**6, 10**6]),
        ("Expand", [10**12]),
        ("Tile", [10**12]),
        ("Resize", [10**6, 10**6]),
        ("Range", None),
        ("RandomNormal", None),
    ],
)
def test_a_node_that_makes_a_vast_tensor_is_refused(operator: str, sizes: list[int] | None) -> None:
    """Constants that ask an operator for 10^12 elements are refused before anything runs."""
    if operator == "RandomNormal":
        nodes = [helper.make_node(operator, [], ["y"], "maker", shape=[10**12])]
        assert "'maker'" in refusal(model_of(nodes))
        return
    if operator == "Range":
        contents = [numpy_helper.from_array(np.array(n, np.int64), f"n{i}") for i, n in enumerate([0, 10**12, 1])]
        assert "'maker'" in refusal(
            model_of([helper.make_node(operator, ["n0", "n1", "n2"], ["y"], "maker")], contents)
        )
        return
    inputs = {"ConstantOfShape": ["s"], "Resize": ["x", "", "", "s"]}.get(operator, ["x", "s"])
    shape = numpy_helper.from_array(np.array(sizes, np.int64))
    held = [helper.make_node("Constant", [], ["s"], value=shape), helper.make_node(operator, inputs, ["y"], "maker")]
    assert "'maker'" in refusal(model_of(held))


def branch(name: str) -> onnx.GraphProto:
    """A graph inside a graph."""
    made = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    return helper.make_graph([helper.make_node("Identity", ["x"], [name])], name, [], [made])


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("If", ["x"], ["y"], then_branch=branch("a"), else_branch=branch("b")),
        helper.make_node("Loop", ["", "", "x"], ["y"], body=branch("a")),
        helper.make_node("Scan", ["x"], ["y"], body=branch("a"), num_scan_inputs=1),
        helper.make_node("SequenceMap", ["x"], ["y"], body=branch("a")),
        helper.make_node("Relu", ["x"], ["y"], hidden=branch("a")),
        helper.make_node("Relu", ["x"], ["y"], hidden=[branch("a"), branch("b")]),
    ],
)
def test_control_flow_is_refused(node: onnx.NodeProto) -> None:
    """Loops, branches and any operator with a graph of its own are refused."""
    message = refusal(model_of([node]))
    assert node.op_type in message
    assert "control flow" in message


def test_control_flow_inside_control_flow_is_refused() -> None:
    """A loop whose body branches and scans is refused like a plain one."""
    body = branch("a")
    for operator, names in (("Scan", ["body"]), ("If", ["then_branch", "else_branch"]), ("Loop", ["body"])):
        node = helper.make_node(operator, ["x"], ["y"], **dict.fromkeys(names, body))
        body = helper.make_graph([node], operator, [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    assert "'Loop'" in refusal(model_of(list(body.node)))


FORMS = {
    "no input": helper.make_node("Relu", [], ["y"]),
    "too many inputs": helper.make_node("Relu", ["x", "x"], ["y"]),
    "an attribute that is missing": helper.make_node("MaxPool", ["x"], ["y"]),
    "an attribute that it does not have": helper.make_node("Relu", ["x"], ["y"], kernel_shape=[3]),
    "an attribute of another type": helper.make_node("MaxPool", ["x"], ["y"], kernel_shape="three"),
    "one of com.microsoft": helper.make_node("QLinearAdd", ["x"] * 8, ["y"], domain="com.microsoft", axis="x"),
    "two of one name": onnx.NodeProto(
        op_type="Softmax",
        input=["x"],
        output=["y"],
        attribute=[helper.make_attribute("axis", 0), helper.make_attribute("axis", 1)],
    ),
}


@pytest.mark.parametrize("node", FORMS.values(), ids=FORMS)
def test_a_node_that_is_not_formed_as_the_standard_says_is_wrong_input(node: onnx.NodeProto) -> None:
    """Native code believes what a node says of itself, so that it is compared with the standard before."""
    model = model_of([node])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert f"({node.op_type})" in refusal(model, InputError)


@pytest.mark.parametrize(
    ("operator", "domain"),
    [
        ("Relu", "my.company"),
        ("FusedConv", "com.microsoft"),
        ("ImageDecoder", ""),
        ("TfIdfVectorizer", ""),
        ("NoSuchOperator", ""),
        ("SequenceConstruct", ""),
    ],
)
def test_an_operator_that_is_not_listed_is_refused(operator: str, domain: str) -> None:
    """An operator of a foreign domain, or of the standard but not on the list, is refused by name."""
    assert repr(operator) in refusal(model_of([helper.make_node(operator, ["x"], ["y"], domain=domain)]))


def test_trees_in_onnx_are_refused_with_the_way_out() -> None:
    """A model of ai.onnx.ml is refused, and the message says which trees are read."""
    node = helper.make_node("TreeEnsembleClassifier", ["x"], ["y"], domain="ai.onnx.ml")
    assert "LightGBM text models" in refusal(model_of([node]))


def test_functions_and_training_graphs_are_refused() -> None:
    """A model that defines its own functions could rename any operator; one with a training graph holds two models."""
    model = plain_model()
    model.functions.add(name="MatMul", domain="my")
    assert "inline_local_functions" in refusal(model)
    model = plain_model()
    model.training_info.add()
    assert "training" in refusal(model)


def test_functions_that_call_each_other_are_refused() -> None:
    """Two functions that never end are not followed at all."""
    model = model_of([helper.make_node("Ping", ["x"], ["y"], domain="my")])
    model.opset_import.append(helper.make_opsetid("my", 1))
    for name, other in (("Ping", "Pong"), ("Pong", "Ping")):
        call = helper.make_node(other, ["a"], ["b"], domain="my")
        model.functions.append(helper.make_function("my", name, ["a"], ["b"], [call], model.opset_import))
    assert "'Ping'" in refusal(model)


@pytest.mark.parametrize("versions", [[], [6], [999], [20, 13]])
def test_an_unknown_operator_set_is_named(versions: list[int]) -> None:
    """A version that is too old, unknown, missing or given twice is wrong input."""
    model = plain_model()
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid("", version) for version in versions)
    model.opset_import.extend([helper.make_opsetid("unused.domain", 1)])
    assert "operator set" in refusal(model, InputError)


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("Relu", ["b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])],
        [helper.make_node("Relu", ["y"], ["y"])],
        [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["y"])],
        [helper.make_node("Relu", ["x"], ["x"])],
        [helper.make_node("Relu", ["x"], ["z"])],
        [],
    ],
)
def test_a_graph_that_is_no_order_of_steps_is_wrong_input(nodes: list[onnx.NodeProto]) -> None:
    """A cycle, a value that is made twice, and an output that nothing makes are found before anything is counted."""
    assert "no valid ONNX model" in refusal(model_of(nodes), InputError)


def test_two_stored_tensors_of_one_name_are_wrong_input() -> None:
    """Which of the two would count is not to be guessed."""
    weight = plain_model().graph.initializer[0]
    assert "one name" in refusal(model_of([PRODUCT], [weight, weight]), InputError)


def test_a_file_of_very_many_small_parts_is_refused_before_it_is_parsed() -> None:
    """Two bytes become an object of a hundred, so a file of more than a million parts is refused."""
    nodes = b"\x0a\x00" * (MAX_FIELDS + 1)
    length = len(nodes)
    varint = bytes([length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14 & 0x7F | 0x80, length >> 21])
    with pytest.raises(RefusedError, match="small parts"):
        load_graph(b"\x08\x0a\x3a" + varint + nodes, "model.onnx")


def test_a_graph_of_very_many_nodes_is_refused() -> None:
    """One node more than the limit is too many."""
    model = model_of([])
    model.graph.node.extend([helper.make_node("Relu", ["x"], ["y"])] * (MAX_NODES + 1))
    assert f"{MAX_NODES + 1:,} nodes" in refusal(model)


@pytest.mark.parametrize("place", ["name", "op_type", "domain", "input", "output"])
def test_a_name_of_absurd_length_is_refused(place: str) -> None:
    """Names stand in messages; one of two megabytes does not, wherever it stands."""
    model, text = plain_model(), "n" * (MAX_NAME_BYTES + 1)
    node = model.graph.node[0]
    if place in {"input", "output"}:
        getattr(node, place)[0] = text
    else:
        setattr(node, place, text)
    assert len(refusal(model)) < 200


def test_long_descriptions_do_no_harm() -> None:
    """Metadata and documentation of a few megabytes are nobody's names, and the model loads."""
    model = plain_model()
    model.doc_string = "d" * 5_000_000
    model.metadata_props.add(key="notes", value="v" * 5_000_000)
    assert header_of(load_graph(model.SerializeToString(), "model.onnx"), "model.onnx") is None


def test_a_header_of_absurd_length_is_not_parsed() -> None:
    """The header of an export takes a few kilobytes; one of a million characters is wrong input."""
    with pytest.raises(InputError, match="characters"):
        header_of(with_headers(json.dumps({**HEADER, "baseline": "b" * MAX_HEADER_CHARACTERS})), "model.onnx")


def test_a_deeply_nested_file_is_refused() -> None:
    """Graphs inside graphs inside graphs never reach a parser that recurses."""
    graph = b""
    for _ in range(60):
        for field in (b"\x32", b"\x2a", b"\x0a"):  # the graph of an attribute of a node of a graph
            length = len(graph)
            graph = field + bytes([length & 0x7F | 0x80, length >> 7]) + graph
    with pytest.raises(RefusedError, match="nested"):
        load_graph(b"\x08\x0a\x3a" + bytes([len(graph) & 0x7F | 0x80, len(graph) >> 7]) + graph, "model.onnx")


def test_a_sound_model_passes_and_unknown_fields_are_dropped() -> None:
    """What the schema does not know is gone afterwards, so that nobody can read another model from the same bytes."""
    data = plain_model().SerializeToString()
    assert load_graph(data + b"\xfa\x3f\x04evil", "model.onnx").SerializeToString() == data


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"tree\nversion=v4\n", b"\x80\x02}q\x00.", bytes(100)])
def test_a_foreign_file_is_no_onnx_model(data: bytes) -> None:
    """An empty file, an archive, a text and a pickle are told apart from a model, in one sentence."""
    with pytest.raises(InputError, match="no ONNX model"):
        load_graph(data, "model.onnx")


def test_a_file_that_is_cut_off_anywhere_is_wrong_input() -> None:
    """No prefix of a model passes, and each ends in an error with the file's name."""
    data = plain_model().SerializeToString()
    for end in range(len(data)):
        with pytest.raises(KwsbenchError, match=r"model\.onnx"):
            load_graph(data[:end], "model.onnx")


@PROPERTY
@given(st.data())
def test_a_damaged_file_never_ends_in_another_error(data: st.DataObject) -> None:
    """Whatever bytes are changed, the file loads or is refused by one of the kit's own errors."""
    damaged = bytearray(plain_model().SerializeToString())
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        load_graph(bytes(damaged), "model.onnx")
    except KwsbenchError as error:
        assert error.exit_code in {2, 3}  # noqa: PT017 - the property holds where it loads, too


@PROPERTY
@given(st.binary(max_size=200))
def test_noise_is_no_onnx_model(data: bytes) -> None:
    """Random bytes never load."""
    with pytest.raises(KwsbenchError):
        load_graph(data, "model.onnx")


def with_headers(*texts: str) -> onnx.ModelProto:
    """A model with entries of metadata that kwsbench writes."""
    model = plain_model()
    for text in texts:
        entry = model.metadata_props.add()
        entry.key, entry.value = "kwsbench", text
    return model


def test_an_export_of_kwsbench_says_what_it_is() -> None:
    """The header comes back from the metadata, and a model without one has none."""
    header = header_of(with_headers(json.dumps(HEADER)), "model.onnx")
    assert header is not None
    assert header.labels == ("yes", "no")
    assert header_of(plain_model(), "model.onnx") is None


@pytest.mark.parametrize(
    "texts", [("{}",), ("no JSON",), (json.dumps({**HEADER, "more": 1}),), (json.dumps(HEADER),) * 2]
)
def test_a_header_that_is_not_one_is_wrong_input(texts: tuple[str, ...]) -> None:
    """A header with missing or unknown fields, no JSON, or two headers are errors that name the file."""
    with pytest.raises(InputError, match=r"model\.onnx"):
        header_of(with_headers(*texts), "model.onnx")
