"""How much memory the activations of an ONNX graph need."""

from __future__ import annotations

from kwsbench.budget.onnx.graph import Graph, Step
from kwsbench.budget.onnx.propagation import Propagation
from kwsbench.checkpoint.onnx_file import names

_VIEWS = names("DequantizeLinear Dropout Flatten Identity Reshape Squeeze Unsqueeze")
_BEFORE_QUANTISING = names("Clip Relu")


def peak_bytes(graph: Graph, found: Propagation) -> int:
    """Returns the most bytes of inputs, outputs and intermediate results that are alive at one time.

    The nodes run in the order of the graph; a value lives from the node that makes it to the last that reads it. Views
    share the memory of what they show. A value that is only read to be quantised is made in integers at once, and one
    that is dequantised is read as integers, as integer operators do.

    Args:
        graph: The graph.
        found: The values of the graph.
    """
    owners = _owners(graph)
    sizes = {_root(owners, name): 0 for name, value in found.values.items() if value.depends}
    sizes = {name: found.values[name].num_bytes for name in sizes if name in found.values}
    ends = _ends(graph, owners)
    ending: dict[int, list[str]] = {}
    for name in sizes:
        ending.setdefault(ends.get(name, 0), []).append(name)
    alive = {name for name in graph.inputs if name in ends}
    held = peak = sum(sizes[name] for name in alive)
    for index, step in enumerate(graph.steps):
        made = {root for name in step.outputs if (root := _root(owners, name)) in sizes} - alive
        alive |= made
        held += sum(sizes[name] for name in made)
        peak = max(peak, held)
        ended = alive.intersection(ending.get(index, ()))
        alive -= ended
        held -= sum(sizes[name] for name in ended)
    return peak


def _ends(graph: Graph, owners: dict[str, str]) -> dict[str, int]:
    # The step after which nothing reads a value.
    ends: dict[str, int] = {}
    for index, step in enumerate(graph.steps):
        ends |= {_root(owners, name): index for name in (*step.outputs, *step.inputs)}
    return ends | {_root(owners, name): len(graph.steps) for name in graph.outputs}


def _root(owners: dict[str, str], name: str) -> str:
    passed = []
    while name in owners:
        passed.append(name)
        name = owners[name]
    owners |= dict.fromkeys(passed, name)  # a long chain is walked once
    return name


def _owners(graph: Graph) -> dict[str, str]:
    # Whose memory a value shares: forwards to what it is quantised into, backwards to what it shows.
    readers: dict[str, list[Step]] = {}
    for step in graph.steps:
        for name in step.inputs:
            readers.setdefault(name, []).append(step)
    owners: dict[str, str] = {}
    for step in reversed(graph.steps):
        made = step.outputs[0]
        only = readers[made][0] if len(readers.get(made, ())) == 1 and made not in graph.outputs else None
        if step.op in _VIEWS:
            owners[made] = step.inputs[0]
        elif only is not None and _ends_in_integers(only, owners):
            owners[made] = only.outputs[0]
    return owners


def _ends_in_integers(step: Step, owners: dict[str, str]) -> bool:
    return step.op == "QuantizeLinear" or (step.op in _BEFORE_QUANTISING and step.outputs[0] in owners)
