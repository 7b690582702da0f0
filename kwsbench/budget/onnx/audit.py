"""Counts an ONNX graph: what it multiplies for one clip, what it stores, and how much memory it needs.

Everything is counted twice. The first count follows shapes through the graph by kwsbench's own rules, from the weights,
the attributes and the shape of the input. The second takes the shapes that `onnx.shape_inference` finds and, for
products, formulas in another wording. Where the model can run, a third takes the shapes that onnxruntime produced. They
must agree at every node: where they do not, or where only one of them knows, nothing can be certified. Only where
onnxruntime confirms the first count is shape inference overruled, with a finding that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.budget.onnx.costs import macs_of
from kwsbench.budget.onnx.graph import Graph, Shape, Step, read_graph
from kwsbench.budget.onnx.layers import layers_of
from kwsbench.budget.onnx.memory import peak_bytes
from kwsbench.budget.onnx.operands import contradictions_told
from kwsbench.budget.onnx.propagation import Propagation, propagate
from kwsbench.budget.onnx.receptive_field import receptive_field
from kwsbench.budget.onnx.second_count import inferred_shapes, second_macs
from kwsbench.budget.onnx.stored import inventory_of
from kwsbench.budget.onnx.widths import follows_quantising, width_of
from kwsbench.budget.report import Audit, Finding
from kwsbench.errors import InputError

Execute = Callable[[bytes, Mapping[str, NDArray[Any]]], Mapping[str, Shape]]
"""Runs a serialised model, all of whose intermediate values are outputs, and returns the shapes of its outputs."""

_MOST_FINDINGS = 5
_INFERENCE, _RUNTIME = "shape inference", "onnxruntime"


@dataclass
class _Count:
    """One walk through the steps."""

    macs: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def audit_onnx(model: Any, input_shape: Shape | None, execute: Execute | None) -> Audit:
    """Counts a model for one clip.

    Args:
        model: The `onnx.ModelProto` that `load_graph` returned.
        input_shape: Shape of its first input, batch first; None where the model fixes all but the batch, which is 1 then.
        execute: Runs the model; None where it cannot be run.

    Returns:
        The counts, for the whole input.

    Raises:
        InputError: The input shape is needed, or contradicts the model; or the model contradicts itself.
        RefusedError: A value would have more than 10^9 elements.
    """
    graph = read_graph(model, input_shape)
    found = propagate(graph)
    inventory = inventory_of(graph, found)
    count = _first_count(graph, found)
    findings = [*count.findings, *_second_findings(model, graph, found, count.macs, execute), *inventory.findings]
    return Audit(
        params=inventory.params,
        macs=sum(count.macs.values()),
        weight_bytes=inventory.weight_bytes,
        batch_norm_statistics=inventory.statistics,
        macs_by_width=_by_width(graph, found, count.macs),
        peak_activation_bytes=peak_bytes(graph, found),
        receptive_field_frames=receptive_field(graph, found),
        layers=layers_of(graph, found, inventory, count.macs),
        findings=tuple(findings),
    )


def inputs_for(graph: Graph) -> dict[str, NDArray[Any]]:
    """Returns an input to run a graph with: small numbers, the same every time."""
    from onnx.helper import tensor_dtype_to_np_dtype

    generator = np.random.default_rng(0)
    return {
        name: (generator.standard_normal(value.shape) * 0.1).astype(tensor_dtype_to_np_dtype(value.data_type))
        for name, value in graph.inputs.items()
    }


def with_all_outputs(model: Any, graph: Graph) -> bytes:
    """Returns a model, serialised, that also puts out every intermediate value."""
    import onnx

    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    known = {value.name for value in shown.graph.output}
    made = [name for step in graph.steps for name in step.outputs if name and name not in known]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    return bytes(shown.SerializeToString())


def _first_count(graph: Graph, found: Propagation) -> _Count:
    count = _Count()
    for step in graph.steps:
        if reason := found.unknown.get(step.name):
            count.findings.append(_blocking(f"node {step.name!r} ({step.op}) cannot be counted: {reason}"))
        elif found.knows((*step.inputs, *step.outputs)) and _depends(step, found):
            with contradictions_told(step):
                _count_step(count, step, graph, found)
    if not any(found.values[name].depends for name in graph.outputs if name in found.values) and not count.findings:
        count.findings.append(_blocking("no output of the graph depends on its input"))
    return count


def _count_step(count: _Count, step: Step, graph: Graph, found: Propagation) -> None:
    operands, results = found.operands(step), [found.values[name] for name in step.outputs if name]
    macs = 0 if follows_quantising(step, graph, found) else macs_of(step, operands, results)
    if macs is None:
        count.findings.append(_blocking(f"node {step.name!r} ({step.op}) has no formula for what it multiplies"))
    count.macs[step.name] = macs or 0


def _depends(step: Step, found: Propagation) -> bool:
    return any(found.values[name].depends for name in step.outputs if name)


def _blocking(message: str) -> Finding:
    return Finding(message=message, blocks=True)


def _second_findings(
    model: Any, graph: Graph, found: Propagation, macs: Mapping[str, int], execute: Execute | None
) -> list[Finding]:
    if found.unknown:  # it is not certified anyway, and native code sees only what kwsbench's rules understand
        return []
    sources = {_INFERENCE: _inferred(model, graph, found)}
    findings: list[Finding] = []
    if execute is not None:
        try:
            sources[_RUNTIME] = _observed(model, graph, execute)
        except InputError as error:
            findings.append(Finding(message=f"counted without running it: {error.message}"))
    for step in graph.steps:
        if step.name in macs:
            findings += _step_findings(step, graph, found, macs[step.name], sources)
    return sorted(findings, key=lambda finding: not finding.blocks)[:_MOST_FINDINGS]


def _observed(model: Any, graph: Graph, execute: Execute) -> dict[str, Shape]:
    inputs = inputs_for(graph)
    stored = {name: tensor.value.shape for name, tensor in graph.stored.items()}
    given = {name: value.shape for name, value in inputs.items()}
    return {**stored, **given, **execute(with_all_outputs(model, graph), inputs)}


def _inferred(model: Any, graph: Graph, found: Propagation) -> dict[str, Shape]:
    from onnx import shape_inference

    try:
        return inferred_shapes(model, graph, found)
    except (shape_inference.InferenceError, RuntimeError):
        return {}


def _step_findings(
    step: Step, graph: Graph, found: Propagation, macs: int, sources: Mapping[str, Mapping[str, Shape]]
) -> list[Finding]:
    said = {source: _disagreement(step, graph, found, macs, shapes) for source, shapes in sources.items()}
    if macs and all(message is None for message in said.values()):
        return [_blocking(f"node {step.name!r} ({step.op}) could be counted in one way only")]
    # What runs decides: where it agrees, shape inference is known to err (pooling rounded up, one-sided transforms).
    ran_alike = said.get(_RUNTIME) == ""
    return [
        Finding(message=f"node {step.name!r} ({step.op}) {message} by {source}", blocks=not ran_alike)
        for source, message in said.items()
        if message
    ]


def _disagreement(step: Step, graph: Graph, found: Propagation, macs: int, shapes: Mapping[str, Shape]) -> str | None:
    # None where the other source does not know, an empty text where it agrees.
    for name in step.outputs:
        if name in shapes and shapes[name] != found.values[name].shape:
            return f"makes the shape {found.values[name].shape} by kwsbench's rules and {shapes[name]}"
    other = 0 if follows_quantising(step, graph, found) else second_macs(step, found, shapes)
    if other is None or other == macs:
        return None if other is None else ""
    return f"has {macs:,} MACs by kwsbench's rules and {other:,}"


def _by_width(graph: Graph, found: Propagation, macs: Mapping[str, int]) -> dict[str, int]:
    widths: dict[str, int] = {}
    for step in graph.steps:
        if macs.get(step.name, 0):
            width = width_of(step, graph, found)
            widths[width] = widths.get(width, 0) + macs[step.name]
    return widths
