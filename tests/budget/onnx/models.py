"""Small ONNX models for the tests, written in ONNX's own text form."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from kwsbench.budget.onnx.audit import audit_onnx
from kwsbench.budget.report import Audit
from kwsbench.checkpoint.onnx_file import load_graph
from kwsbench.runtime.onnx_sessions import open_session, run_session


def graph_of(body: str, header: str = "float[1, 4, 10] x", out: str = "y", opset: int = 21) -> bytes:
    """A model whose graph has the given inputs (and initialisers) and nodes; it puts out `out`."""
    heads = header.partition("|")
    stored = f" <{heads[2].strip()}>" if heads[2] else ""
    domains = f'"" : {opset}, "com.microsoft" : 1'
    text = f"<ir_version: 10, opset_import: [{domains}]> g ({heads[0].strip()}) => ({out}){stored} {{ {body} }}"
    return bytes(onnx.parser.parse_model(text).SerializeToString())


def audit_of(data: bytes, shape: tuple[int, ...] | None = None, *, run: bool = True) -> Audit:
    """The audit of a model, run by onnxruntime unless that is switched off."""
    return audit_onnx(load_graph(data, "model.onnx"), shape, execute if run else None)


def execute(data: bytes, inputs: Mapping[str, NDArray[Any]]) -> dict[str, tuple[int, ...]]:
    """The shapes of the outputs of a model, as onnxruntime produces them without any optimisation."""
    session = open_session(data, optimised=False)
    names = [value.name for value in session.get_outputs()]
    return {name: np.shape(made) for name, made in zip(names, run_session(session, inputs), strict=True)}


def blocking(audit: Audit) -> list[str]:
    """What keeps an audit from being certified."""
    return [finding.message for finding in audit.findings if finding.blocks]


def exported(network: torch.nn.Module, example: torch.Tensor, **options: Any) -> bytes:
    """A network as the exporter of torch that works on TorchScript writes it."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network.eval(), (example,), buffer, dynamo=False, input_names=["x"], **options)
    return buffer.getvalue()
