"""Counts a model in the way of its format: a network is executed, a graph is walked through, trees are added up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from kwsbench.budget.network_count import NetworkCount, count_in_sandbox, count_network
from kwsbench.budget.question import Question
from kwsbench.budget.report import Audit, Finding, ThopCount
from kwsbench.checkpoint.exports import header_of_export
from kwsbench.checkpoint.lightgbm import parse_lightgbm
from kwsbench.checkpoint.model_file import Format, ModelFile
from kwsbench.checkpoint.network import load_network
from kwsbench.checkpoint.stored import stored_numbers
from kwsbench.checkpoint.tensors import read_tensors
from kwsbench.errors import InputError
from kwsbench.runtime.definitions import Definition, read_definition, suspicions
from kwsbench.runtime.networks import NetworkSource, network_of_checkpoint

_WEIGHTS_ONLY = (Format.STATE_DICT, Format.LIGHTNING, Format.SAFETENSORS)
_FOLDED = (
    Finding(
        message="an ONNX export folds batch norm right behind a convolution into its weights, so that it may store and"
        " multiply less than its checkpoint"
    ),
)
_HEADER_BYTES = 16  # of a LightGBM text before kwsbench's own line


@dataclass(frozen=True)
class Counted:
    """What a format's own way of counting gave, for the whole input.

    Attributes:
        question: The question with what the model says of its input.
        params: What was counted where there was nothing to execute.
        audit: What was counted by executing or walking through it.
        thop: What thop counts.
        weight_bytes: Bytes of the stored numbers, where there is no audit.
        findings: What a reader must know.
        more: Further fields of the report.
    """

    question: Question
    params: int = 0
    audit: Audit | None = None
    thop: ThopCount | None = None
    weight_bytes: int = 0
    findings: tuple[Finding, ...] = ()
    more: dict[str, Any] = dataclasses.field(default_factory=dict)


def count_model(model: ModelFile, question: Question) -> Counted:
    """Counts a model for one input.

    Raises:
        InputError: It is no model, or what is needed to count it is missing.
        RefusedError: It would be unsafe to handle, or it broke the limits of the sandbox.
    """
    if question.arch is not None and model.format not in _WEIGHTS_ONLY:
        raise InputError(
            f"--arch goes with a file of weights; {model.path} ({model.format}) holds its own architecture"
        )
    return _COUNTERS[model.format](model, question)


def _count_checkpoint(model: ModelFile, question: Question) -> Counted:
    checkpoint = load_network(model)
    question = question.of(checkpoint.header)
    network = network_of_checkpoint(checkpoint, question.baselines)
    probes = question.probes()
    return _of_network(question, probes, count_network(network, probes))


def _count_weights(model: ModelFile, question: Question) -> Counted:
    if question.arch is not None:
        definition = read_definition(question.arch)
        counted = _count_source(NetworkSource(model, definition), question)
        return dataclasses.replace(counted, findings=(*_suspicions(definition), *counted.findings))
    stored = stored_numbers(read_tensors(model).tensors)
    message = (
        f"{model.path.name} holds weights without an architecture: their numbers are counted, MACs cannot be;"
        " give --arch FILE.py:CALLABLE and --input-shape, or hand in a kwsbench checkpoint or an ONNX export"
    )
    return Counted(question, stored.params, weight_bytes=stored.weight_bytes, findings=(Finding(message=message),))


def _suspicions(definition: Definition) -> tuple[Finding, ...]:
    return tuple(
        Finding(message=f"{text}, with which a definition can reach around the audit; read it", blocks=True)
        for text in suspicions(definition)
    )


def _count_stranger(model: ModelFile, question: Question) -> Counted:
    return _count_source(NetworkSource(model), question.of(header_of_export(model)))


def _count_source(source: NetworkSource, question: Question) -> Counted:
    if question.shape is None:
        raise InputError(
            f"{source.model.path.name} ({source.model.format}) does not say what its input is; give --input-shape, such"
            " as 1,64,101, or --manifest, whose front-end then counts"
        )
    probes = question.probes()
    return _of_network(question, probes, count_in_sandbox(source, probes))


def _of_network(question: Question, probes: Iterable[str], counted: NetworkCount) -> Counted:
    more = {"latency_ms": counted.latency_ms, "probes": tuple(probes)}
    return Counted(question, audit=counted.audit, thop=counted.thop, more=more)


def _count_graph(model: ModelFile, question: Question) -> Counted:
    from kwsbench.budget.graph_count import count_graph

    header = header_of_export(model)
    question = question.of(header)
    counted = count_graph(model, question.shape)
    return Counted(
        dataclasses.replace(question, input_shape=counted.input_shape),
        audit=counted.audit,
        thop=ThopCount(count=None, reason="it counts torch modules, and this is an ONNX graph"),
        findings=_FOLDED if header is not None else (),
        more={"latency_ms": counted.latency_ms},
    )


def _count_trees(model: ModelFile, question: Question) -> Counted:
    from kwsbench.budget.lightgbm_count import count_lightgbm

    try:
        trees = count_lightgbm(model.data.decode(errors="replace"))
    except InputError as error:
        raise InputError(f"{model.path}: {error.message}") from error
    told = b"\nkwsbench=" in model.data[:_HEADER_BYTES]
    message = "MACs do not apply to trees: they compare, as often for one clip as the report says"
    if trees.multiplications_per_clip:
        message += f"; its linear leaves multiply {trees.multiplications_per_clip:,} times for one clip"
    more = {
        "tree_nodes": trees.nodes,
        "tree_leaves": trees.leaves,
        "comparisons_per_clip": trees.comparisons_per_clip,
    }
    return Counted(
        question.of(parse_lightgbm(model.path, model.data).header if told else None),
        params=trees.stored_numbers,
        weight_bytes=trees.weight_bytes,
        findings=(Finding(message=message, blocks=trees.multiplications_per_clip > 0),),
        more=more,
    )


_COUNTERS: dict[Format, Callable[[ModelFile, Question], Counted]] = {
    Format.KWSBENCH: _count_checkpoint,
    **dict.fromkeys(_WEIGHTS_ONLY, _count_weights),
    Format.TORCHSCRIPT: _count_stranger,
    Format.EXPORTED_PROGRAM: _count_stranger,
    Format.ONNX: _count_graph,
    Format.LIGHTGBM: _count_trees,
}
