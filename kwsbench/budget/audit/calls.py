"""How one operator goes down in the trace: by the storages and the plain numbers that it was given.

This module needs PyTorch; only what already uses PyTorch imports it.
"""

from __future__ import annotations

from typing import Any

import torch

from kwsbench.budget.audit.inputs import Inputs, Operand
from kwsbench.budget.audit.recording import Recording
from kwsbench.budget.audit.trace import Call, Number

_NUMBERS = ("number", "float", "Optional[number]", "Optional[float]", "Tensor", "Optional[Tensor]")
_NO_ARITHMETIC = frozenset({"arange", "_local_scalar_dense"})


def call_of(recording: Recording, inputs: Inputs) -> Call:
    """Returns the entry of an operator in the trace, before it is executed."""
    operator = inputs.operator
    numbers = tuple(_number(recording, value) for value in inputs.arguments.values())
    factors = _factors(recording, inputs)
    sizes = _sizes(inputs) if not inputs.depends and not inputs.draws else ()
    key = hash((operator.overload, tuple(map(_identity, inputs.all))))
    place = recording.stack.place() if factors or sizes else None
    return Call(operator.short_name, key, numbers, factors, sizes, place)


def _number(recording: Recording, value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return "tensor"
    if isinstance(value, list | tuple):
        return tuple(_number(recording, one) for one in value)
    if isinstance(value, float):
        return Number(repr(value), is_told=value in recording.run.decisions)
    return value if isinstance(value, int | str | torch.dtype) else str(value)


def _factors(recording: Recording, inputs: Inputs) -> tuple[float, ...]:
    operator = inputs.operator
    if operator.short_name in _NO_ARITHMETIC:
        return ()
    return tuple(
        float(value)
        for name, value in inputs.arguments.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and operator.kinds[operator.arguments.index(name)] in _NUMBERS
        and not recording.was_told(value)
    )


def _sizes(inputs: Inputs) -> tuple[int, ...]:
    """Returns the whole numbers in a call that makes or picks constants out of nothing that is stored."""
    if any(one.record.roots or one.record.is_zero_state for one in inputs.read):
        return ()
    flat = (
        part for value in inputs.arguments.values() for part in (value if isinstance(value, list | tuple) else [value])
    )
    return tuple(value for value in flat if isinstance(value, int) and not isinstance(value, bool))


def _identity(operand: Operand) -> tuple[Any, ...]:
    tensor = operand.tensor
    return (
        operand.argument,
        operand.record.number,
        tensor.dtype,
        tuple(tensor.shape),
        tensor.stride(),
        tensor.storage_offset(),
    )
