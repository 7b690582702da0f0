"""Checks a model file against limits: what it is, what is counted, and what that means."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.budget.front_end_cost import front_end_count
from kwsbench.budget.graph_count import count_graph
from kwsbench.budget.lightgbm_count import count_lightgbm
from kwsbench.budget.limits import FoundLimits, fill_from_training
from kwsbench.budget.network_count import Probes, count
from kwsbench.budget.probes import feature_probes, waveforms
from kwsbench.budget.report import Audit, Count, Finding, Layer, Limits, Report, ThopCount
from kwsbench.budget.verdict import Costs, judge
from kwsbench.checkpoint.exports import header_of_export
from kwsbench.checkpoint.header import ModelHeader
from kwsbench.checkpoint.lightgbm import parse_lightgbm
from kwsbench.checkpoint.model_file import Format, ModelFile, read_model_file
from kwsbench.checkpoint.network import load_network
from kwsbench.checkpoint.stored import stored_numbers
from kwsbench.checkpoint.tensors import read_tensors
from kwsbench.errors import InputError
from kwsbench.features import extract
from kwsbench.front_end import FrontEnd
from kwsbench.runtime.definitions import Definition, read_definition, suspicions
from kwsbench.runtime.networks import NetworkSource, input_shape_of

_WEIGHTS_ONLY = (Format.STATE_DICT, Format.LIGHTNING, Format.SAFETENSORS)
_SHORTEST_WAVEFORM = 2_000  # samples: a longer last axis with nothing beside it is sound, not features
_USUAL_RATE_HZ = 16_000
_HEADER_BYTES = 16  # of a LightGBM text before kwsbench's own line


@dataclass(frozen=True)
class Question:
    """What is asked of a model, and what is known of its input; None where it is not.

    Attributes:
        limits: The most that it may have, and where that comes from.
        arch: The architecture of a file that holds weights only, `FILE.py:CALLABLE`.
        input_shape: Shape of one input, batch first.
        input_seconds: How much audio that is.
        front_end: From samples to the input.
        sample_rate_hz: Rate of the audio.
        clip_samples: Length of the audio.
        clips: Real clips to probe with, each of `clip_samples` samples in -1..1.
        baselines: Folder of the baselines that a kwsbench checkpoint may name; None for the shipped ones.
    """

    limits: FoundLimits = dataclasses.field(default_factory=lambda: FoundLimits(Limits()))
    arch: str | None = None
    input_shape: tuple[int, ...] | None = None
    input_seconds: float | None = None
    front_end: FrontEnd | None = None
    sample_rate_hz: int | None = None
    clip_samples: int | None = None
    clips: Sequence[NDArray[np.float32]] = ()
    baselines: Path | None = None

    def of(self, header: ModelHeader | None) -> Question:
        """Returns the question with what the model says of its own input, which beats what the manifest says."""
        if header is None:
            return self
        same_audio = (self.sample_rate_hz, self.clip_samples) == (header.sample_rate_hz, header.clip_samples)
        return dataclasses.replace(
            self,
            limits=fill_from_training(self.limits, header.manifest),
            input_shape=self.input_shape or (1, *input_shape_of(header)),
            front_end=header.front_end,
            sample_rate_hz=header.sample_rate_hz,
            clip_samples=header.clip_samples,
            clips=self.clips if same_audio else (),
        )

    @property
    def seconds(self) -> float | None:
        """How much audio one input is, where that is known."""
        if self.input_seconds is not None or self.clip_samples is None or self.sample_rate_hz is None:
            return self.input_seconds
        return self.clip_samples / self.sample_rate_hz


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


def check_budget(path: Path, question: Question) -> Report:
    """Counts what a model costs and compares it with the limits.

    Raises:
        InputError: It is no model, or what is needed to count it is missing.
        RefusedError: It would be unsafe to handle, or it broke the limits of the sandbox.
    """
    model = read_model_file(path)
    if question.arch is not None and model.format not in _WEIGHTS_ONLY:
        raise InputError(f"--arch goes with a file of weights; {path} ({model.format}) holds its own architecture")
    counted = _COUNTERS[model.format](model, question)
    return _report(model, counted)


def _count_checkpoint(model: ModelFile, question: Question) -> Counted:
    question = question.of(load_network(model).header)
    return _count_network(NetworkSource(model, baselines=question.baselines), question)


def _count_weights(model: ModelFile, question: Question) -> Counted:
    if question.arch is not None:
        definition = read_definition(question.arch)
        counted = _count_network(NetworkSource(model, definition), question)
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
    return _count_network(NetworkSource(model), question.of(header_of_export(model)))


def _count_network(source: NetworkSource, question: Question) -> Counted:
    counted = count(source, _probes(_with_shape(question, source.model)))
    return Counted(
        _with_shape(question, source.model),
        audit=counted.audit,
        thop=counted.thop,
        more={"latency_ms": counted.latency_ms},
    )


def _count_graph(model: ModelFile, question: Question) -> Counted:
    question = question.of(header_of_export(model))
    counted = count_graph(model, question.input_shape or _shape_heard(question))
    question = dataclasses.replace(question, input_shape=counted.input_shape)
    thop = ThopCount(count=None, reason="it counts torch modules, and this is an ONNX graph")
    return Counted(question, audit=counted.audit, thop=thop, more={"latency_ms": counted.latency_ms})


def _count_trees(model: ModelFile, question: Question) -> Counted:
    trees = count_lightgbm(model.data.decode(errors="replace"))
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


def _shape_heard(question: Question) -> tuple[int, ...] | None:
    if question.input_shape is not None:
        return question.input_shape
    if question.front_end is None or question.clip_samples is None:
        return None
    front_end = question.front_end
    return 1, front_end.num_mfcc or front_end.num_mels, front_end.num_frames(question.clip_samples)


def _with_shape(question: Question, model: ModelFile) -> Question:
    shape = _shape_heard(question)
    if shape is None:
        raise InputError(
            f"{model.path.name} ({model.format}) does not say what its input is; give --input-shape, such as 1,64,101,"
            " or --manifest, whose front-end then counts"
        )
    return dataclasses.replace(question, input_shape=shape)


def _probes(question: Question) -> Probes:
    """Real clips, silence, noise and loud input, as far as the way from sound to the input is known."""
    shape = question.input_shape or ()
    rate = question.sample_rate_hz or _USUAL_RATE_HZ
    if shape[-1] >= _SHORTEST_WAVEFORM and set(shape[:-1]) == {1}:
        clips = question.clips if question.clip_samples == shape[-1] else ()
        return {name: sound.reshape(shape) for name, sound in waveforms(rate, shape[-1], clips).items()}
    front_end, num_samples = question.front_end, question.clip_samples
    if front_end is not None and num_samples is not None:
        heard = waveforms(rate, num_samples, question.clips)
        inputs = {name: extract(sound[None], front_end, rate) for name, sound in heard.items()}
        if all(one.size == np.prod(shape) for one in inputs.values()):
            return {name: one.reshape(shape) for name, one in inputs.items()}
    return feature_probes(shape)


def _report(model: ModelFile, counted: Counted) -> Report:
    question, audit, thop = counted.question, counted.audit, counted.thop
    seconds = question.seconds
    per_second = _PerSecond(seconds or 1)
    limits = question.limits
    findings = (*counted.findings, *(audit.findings if audit else ()), *_remarks(question, audit, thop))
    costs = Costs(
        thop=thop and thop.count and per_second.count(thop.count),
        audit=audit and per_second.count(Count(params=audit.params, macs=audit.macs)),
        stored_params=counted.params,
        weight_bytes=audit.weight_bytes if audit else counted.weight_bytes,
        peak_activation_bytes=audit and audit.peak_activation_bytes,
        latency_ms=counted.more.get("latency_ms"),
        macs_apply=model.format != Format.LIGHTGBM,
    )
    judgement = judge(costs, findings, limits.limits)
    return Report(
        model=str(model.path),
        sha256=model.sha256,
        format=model.format,
        weight_bytes=costs.weight_bytes or 0,
        thop=costs.thop,
        audit=costs.audit,
        front_end=_front_end_of(question),
        limits=limits.limits,
        limits_from=limits.words,
        macs_by_width={width: per_second(macs) for width, macs in audit.macs_by_width.items()} if audit else {},
        peak_activation_bytes=costs.peak_activation_bytes,
        receptive_field_frames=audit and audit.receptive_field_frames,
        receptive_field_s=_receptive_field_s(question, audit),
        input_shape=question.input_shape,
        input_seconds=seconds,
        findings=findings,
        layers=tuple(per_second.layer(layer, thop) for layer in audit.layers) if audit else (),
        **judgement.model_dump(),
        **counted.more,
    )


@dataclass(frozen=True)
class _PerSecond:
    """Turns MACs for the whole input into MACs for one second of audio, rounded up."""

    seconds: float

    def __call__(self, macs: int) -> int:
        return (
            macs if self.seconds == 1 else math.ceil(Fraction(macs) / Fraction(self.seconds).limit_denominator(10**6))
        )

    def count(self, count: Count) -> Count:
        return Count(params=count.params, macs=None if count.macs is None else self(count.macs))

    def layer(self, layer: Layer, thop: ThopCount | None) -> Layer:
        by_thop = thop.by_module.get(layer.name) if thop else None
        beside = {} if by_thop is None else {"thop_params": by_thop[0], "thop_macs": self(by_thop[1])}
        return layer.model_copy(update={"macs": self(layer.macs), **beside})


def _remarks(question: Question, audit: Audit | None, thop: ThopCount | None) -> tuple[Finding, ...]:
    texts = []
    if thop is not None and thop.count is None:
        texts.append(f"thop does not count it: {thop.reason}")
    if audit is not None and question.seconds is None:
        texts.append("one input is taken for one second of audio; say --input-seconds if it is not")
    return tuple(Finding(message=text) for text in texts)


def _front_end_of(question: Question) -> Count | None:
    if question.front_end is None or question.sample_rate_hz is None or question.clip_samples is None:
        return None
    return front_end_count(question.front_end, question.sample_rate_hz, question.clip_samples)


def _receptive_field_s(question: Question, audit: Audit | None) -> float | None:
    """The audio that one value of the last convolution hears: its frames, and what the outermost windows reach over."""
    front_end, rate = question.front_end, question.sample_rate_hz
    if audit is None or audit.receptive_field_frames is None or front_end is None or rate is None:
        return None
    samples = (audit.receptive_field_frames - 1) * front_end.hop_samples + front_end.window_samples
    return min(samples, question.clip_samples or samples) / rate
