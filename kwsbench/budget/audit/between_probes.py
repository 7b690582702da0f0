"""The second step of an audit: what differs between the runs on several probes."""

from __future__ import annotations

from functools import partial

from kwsbench.budget.audit.comparison import Difference, difference, hidden_influence
from kwsbench.budget.audit.examination import Examination, attempt
from kwsbench.budget.audit.trace import Run, Telling


def compare_probes(examination: Examination) -> None:
    """Compares the runs on all probes with the first: operators, costs, results."""
    (first_name, first), *others = examination.runs.items()
    for name, other in others:
        if examination.probes[name].shape != examination.probes[first_name].shape:
            continue
        if difference(first, other) is Difference.STORED:
            _watch_again(examination, first_name, name)  # a tensor that is read once more is one that is kept
        hidden = hidden_influence(first, other, partial(_retold, examination, name, first))
        if hidden:
            examination.find(f"{hidden} (on {name} other than on {first_name})", blocks=True)
    _compare_costs(examination)
    _look_at_outputs(examination)


def _watch_again(examination: Examination, *names: str) -> None:
    for name in names:
        attempt(partial(examination.subject.watch, name, examination.probes[name]))


def _retold(examination: Examination, name: str, first: Run) -> Run:
    return examination.told(name, Telling(first.decisions)) or Run(name)


def _compare_costs(examination: Examination) -> None:
    most = examination.dearest_on_probes
    least = min(examination.runs.values(), key=lambda run: run.macs)
    if most.macs != least.macs:
        examination.find(
            f"what it multiplies depends on the input: {least.macs:,} MACs on {least.probe},"
            f" {most.macs:,} MACs on {most.probe}; the most is counted"
        )


def _look_at_outputs(examination: Examination) -> None:
    runs = list(examination.runs.values())
    if any(run.output is None for run in runs):
        examination.find("it returns no tensor", blocks=True)
    elif not all(run.output_depends for run in runs):
        examination.find("its result does not depend on its input", blocks=True)
    elif len(runs) > 1 and len({run.output_digest for run in runs}) == 1:
        examination.find("its result is the same for every input that it was tried on")
