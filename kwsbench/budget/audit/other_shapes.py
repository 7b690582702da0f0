"""The fourth step of an audit: a longer input and a batch of two cost as much more as they are more."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.budget.audit.examination import Examination, attempt
from kwsbench.budget.audit.trace import Run

_LONGER = 1.5


def run_other_shapes(examination: Examination) -> None:
    """Runs on a longer input and on a batch; a network need not take either."""
    dearest = examination.dearest_on_probes
    probe = examination.probes[dearest.probe]
    if probe.ndim < 2 or probe.shape[0] != 1:
        return
    _run_longer(examination, probe, dearest)
    _run_batch(examination, probe, dearest)


def _run_longer(examination: Examination, probe: NDArray[Any], alone: Run) -> None:
    frames = probe.shape[-1]
    longer = np.concatenate([probe, probe[..., : round((_LONGER - 1) * frames)]], axis=-1)
    run = attempt(lambda: examination.subject.watch("longer input", longer, verifies=False))
    if run is None:
        return
    examination.more_runs.append(run)
    if run.macs * frames**2 > alone.macs * longer.shape[-1] ** 2:  # attention costs its square
        examination.find(
            f"an input of {longer.shape[-1]} frames costs {run.macs:,} MACs, one of {frames} frames"
            f" {alone.macs:,}: more than with the square of its length"
        )


def _run_batch(examination: Examination, probe: NDArray[Any], alone: Run) -> None:
    pair = np.concatenate([probe, probe])
    run = attempt(lambda: examination.subject.watch("batch of 2", pair, verifies=False))
    if run is None or alone.output is None or run.output is None or run.output.dim() == 0:
        return
    examination.more_runs.append(run)
    if run.output.shape[0] != 2:
        return
    more = run.macs > 2 * alone.macs
    if more:
        examination.find(f"in a batch of 2 an input costs {run.macs // 2:,} MACs, alone {alone.macs:,}", blocks=True)
    if not _are_alike(run.output[:1], alone.output):
        examination.find("in a batch of 2 it gives other results than alone", blocks=more)


def _are_alike(one: Any, other: Any) -> bool:
    if one.shape != other.shape:
        return False
    return bool(np.allclose(one.resolve_conj(), other.resolve_conj(), rtol=1e-3, atol=1e-4, equal_nan=True))
