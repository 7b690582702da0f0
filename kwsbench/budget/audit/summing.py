"""The sum of an audit: what all runs together have multiplied and read."""

from __future__ import annotations

from kwsbench.budget.audit.counting import StoredCount, count_stored
from kwsbench.budget.audit.examination import Examination
from kwsbench.budget.audit.layers import layers_of, macs_by_width
from kwsbench.budget.audit.python_numbers import FREE, python_numbers
from kwsbench.budget.audit.trace import Run
from kwsbench.budget.report import Audit, Finding

_MANY_STEPS, _MANY_TIMES = 10_000, 4


def audit_of(examination: Examination) -> Audit:
    """Returns the counts of an examination that is over, and everything that was found."""
    runs = [*examination.runs.values(), *examination.more_runs]
    probed, subject = examination.runs_on_probes, examination.subject
    weight_bits = subject.quantisers.weight_bits
    stored = count_stored(subject.lineage, subject.stored, weight_bits)
    extra = _extra(examination, runs, stored)
    _find_in(examination, runs, stored)
    dearest = max(probed, key=lambda run: run.macs)
    layers = layers_of(dearest, stored, extra)
    return Audit(
        params=sum(layer.params for layer in layers),
        macs=dearest.macs,
        weight_bytes=sum(layer.weight_bytes for layer in layers),
        batch_norm_statistics=stored.statistics,
        macs_by_width=macs_by_width(dearest, stored, weight_bits),
        peak_activation_bytes=max(run.peak_bytes for run in probed),
        receptive_field_frames=max((run.reach.frames for run in probed if run.reach is not None), default=None),
        layers=layers,
        findings=tuple(Finding(message=message, blocks=blocks) for message, blocks in examination.findings.items()),
    )


def _extra(examination: Examination, runs: list[Run], stored: StoredCount) -> dict[str, int]:
    in_python = python_numbers(runs, stored.single)
    if in_python:
        examination.find(
            f"{in_python:,} single numbers take part in the arithmetic; they are counted as stored numbers"
        )
    drawn = max(run.generated for run in runs)
    drawn += max(sum(run.scrambled.values()) for run in runs)
    if drawn:
        examination.find(
            f"{drawn:,} numbers are drawn at random in evaluation mode; they are counted as stored numbers"
        )
    looked_up = max(sum(run.looked_up.values()) for run in runs)
    if looked_up:
        examination.find(
            f"{looked_up:,} numbers are computed once and then looked up; they are counted as stored numbers"
        )
    return {"single numbers": in_python, "random numbers": drawn, "look-up tables": looked_up}


def _find_in(examination: Examination, runs: list[Run], stored: StoredCount) -> None:
    for message in dict.fromkeys(message for run in runs for message in run.problems):
        examination.find(message, blocks=True)
    for message in dict.fromkeys(message for run in runs for message in run.remarks):
        examination.find(message)
    _find_in_stored(examination, stored)
    _find_free_steps(examination)
    computed = max(sum(run.computed.values()) for run in runs)
    if computed:
        examination.find(
            f"{computed:,} numbers that the input is multiplied with are computed by a formula; not counted"
        )


def _find_in_stored(examination: Examination, stored: StoredCount) -> None:
    if stored.never_read:
        examination.find(
            f"{stored.never_read:,} stored numbers were not read on any input; they are counted all the same"
        )
    if stored.unregistered:
        shapes = ", ".join(map(str, list(dict.fromkeys(stored.unregistered_shapes))[:FREE]))
        examination.find(
            f"{stored.unregistered:,} numbers are stored outside parameters and buffers, in tensors of shape"
            f" {shapes}; they are counted"
        )


def _find_free_steps(examination: Examination) -> None:
    dearest = max(examination.runs_on_probes, key=lambda run: run.free_steps)
    if dearest.free_steps > _MANY_STEPS and dearest.free_steps > _MANY_TIMES * dearest.macs:
        examination.find(
            f"beside {dearest.macs:,} MACs it adds, compares or looks up {dearest.free_steps:,} values, which count"
            " nothing by the definition of a MAC"
        )
