"""Checks a model file against limits: what it is, what is counted, and what that means."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from kwsbench.budget.counting import Counted, count_model
from kwsbench.budget.front_end_cost import front_end_count
from kwsbench.budget.question import Question
from kwsbench.budget.report import Audit, Count, Finding, Layer, Report, ThopCount
from kwsbench.budget.verdict import Costs, above_8_bit, judge
from kwsbench.checkpoint.model_file import Format, ModelFile, read_model_file


def check_budget(path: Path, question: Question) -> Report:
    """Counts what a model costs and compares it with the limits.

    Raises:
        InputError: It is no model, or what is needed to count it is missing.
        RefusedError: It would be unsafe to handle, or it broke the limits of the sandbox.
    """
    model = read_model_file(path)
    return _report(model, count_model(model, question))


def _report(model: ModelFile, counted: Counted) -> Report:
    question, audit, thop = counted.question, counted.audit, counted.thop
    seconds = question.seconds
    per_second = _PerSecond(seconds or 1)
    limits, front_end = question.limits, _front_end_of(question)
    by_width = {width: per_second(macs) for width, macs in audit.macs_by_width.items()} if audit else {}
    counted_macs = per_second.count(Count(params=audit.params, macs=audit.macs)) if audit else None
    findings = (*counted.findings, *(audit.findings if audit else ()), *_remarks(question, audit, thop))
    costs = Costs(
        thop=thop and thop.count and per_second.count(thop.count),
        audit=counted_macs,
        stored_params=counted.params,
        weight_bytes=audit.weight_bytes if audit else counted.weight_bytes,
        peak_activation_bytes=audit and audit.peak_activation_bytes,
        macs_above_8_bit=above_8_bit(counted_macs, by_width),
        front_end_macs=front_end and front_end.macs,
        receptive_field_s=_receptive_field_s(question, audit),
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
        front_end=front_end,
        limits=limits.limits,
        limits_from=limits.words,
        macs_by_width=by_width,
        peak_activation_bytes=costs.peak_activation_bytes,
        receptive_field_frames=audit and audit.receptive_field_frames,
        receptive_field_s=costs.receptive_field_s,
        input_shape=question.shape if audit else question.input_shape,
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
        return math.ceil(Fraction(macs) / Fraction(self.seconds).limit_denominator(10**6))

    def count(self, count: Count) -> Count:
        return Count(params=count.params, macs=None if count.macs is None else self(count.macs))

    def layer(self, layer: Layer, thop: ThopCount | None) -> Layer:
        by_thop = thop.by_module.get(layer.name) if thop else None
        beside = {} if by_thop is None else {"thop_params": by_thop[0], "thop_macs": self(by_thop[1])}
        return layer.model_copy(update={"macs": self(layer.macs), **beside})


def _remarks(question: Question, audit: Audit | None, thop: ThopCount | None) -> tuple[Finding, ...]:
    return tuple(Finding(message=text) for text in (*_on_thop(audit, thop), *_on_audit(question, audit)))


def _on_thop(audit: Audit | None, thop: ThopCount | None) -> Iterator[str]:
    if thop is not None and thop.count is None:
        yield f"thop does not count it: {thop.reason}"
    elif thop is not None and thop.count is not None and not thop.count.macs and audit is not None and audit.macs:
        yield "thop sees no MACs: it knows modules of certain kinds only, and this network multiplies elsewhere"


def _on_audit(question: Question, audit: Audit | None) -> Iterator[str]:
    if audit is None:
        return
    if audit.batch_norm_statistics:
        yield (
            f"{audit.batch_norm_statistics:,} running means and variances of batch norm are not counted: they fold into"
            " its scale and shift, and these into the weights where an export folds batch norm"
        )
    if question.seconds is None:
        yield "one input is taken for one second of audio; say --input-seconds if it is not"


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
