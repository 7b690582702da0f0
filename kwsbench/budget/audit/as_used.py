"""The last step of an audit: the network runs without anything that an audit switches off or on."""

from __future__ import annotations

from typing import Any

import numpy as np

from kwsbench.budget.audit.examination import Examination
from kwsbench.budget.audit.surroundings import AUDITED_SEED, USUAL_SEED
from kwsbench.budget.audit.trace import Run

_ROUNDING, _TINY = 0.05, 1e-4


def run_as_used(examination: Examination) -> None:
    """Runs on every probe in the usual surroundings, where the same must come out, and restores the network."""
    for name, run in examination.runs.items():
        if not _is_alike(examination, name, run, USUAL_SEED) and not (
            run.draws and _is_alike(examination, name, run, AUDITED_SEED)
        ):
            examination.find(f"it behaves differently while it is audited (on {name})", blocks=True)
    examination.subject.restore()


def _is_alike(examination: Examination, name: str, run: Run, seed: int) -> bool:
    try:
        result = examination.subject.run_as_used(examination.probes[name], seed)
    except Exception:  # noqa: BLE001 - a network may raise anything
        return False
    return result is run.output or (result is not None and run.output is not None and _agree(result, run.output))


def _agree(one: Any, other: Any) -> bool:
    """Whether two results are the same but for what other kernels round differently."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    left, right = (np.nan_to_num(tensor.resolve_conj().resolve_neg().to_dense().numpy()) for tensor in (one, other))
    return bool(np.linalg.norm((left - right * 1.0).ravel()) <= _ROUNDING * np.linalg.norm(left.ravel()) + _TINY)
