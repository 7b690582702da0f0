"""Networks as graphs of 8-bit integers: those trained with rounding, and those rounded after training.

Both are written as pairs of QuantizeLinear and DequantizeLinear around operators in floating point, which is standard
ONNX; onnxruntime turns them into operators on integers (https://onnxruntime.ai/docs/performance/quantization.html).
"""

from __future__ import annotations

import contextlib
import copy
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.errors import InputError
from kwsbench.extras import import_extra, import_torch

_OPERATOR_SET = 17  # of what torch's older exporter writes and onnxruntime's integer operators read
_LARGEST_OF_7_BITS = 63
_QUANTISERS = ("QuantizeLinear", "DequantizeLinear")


def is_trained_with_rounding(network: Any) -> bool:
    """Returns whether a network has layers of Brevitas, which imitate integers in floating point."""
    return any(type(module).__module__.startswith("brevitas.") for module in network.modules())


def integer_graph(network: Any, example: Any, inputs: str, outputs: str) -> Any:
    """Returns the graph of a network with layers of Brevitas: integer weights, batch norm folded into them.

    Folding changes no integer where the scale of each channel is drawn from the channel's own weights: it multiplies
    both by the same number.

    Args:
        network: A network in evaluation mode; it is not changed.
        example: Two inputs, for tracing.
        inputs: Name of the graph's input.
        outputs: Name of the graph's output.

    Returns:
        An `onnx.ModelProto` that takes any number of clips.

    Raises:
        InputError: Brevitas, onnx or onnxoptimizer is not installed.
    """
    export = import_extra("brevitas.export", "quantise", "Brevitas").export_onnx_qcdq
    onnx = import_extra("onnx", "onnx")
    import_extra("onnxoptimizer", "quantise")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export(
            _with_folded_batch_norm(network),
            args=example,
            export_path=str(path),
            dynamo=False,
            opset_version=_OPERATOR_SET,
            keep_initializers_as_inputs=False,
            input_names=[inputs],
            output_names=[outputs],
            dynamic_axes={inputs: {0: "batch"}, outputs: {0: "batch"}},
        )
        model = onnx.load(path)
    _drop_clips_of_weights(model.graph)
    _add_biases_to_narrow_sums(model.graph)
    _drop_unread(model.graph)
    _shorten_names(model.graph)
    return model


def rounded_after_training(graph: bytes, clips: NDArray[np.float32]) -> Any:
    """Returns a graph in floating point as one in 8 bits, with activations' ranges as real clips have them.

    Weights are signed, with one scale per channel and no zero point; activations are unsigned with a zero point, since
    onnxruntime takes ReLU into its integer operators only where 0 is the least value; their ranges end at the least and
    the largest value on the clips (Wu et al., "Integer Quantization for Deep Learning Inference", arXiv:2004.09602).

    Args:
        graph: A serialised ONNX model with one input.
        clips: What clips of the training split sound like to it, shape (clips, ...).

    Returns:
        An `onnx.ModelProto` without the metadata of the other.

    Raises:
        InputError: onnx or onnxruntime is not installed, or there are no clips.
    """
    quantization = import_extra("onnxruntime.quantization", "onnx", "onnxruntime")
    onnx = import_extra("onnx", "onnx")
    if not len(clips):
        raise InputError("there are no clips to measure the ranges of activations on")
    model = onnx.load_model_from_string(graph)
    with tempfile.TemporaryDirectory() as folder, _files_in(folder):
        path = Path(folder) / "int8.onnx"
        quantization.quantize_static(
            model,
            path,
            _Reader(model.graph.input[0].name, clips),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        rounded = onnx.load(path)
    del rounded.metadata_props[:]
    _shorten_names(rounded.graph)
    return rounded


class _Reader:
    """Hands clips to onnxruntime, which asks until there is none."""

    def __init__(self, name: str, clips: NDArray[np.float32]) -> None:
        self._parts = ({name: clips[[row]]} for row in range(len(clips)))

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._parts, None)


@contextlib.contextmanager
def _files_in(folder: str) -> Iterator[None]:
    """Has libraries put their temporary files into a folder that is removed."""
    before, tempfile.tempdir = tempfile.tempdir, folder
    try:
        yield
    finally:
        tempfile.tempdir = before


def _with_folded_batch_norm(network: Any) -> Any:
    torch: Any = import_torch()
    merge_bn = import_extra("brevitas.nn.utils", "quantise", "Brevitas").merge_bn
    folded = copy.deepcopy(network)
    for sequence in (module for module in folded.modules() if isinstance(module, torch.nn.Sequential)):
        for (_, layer), (name, norm) in pairwise(list(sequence.named_children())):
            if hasattr(layer, "weight_quant") and isinstance(norm, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                merge_bn(layer, norm)
                setattr(sequence, name, torch.nn.Identity())
    return folded


def _drop_clips_of_weights(graph: Any) -> None:
    """Weights are stored as they are after the clipping to their bit width."""
    stored = _stored(graph)
    clips = [node for node in graph.node if node.op_type == "Clip" and node.input[0] in stored]
    source = {node.output[0]: node.input[0] for node in clips}
    for node in clips:
        graph.node.remove(node)
    for node in graph.node:
        node.input[:] = [source.get(name, name) for name in node.input]


def _add_biases_to_narrow_sums(graph: Any) -> None:
    """Takes the bias out of every convolution whose integers have fewer than 8 bits, and adds it to the result.

    onnxruntime rounds the bias of a convolution to a multiple of the scales of input and weights, which for few bits is
    coarser than the activations: such a convolution stays in floating point, so that it gives what training gave.
    """
    stored, made_from = _stored(graph), {node.output[0]: list(node.input) for node in graph.node}
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        graph.node.append(node)
        if node.op_type != "Conv" or len(node.input) < 3 or not _is_narrow(stored[made_from[node.input[1]][0]]):
            continue
        graph.node[-1].CopyFrom(_without_bias(node))
        graph.node.append(_sum_with_bias(node, stored[node.input[2]], graph))


def _is_narrow(weights: NDArray[Any]) -> bool:
    return int(np.abs(weights.astype(np.int16)).max(initial=0)) <= _LARGEST_OF_7_BITS


def _without_bias(node: Any) -> Any:
    bare = copy.deepcopy(node)
    bare.input[:] = node.input[:2]
    bare.output[:] = [f"{node.output[0]}_sum"]
    return bare


def _sum_with_bias(node: Any, bias: NDArray[Any], graph: Any) -> Any:
    from onnx import helper, numpy_helper

    name = f"{node.input[2]}_column"
    graph.initializer.append(numpy_helper.from_array(bias[:, None], name))
    return helper.make_node("Add", [f"{node.output[0]}_sum", name], [node.output[0]], name=f"{node.name}_bias")


def _stored(graph: Any) -> dict[str, NDArray[Any]]:
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def _drop_unread(graph: Any) -> None:
    read = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)


def _shorten_names(graph: Any) -> None:
    """Takes out what exporters write for people: names of values, and where each came from, are a third of the file."""
    kept = {one.name for one in (*graph.input, *graph.output)}
    values = [tensor.name for tensor in graph.initializer] + [name for node in graph.node for name in node.output]
    short = {name: f"v{number}" for number, name in enumerate(dict.fromkeys(values)) if name and name not in kept}
    for tensor in graph.initializer:
        tensor.name = short[tensor.name]
    for node in graph.node:
        node.input[:] = [short.get(name, name) for name in node.input]
        node.output[:] = [short.get(name, name) for name in node.output]
        if node.op_type in _QUANTISERS:
            node.name = ""
        del node.metadata_props[:]
    for described in (graph.value_info, graph.metadata_props, graph.quantization_annotation):
        del described[:]
