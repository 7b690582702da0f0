"""The audit of a torch network: it is run on several inputs, and all that it multiplies and reads is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.budget.audit.comparison import Difference, difference, hidden_influence
from kwsbench.budget.audit.counting import StoredCount, count_stored
from kwsbench.budget.audit.layers import layers_of, macs_by_width
from kwsbench.budget.audit.python_numbers import FREE, python_numbers
from kwsbench.budget.audit.running import Subject
from kwsbench.budget.audit.scripts import ways_out
from kwsbench.budget.audit.surroundings import AUDITED_SEED, USUAL_SEED, audited_surroundings, usual_surroundings
from kwsbench.budget.audit.trace import Run, Telling
from kwsbench.budget.audit.ways import is_number, other_ways
from kwsbench.budget.report import Audit, Finding
from kwsbench.errors import InputError

_LONGER = 1.5
_MANY_STEPS, _MANY_TIMES = 10_000, 4
_ROUNDING, _TINY = 0.05, 1e-4


def audit_network(network: Any, probes: Mapping[str, NDArray[Any]]) -> Audit:
    """Counts a network by running it.

    It is put into evaluation mode, run on every probe plainly and under watch, and put back into the state that it was
    in. No hook is set, and nothing that it prints is seen.

    Args:
        network: A module, a script module, or the module of an exported program, on the CPU.
        probes: Inputs by what they are, all of one shape, batch first and of 1.

    Raises:
        InputError: There is no probe, or the network fails on every one.
    """
    if not probes:
        raise InputError("there is no input to run the network on; give one")
    with audited_surroundings():
        examination = _Examination(network, probes)
        examination.run()
    with usual_surroundings():
        examination.run_as_used()
    return examination.sum()


class _Examination:
    """One audit on its way: runs, findings, and at the end the sum."""

    def __init__(self, network: Any, probes: Mapping[str, NDArray[Any]]) -> None:
        self._findings: dict[str, bool] = {}
        self._set_to_evaluate(network)
        self._subject = Subject(network)
        for name in ways_out(network):
            self._find(f"tensors leave PyTorch through {name} of a script, where nothing is counted", blocks=True)
        self._probes = probes
        self._runs: dict[str, Run] = {}
        self._ways: list[Run] = []
        self._keeps_state = False
        self._more_runs: list[Run] = []

    def run(self) -> None:
        self._compile()
        self._run_probes()
        self._compare_probes()
        self._take_other_ways()
        self._run_other_shapes()

    def run_as_used(self) -> None:
        """Runs without anything that an audit switches off or on: what comes out must be the same."""
        for name, run in self._runs.items():
            if not self._is_alike_as_used(name, run, USUAL_SEED) and not (
                run.draws and self._is_alike_as_used(name, run, AUDITED_SEED)
            ):
                self._find(f"it behaves differently while it is audited (on {name})", blocks=True)
        self._subject.restore()

    def _is_alike_as_used(self, name: str, run: Run, seed: int) -> bool:
        try:
            result = self._subject.run_as_used(self._probes[name], seed)
        except Exception:  # noqa: BLE001 - a network may raise anything
            return False
        return result is run.output or (result is not None and run.output is not None and _agree(result, run.output))

    def _find(self, message: str, *, blocks: bool = False) -> None:
        self._findings[message] = self._findings.get(message, False) or blocks

    def _set_to_evaluate(self, network: Any) -> None:
        try:
            network.eval()
        except NotImplementedError:
            return  # the module of an exported program has one mode only
        stubborn = [path or "the network" for path, module in network.named_modules() if _is_training(module)]
        if stubborn:
            self._find(f"{stubborn[0]} stays in training mode when it is told to evaluate; it was counted as it ran")

    def _compile(self) -> None:
        name, probe = next(iter(self._probes.items()))
        if self._subject.compiles_first:
            run = self._attempt(lambda: self._subject.watch(name, probe))
            self._more_runs += [run] if run is not None else []

    def _run_probes(self) -> None:
        failures: list[str] = []
        for name, probe in self._probes.items():
            try:
                self._runs[name] = self._subject.watch(name, probe)
            except Exception as error:  # noqa: BLE001 - a network may raise anything
                self._note_failure(name, probe, error, failures)
            else:
                if len(self._runs) == 1:
                    self._run_again(name, probe)
                self._compare_with_plain(name, probe)
        if not self._runs:
            raise InputError(f"the network fails on every input that it was tried on: {failures[0]}")

    def _note_failure(self, name: str, probe: NDArray[Any], error: Exception, failures: list[str]) -> None:
        failures.append(f"{name} {tuple(probe.shape)}: {_one_line(error)}")
        try:
            self._subject.run_plainly(probe)
        except Exception:  # noqa: BLE001 - as above
            self._find(f"it fails on {failures[-1]}", blocks=True)
            return
        self._find(f"it runs on {name}, but fails while it is watched: {_one_line(error)}", blocks=True)
        failures[-1] += " (only while it is watched)"

    def _compare_with_plain(self, name: str, probe: NDArray[Any]) -> None:
        try:
            same = self._subject.run_plainly(probe) == self._runs[name].output_digest
        except Exception:  # noqa: BLE001 - as above
            same = False
        if not same:
            self._find(f"it behaves differently while it is watched (on {name})", blocks=True)

    def _run_again(self, name: str, probe: NDArray[Any]) -> None:
        first, left = self._runs[name], self._subject.plain_values
        self._keeps_state = self._subject.has_changed or first.draws
        second = self._attempt(lambda: self._subject.watch(name, probe, starts_afresh=False))
        if second is None:
            self._find(f"it fails when it is run again on the same input ({name})", blocks=True)
            return
        self._more_runs.append(second)
        if self._subject.plain_values != left:
            self._find(
                "it keeps numbers outside its tensors that change with every run, so that it can count its runs",
                blocks=True,
            )
        if second.carried:
            shapes = ", ".join(map(str, sorted(second.carried)))
            self._find(f"it keeps values of one input for the next (of shape {shapes})")
        if second.macs != first.macs:
            self._find(f"run again on the same input it costs {second.macs:,} MACs instead of {first.macs:,}")

    def _compare_probes(self) -> None:
        (first_name, first), *others = self._runs.items()
        for name, other in others:
            if self._probes[name].shape != self._probes[first_name].shape:
                continue
            if difference(first, other) is Difference.STORED:
                self._watch_again(first_name, name)  # a tensor that is read once more is one that is kept
            hidden = hidden_influence(first, other, partial(self._retold, name, first))
            if hidden:
                self._find(f"{hidden} (on {name} other than on {first_name})", blocks=True)
        self._compare_costs()
        self._look_at_outputs()

    def _take_other_ways(self) -> None:
        runs = list(self._runs.values())
        first = next((run for run in runs if run.decisions), runs[0] if self._keeps_state else None)
        if first is None:
            return
        start = self._told(first.probe, Telling(of_state=self._keeps_state)) or first
        numbers = max(sum(map(is_number, run.decisions)) for run in [start, *runs])
        if numbers:
            self._find(f"{numbers:,} numbers of the input are read into Python, which may decide on them", blocks=True)
        self._take_ways_from(start, all_selected=False)
        if any(isinstance(decision, tuple) for run in [start, *runs, *self._more_runs] for decision in run.decisions):
            self._select_all(start.probe)
        if max(run.macs for run in self._probed()) > max(run.macs for run in runs):
            self._find("with other decisions than on these inputs it costs more; that is counted")

    def _take_ways_from(self, start: Run, *, all_selected: bool) -> None:
        def retold(values: Sequence[Any]) -> Run | None:
            return self._told(start.probe, Telling(values, self._keeps_state, all_selected))

        ways, are_all = other_ways(start, retold)
        self._more_runs += ways
        if not are_all:
            self._find("it decides so often that not all of its ways can be tried", blocks=True)

    def _select_all(self, probe: str) -> None:
        run = self._told(probe, Telling((), self._keeps_state, all_selected=True))
        if run is None:
            self._find("it selects parts of its input, and fails where it is told to select everything", blocks=True)
            return
        self._more_runs.append(run)
        self._take_ways_from(run, all_selected=True)

    def _told(self, name: str, telling: Telling) -> Run | None:
        return self._attempt(lambda: self._subject.watch(name, self._probes[name], telling=telling))

    def _probed(self) -> list[Run]:
        return [*self._runs.values(), *(run for run in self._more_runs if run.probe in self._runs)]

    def _watch_again(self, *names: str) -> None:
        for name in names:
            self._attempt(partial(self._subject.watch, name, self._probes[name]))

    def _retold(self, name: str, first: Run) -> Run:
        return self._attempt(
            lambda: self._subject.watch(name, self._probes[name], telling=Telling(first.decisions))
        ) or Run(name)

    def _compare_costs(self) -> None:
        most = max(self._runs.values(), key=lambda run: run.macs)
        least = min(self._runs.values(), key=lambda run: run.macs)
        if most.macs != least.macs:
            self._find(
                f"what it multiplies depends on the input: {least.macs:,} MACs on {least.probe},"
                f" {most.macs:,} MACs on {most.probe}; the most is counted"
            )

    def _look_at_outputs(self) -> None:
        runs = list(self._runs.values())
        if any(run.output is None for run in runs):
            self._find("it returns no tensor", blocks=True)
        elif not all(run.output_depends for run in runs):
            self._find("its result does not depend on its input", blocks=True)
        elif len(runs) > 1 and len({run.output_digest for run in runs}) == 1:
            self._find("its result is the same for every input that it was tried on")

    def _run_other_shapes(self) -> None:
        dearest = max(self._runs.values(), key=lambda run: run.macs)
        probe = self._probes[dearest.probe]
        if probe.ndim < 2 or probe.shape[0] != 1:
            return
        self._run_longer(probe, dearest)
        self._run_batch(probe, dearest)

    def _run_longer(self, probe: NDArray[Any], alone: Run) -> None:
        frames = probe.shape[-1]
        longer = np.concatenate([probe, probe[..., : round((_LONGER - 1) * frames)]], axis=-1)
        run = self._attempt(lambda: self._subject.watch("longer input", longer, verifies=False))
        if run is None:
            return
        self._more_runs.append(run)
        if run.macs * frames**2 > alone.macs * longer.shape[-1] ** 2:  # attention costs its square
            self._find(
                f"an input of {longer.shape[-1]} frames costs {run.macs:,} MACs, one of {frames} frames"
                f" {alone.macs:,}: more than with the square of its length"
            )

    def _run_batch(self, probe: NDArray[Any], alone: Run) -> None:
        run = self._attempt(lambda: self._subject.watch("batch of 2", np.concatenate([probe, probe]), verifies=False))
        if run is None or alone.output is None or run.output is None or run.output.dim() == 0:
            return
        self._more_runs.append(run)
        if run.output.shape[0] != 2:
            return
        more = run.macs > 2 * alone.macs
        if more:
            self._find(f"in a batch of 2 an input costs {run.macs // 2:,} MACs, alone {alone.macs:,}", blocks=True)
        if not _are_alike(run.output[:1], alone.output):
            self._find("in a batch of 2 it gives other results than alone", blocks=more)

    def _attempt(self, watch: Callable[[], Run]) -> Run | None:
        try:
            return watch()
        except Exception:  # noqa: BLE001 - a network need not take other shapes
            return None

    def sum(self) -> Audit:
        runs = [*self._runs.values(), *self._more_runs]
        probed = self._probed()
        subject = self._subject
        stored = count_stored(subject.lineage, subject.stored, subject.quantisers.weight_bits)
        extra = self._extra(runs, stored)
        self._find_in(runs, stored)
        dearest = max(probed, key=lambda run: run.macs)
        layers = layers_of(dearest, stored, extra)
        return Audit(
            params=sum(layer.params for layer in layers),
            macs=dearest.macs,
            weight_bytes=sum(layer.weight_bytes for layer in layers),
            batch_norm_statistics=stored.statistics,
            macs_by_width=macs_by_width(dearest, stored, subject.quantisers.weight_bits),
            peak_activation_bytes=max(run.peak_bytes for run in probed),
            receptive_field_frames=_frames(probed),
            layers=layers,
            findings=tuple(Finding(message=message, blocks=blocks) for message, blocks in self._findings.items()),
        )

    def _extra(self, runs: list[Run], stored: StoredCount) -> dict[str, int]:
        in_python = python_numbers(runs, stored.single)
        if in_python:
            self._find(f"{in_python:,} single numbers take part in the arithmetic; they are counted as stored numbers")
        drawn = max(run.generated for run in runs)
        drawn += max(sum(run.scrambled.values()) for run in runs)
        if drawn:
            self._find(f"{drawn:,} numbers are drawn at random in evaluation mode; they are counted as stored numbers")
        looked_up = max(sum(run.looked_up.values()) for run in runs)
        if looked_up:
            self._find(
                f"{looked_up:,} numbers are computed once and then looked up; they are counted as stored numbers"
            )
        return {"single numbers": in_python, "random numbers": drawn, "look-up tables": looked_up}

    def _find_in(self, runs: list[Run], stored: StoredCount) -> None:
        for message in dict.fromkeys(message for run in runs for message in run.problems):
            self._find(message, blocks=True)
        for message in dict.fromkeys(message for run in runs for message in run.remarks):
            self._find(message)
        if stored.never_read:
            self._find(
                f"{stored.never_read:,} stored numbers were not read on any input; they are counted all the same"
            )
        if stored.unregistered:
            shapes = ", ".join(map(str, list(dict.fromkeys(stored.unregistered_shapes))[:FREE]))
            self._find(
                f"{stored.unregistered:,} numbers are stored outside parameters and buffers, in tensors of shape"
                f" {shapes}; they are counted"
            )
        dearest = max(self._probed(), key=lambda run: run.free_steps)
        if dearest.free_steps > _MANY_STEPS and dearest.free_steps > _MANY_TIMES * dearest.macs:
            self._find(
                f"beside {dearest.macs:,} MACs it adds, compares or looks up {dearest.free_steps:,} values, which count"
                " nothing by the definition of a MAC"
            )
        computed = max(sum(run.computed.values()) for run in runs)
        if computed:
            self._find(f"{computed:,} numbers that the input is multiplied with are computed by a formula; not counted")


def _is_training(module: Any) -> bool:
    return bool(getattr(module, "training", False)) and next(module.children(), module) is module


def _are_alike(one: Any, other: Any) -> bool:
    if one.shape != other.shape:
        return False
    return bool(np.allclose(one.resolve_conj(), other.resolve_conj(), rtol=1e-3, atol=1e-4, equal_nan=True))


def _agree(one: Any, other: Any) -> bool:
    """Whether two results are the same but for what other kernels round differently."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    left, right = (np.nan_to_num(tensor.resolve_conj().resolve_neg().to_dense().numpy()) for tensor in (one, other))
    return bool(np.linalg.norm((left - right * 1.0).ravel()) <= _ROUNDING * np.linalg.norm(left.ravel()) + _TINY)


def _frames(runs: list[Run]) -> int | None:
    return max((int(run.reach.frames) for run in runs if run.reach is not None), default=None)


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1][:200]}" if lines else type(error).__name__
