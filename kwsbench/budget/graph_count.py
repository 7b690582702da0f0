"""Counts an ONNX graph in the sandbox where there is one, and times it there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.budget.latency import median_latency_ms
from kwsbench.budget.onnx import Shape, audit_onnx, inputs_for, read_graph
from kwsbench.budget.report import Audit, Record
from kwsbench.checkpoint.model_file import ModelFile
from kwsbench.checkpoint.onnx_file import load_graph
from kwsbench.errors import InputError
from kwsbench.runtime.onnx_sessions import open_session, run_session
from kwsbench.sandbox import call, unavailable_reason


class GraphCount(Record):
    """What was counted for the whole input.

    Attributes:
        audit: By walking through the graph, and by running it.
        input_shape: Shape of the input that it was counted for.
        latency_ms: Median time for one input, one thread; None where it does not run.
    """

    audit: Audit
    input_shape: tuple[int, ...]
    latency_ms: float | None


def count_graph(model: ModelFile, input_shape: Shape | None) -> GraphCount:
    """Counts an ONNX model for one clip.

    What passes `load_graph` only computes, so that without a sandbox it is counted here.

    Raises:
        InputError: It is no ONNX model, contradicts itself, or the shape of its input is needed.
        RefusedError: It would be unsafe to run, or it broke the limits of the sandbox.
    """
    name = str(model.path)
    if unavailable_reason() is not None:
        return _count(model.data, name, input_shape)
    request = {"name": name, "input_shape": input_shape and list(input_shape)}
    reply = call("kwsbench.budget.graph_count:count_task", request, files={"model": model.data}, what=name)
    return GraphCount.from_sandbox(reply.record, name)


def count_task(
    request: dict[str, Any], _arrays: Mapping[str, NDArray[Any]], files: Mapping[str, Path]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The task of the sandbox: counts the graph there."""
    shape = request["input_shape"]
    counted = _count(files["model"].read_bytes(), request["name"], shape and tuple(shape))
    return counted.model_dump(mode="json"), {}


def _count(data: bytes, name: str, input_shape: Shape | None) -> GraphCount:
    model = load_graph(data, name)
    graph = read_graph(model, input_shape)
    audit = audit_onnx(model, input_shape, _shapes)
    shape = next(iter(graph.inputs.values())).shape
    latency_ms = _latency_ms(model.SerializeToString(), inputs_for(graph))
    return GraphCount(audit=audit, input_shape=shape, latency_ms=latency_ms)


def _shapes(data: bytes, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Shape]:
    session = open_session(data, optimised=False)
    names = [value.name for value in session.get_outputs()]
    return {name: np.shape(made) for name, made in zip(names, run_session(session, inputs), strict=True)}


def _latency_ms(data: bytes, inputs: Mapping[str, NDArray[Any]]) -> float | None:
    try:
        session = open_session(data)
        return median_latency_ms(lambda: run_session(session, inputs))
    except InputError:
        return None
