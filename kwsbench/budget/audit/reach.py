"""How much of the input one value sees: the receptive field, operator by operator, along the last axis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from kwsbench.budget.audit.lineage import Reach

_CONVOLUTIONS = ("convolution", "_convolution", "convolution_overrideable")
_POOLS = tuple(
    f"{kind}{dims}d{suffix}"
    for kind in ("max_pool", "avg_pool")
    for dims in (1, 2, 3)
    for suffix in ("", "_with_indices")
)


def is_window(operator: str, output: Any) -> bool:
    """Whether an operator slides a window over the last axis, and leaves more than one position where it pools."""
    return operator in _CONVOLUTIONS or (operator in _POOLS and output.dim() > 0 and output.shape[-1] > 1)


def reach_after(operator: str, arguments: Mapping[str, Any], before: Reach | None) -> Reach | None:
    """Returns what one value of an operator's result sees of the input, from what one value of its operand sees."""
    if before is None:
        return None
    if operator in _CONVOLUTIONS:
        return _after_convolution(arguments, before)
    return _after_pool(arguments, before) if operator in _POOLS else before


def _after_convolution(arguments: Mapping[str, Any], before: Reach) -> Reach:
    kernel = arguments["weight"].shape[-1]
    stride, dilation = arguments["stride"][-1], arguments["dilation"][-1]
    span = (kernel - 1) * dilation
    if arguments.get("transposed"):
        return Reach(before.frames + math.ceil(Fraction(span + 1, stride) - 1) * before.step, before.step / stride)
    return Reach(before.frames + span * before.step, before.step * stride)


def _after_pool(arguments: Mapping[str, Any], before: Reach) -> Reach:
    kernel = _last(arguments["kernel_size"])
    stride = _last(arguments.get("stride") or kernel)
    dilation = _last(arguments.get("dilation") or 1)
    return Reach(before.frames + (kernel - 1) * dilation * before.step, before.step * stride)


def _last(value: Any) -> int:
    last: int = value[-1] if isinstance(value, list | tuple) else value
    return last
