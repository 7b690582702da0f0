"""The first step of an audit: the network runs on every probe, plainly and under watch, and does the same there."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from kwsbench.budget.audit.examination import Examination, attempt
from kwsbench.errors import InputError


def run_probes(examination: Examination) -> None:
    """Runs on every probe.

    Raises:
        InputError: The network fails on every one.
    """
    _compile(examination)
    failures: list[str] = []
    for name, probe in examination.probes.items():
        try:
            examination.runs[name] = examination.subject.watch(name, probe)
        except Exception as error:  # noqa: BLE001 - a network may raise anything
            _note_failure(examination, name, probe, error, failures)
        else:
            if len(examination.runs) == 1:
                _run_again(examination, name, probe)
            _compare_with_plain(examination, name, probe)
    if not examination.runs:
        raise InputError(f"the network fails on every input that it was tried on: {failures[0]}")


def _compile(examination: Examination) -> None:
    subject = examination.subject
    name, probe = next(iter(examination.probes.items()))
    if subject.compiles_first:
        run = attempt(lambda: subject.watch(name, probe))
        examination.more_runs += [run] if run is not None else []


def _note_failure(
    examination: Examination, name: str, probe: NDArray[Any], error: Exception, failures: list[str]
) -> None:
    failures.append(f"{name} {tuple(probe.shape)}: {_one_line(error)}")
    try:
        examination.subject.run_plainly(probe)
    except Exception:  # noqa: BLE001 - as above
        examination.find(f"it fails on {failures[-1]}", blocks=True)
        return
    examination.find(f"it runs on {name}, but fails while it is watched: {_one_line(error)}", blocks=True)
    failures[-1] += " (only while it is watched)"


def _compare_with_plain(examination: Examination, name: str, probe: NDArray[Any]) -> None:
    try:
        same = examination.subject.run_plainly(probe) == examination.runs[name].output_digest
    except Exception:  # noqa: BLE001 - as above
        same = False
    if not same:
        examination.find(f"it behaves differently while it is watched (on {name})", blocks=True)


def _run_again(examination: Examination, name: str, probe: NDArray[Any]) -> None:
    subject = examination.subject
    first, left = examination.runs[name], subject.plain_values
    examination.keeps_state = subject.has_changed or first.draws
    second = attempt(lambda: subject.watch(name, probe, starts_afresh=False))
    if second is None:
        examination.find(f"it fails when it is run again on the same input ({name})", blocks=True)
        return
    examination.more_runs.append(second)
    if subject.plain_values != left:
        examination.find(
            "it keeps numbers outside its tensors that change with every run, so that it can count its runs",
            blocks=True,
        )
    if second.carried:
        shapes = ", ".join(map(str, sorted(second.carried)))
        examination.find(f"it keeps values of one input for the next (of shape {shapes})")
    if second.macs != first.macs:
        examination.find(f"run again on the same input it costs {second.macs:,} MACs instead of {first.macs:,}")


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1][:200]}" if lines else type(error).__name__
