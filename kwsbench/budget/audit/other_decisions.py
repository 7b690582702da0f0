"""The third step of an audit: the network is made to decide otherwise than it did on the probes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kwsbench.budget.audit.examination import Examination
from kwsbench.budget.audit.trace import Run, Telling
from kwsbench.budget.audit.ways import is_number, other_ways


def take_other_ways(examination: Examination) -> None:
    """Runs on all ways that a network can take which decides on its input, its state, or chance."""
    runs = list(examination.runs.values())
    first = next((run for run in runs if run.decisions), runs[0] if examination.keeps_state else None)
    if first is None:
        return
    start = examination.told(first.probe, Telling(of_state=examination.keeps_state)) or first
    numbers = max(sum(map(is_number, run.decisions)) for run in [start, *runs])
    if numbers:
        examination.find(
            f"{numbers:,} numbers of the input are read into Python, which may decide on them", blocks=True
        )
    _take_ways_from(examination, start, all_selected=False)
    seen = [start, *runs, *examination.more_runs]
    if any(isinstance(decision, tuple) for run in seen for decision in run.decisions):
        _select_all(examination, start.probe)
    if max(run.macs for run in examination.runs_on_probes) > max(run.macs for run in runs):
        examination.find("with other decisions than on these inputs it costs more; that is counted")


def _take_ways_from(examination: Examination, start: Run, *, all_selected: bool) -> None:
    def retold(values: Sequence[Any]) -> Run | None:
        return examination.told(start.probe, Telling(values, examination.keeps_state, all_selected))

    ways, are_all = other_ways(start, retold)
    examination.more_runs += ways
    if not are_all:
        examination.find("it decides so often that not all of its ways can be tried", blocks=True)


def _select_all(examination: Examination, probe: str) -> None:
    run = examination.told(probe, Telling((), examination.keeps_state, all_selected=True))
    if run is None:
        examination.find("it selects parts of its input, and fails where it is told to select everything", blocks=True)
        return
    examination.more_runs.append(run)
    _take_ways_from(examination, run, all_selected=True)
