"""How much of the input one value sees: the receptive field, operator by operator, along the last axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kwsbench.budget.aten.layers import RESIZERS
from kwsbench.budget.audit.convolutions import CONVOLUTIONS
from kwsbench.budget.audit.inputs import Inputs
from kwsbench.budget.audit.lineage import Record
from kwsbench.budget.audit.operators import tensors_in
from kwsbench.budget.audit.trace import Run
from kwsbench.budget.reach import Reach

_POOLS = tuple(
    f"{kind}{dims}d{suffix}"
    for kind in ("max_pool", "avg_pool")
    for dims in (1, 2, 3)
    for suffix in ("", "_with_indices")
)


def note_reach(run: Run, inputs: Inputs, outputs: Any, results: list[Record]) -> None:
    """Notes what the results of an operator see of the input, and what windows see in all."""
    seeing = [(one.record.reach, one.tensor) for one in inputs.read if one.record.reach is not None]
    first = next(tensors_in(outputs), None)
    if not seeing or first is None:
        return
    before, operand = max(seeing, key=lambda one: one[0].frames)
    after = _reach_after(inputs, operand, first, before)
    for record in results:
        record.reach = _wider(record.reach, after)
    if _is_window(inputs.operator.short_name, first):
        run.reach = _wider(run.reach, after)


def _wider(one: Reach | None, other: Reach) -> Reach:
    return other if one is None else max(one, other, key=lambda reach: reach.frames)


def _is_window(operator: str, output: Any) -> bool:
    """Whether an operator slides a window over the last axis, and leaves more than one position where it pools."""
    return operator in CONVOLUTIONS or (operator in _POOLS and output.dim() > 0 and output.shape[-1] > 1)


def _reach_after(inputs: Inputs, operand: Any, output: Any, before: Reach) -> Reach:
    operator, arguments = inputs.operator.short_name, inputs.arguments
    if operator in CONVOLUTIONS:
        return _after_convolution(arguments, before)
    if operator in _POOLS:
        return _after_pool(arguments, before)
    if operator in RESIZERS:
        sizes = operand.shape[-1], output.shape[-1]
        aligns_corners = bool(arguments.get("align_corners"))
        return before.behind_resizing(RESIZERS[operator], *sizes, aligns_corners=aligns_corners)
    return before


def _after_convolution(arguments: Mapping[str, Any], before: Reach) -> Reach:
    stride, dilation = arguments["stride"][-1], arguments["dilation"][-1]
    span = (arguments["weight"].shape[-1] - 1) * dilation
    if arguments.get("transposed"):
        return before.behind_transposed(span, stride)
    return before.behind_window(span, stride)


def _after_pool(arguments: Mapping[str, Any], before: Reach) -> Reach:
    kernel = _last(arguments["kernel_size"])
    stride = _last(arguments.get("stride") or kernel)
    dilation = _last(arguments.get("dilation") or 1)
    return before.behind_window((kernel - 1) * dilation, stride)


def _last(value: Any) -> int:
    last: int = value[-1] if isinstance(value, list | tuple) else value
    return last
