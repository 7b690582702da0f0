"""Executes an operator, and where Python asks for values, tells it what it is to be told.

This module needs PyTorch; only what already uses PyTorch imports it.
"""

from __future__ import annotations

from typing import Any

import torch

from kwsbench.budget.audit.inputs import Inputs
from kwsbench.budget.audit.operators import tensors_in
from kwsbench.budget.audit.recording import Recording

_SELECTING = frozenset({"index", "masked_select", "nonzero"})
_FILLING = frozenset({"index_put", "index_put_", "_index_put_impl_", "masked_scatter", "masked_scatter_"})
_ASKING = frozenset({"_local_scalar_dense", "equal"})


def execute(recording: Recording, func: Any, inputs: Inputs, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Returns what an operator gives, or what is told in place of it; what Python is told is noted as a decision."""
    makes_new_shapes = inputs.makes_new_shapes
    selects = makes_new_shapes or inputs.operator.short_name in _FILLING
    if recording.telling.all_selected and selects and inputs.depends:
        args = tuple(map(_all_true, args))
    outputs = func(*args, **kwargs)
    is_state = recording.telling.of_state and any(one.record.roots or one.record.generated for one in inputs.read)
    tells = makes_new_shapes or inputs.operator.short_name in _ASKING
    return _tell(recording, inputs, outputs) if tells and (inputs.depends or is_state) else outputs


def _tell(recording: Recording, inputs: Inputs, outputs: Any) -> Any:
    decisions, telling = recording.run.decisions, recording.telling
    position, tensors = len(decisions), list(tensors_in(outputs))
    name = inputs.operator.short_name
    if tensors and name not in _SELECTING:
        recording.problem(f"how many values {name} gives depends on the input, and so does what follows")
    if position < len(telling.values) and not (tensors and telling.all_selected):
        outputs = _pretend(outputs, telling.values[position])
        tensors = list(tensors_in(outputs))
    decisions.append(tuple(tuple(one.shape) for one in tensors) if tensors else outputs)
    return outputs


def _pretend(outputs: Any, told: Any) -> Any:
    tensors = list(tensors_in(outputs))
    if not tensors:
        return told
    made = [one.new_zeros(shape) for one, shape in zip(tensors, told, strict=False)]
    return made[0] if isinstance(outputs, torch.Tensor) else type(outputs)(made)


def _all_true(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_all_true(one) for one in value]
    is_mask = isinstance(value, torch.Tensor) and value.dtype in {torch.bool, torch.uint8}
    return torch.ones_like(value) if is_mask else value
