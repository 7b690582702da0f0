"""Watches a network run: every operator passes here on its way to the processor.

This module needs PyTorch to define its class; only functions that already use PyTorch import it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kwsbench.budget.aten_costs import macs_of
from kwsbench.budget.audit.calls import call_of
from kwsbench.budget.audit.execution import execute
from kwsbench.budget.audit.inputs import inputs_of, with_tensors
from kwsbench.budget.audit.operators import operator_of
from kwsbench.budget.audit.products import note_products
from kwsbench.budget.audit.reach import note_reach
from kwsbench.budget.audit.reads import note_reads
from kwsbench.budget.audit.recording import Recording
from kwsbench.budget.audit.results import results_of


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records one run.

    Args:
        recording: Where to record it.
    """

    def __init__(self, recording: Recording) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recording = recording

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # The wrapper that keeps the compiler out of here would first load the compiler, which takes a second.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Executes an operator and records it; tensors of foreign classes unpack themselves first."""
        if any(map(_takes_over, types)):
            return NotImplemented
        with torch._C.DisableTorchFunction():  # noqa: SLF001 - what the audit itself looks at is no leak
            return _watched(self.recording, func, args, kwargs or {})


def _watched(recording: Recording, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    operator = operator_of(func)
    args = with_tensors(operator, args)
    inputs = inputs_of(recording, operator, args, kwargs)
    call = call_of(recording, inputs)
    outputs = execute(recording, func, inputs, args, kwargs)
    note_reads(recording.lineage, inputs, call)
    results = results_of(recording, inputs, outputs)
    macs = macs_of(operator.name, args, kwargs, outputs) if inputs.depends else 0
    note_products(recording, inputs, call, macs, outputs)
    recording.quantisers.note(recording.stack, results, (one.record for one in inputs.read), call.macs)
    note_reach(recording.run, inputs, outputs, results)
    recording.run.calls.append(call)
    return outputs


def _takes_over(kind: type) -> bool:
    return getattr(kind, "__torch_dispatch__", None) is not torch._C._disabled_torch_dispatch_impl  # noqa: SLF001
