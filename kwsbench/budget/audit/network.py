"""The audit of a torch network: it is run on several inputs, and all that it multiplies and reads is counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from kwsbench.budget.audit.as_used import run_as_used
from kwsbench.budget.audit.between_probes import compare_probes
from kwsbench.budget.audit.examination import Examination
from kwsbench.budget.audit.other_decisions import take_other_ways
from kwsbench.budget.audit.other_shapes import run_other_shapes
from kwsbench.budget.audit.probing import run_probes
from kwsbench.budget.audit.running import Subject
from kwsbench.budget.audit.scripts import ways_out
from kwsbench.budget.audit.summing import audit_of
from kwsbench.budget.audit.surroundings import audited_surroundings, usual_surroundings
from kwsbench.budget.report import Audit
from kwsbench.errors import InputError


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
        examination = _begin(network, probes)
        run_probes(examination)
        compare_probes(examination)
        take_other_ways(examination)
        run_other_shapes(examination)
    with usual_surroundings():
        run_as_used(examination)
    return audit_of(examination)


def _begin(network: Any, probes: Mapping[str, NDArray[Any]]) -> Examination:
    stubborn = _set_to_evaluate(network)
    examination = Examination(Subject(network), probes)
    if stubborn:
        examination.find(f"{stubborn[0]} stays in training mode when it is told to evaluate; it was counted as it ran")
    for name in ways_out(network):
        examination.find(f"tensors leave PyTorch through {name} of a script, where nothing is counted", blocks=True)
    return examination


def _set_to_evaluate(network: Any) -> list[str]:
    """Puts a network into evaluation mode; returns the modules that are not in it."""
    try:
        network.eval()
    except NotImplementedError:
        return []  # the module of an exported program has one mode only
    return [path or "the network" for path, module in network.named_modules() if _is_training(module)]


def _is_training(module: Any) -> bool:
    return bool(getattr(module, "training", False)) and next(module.children(), module) is module
