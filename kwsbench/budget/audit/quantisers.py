"""Bit widths of networks that imitate low precision in floating point, as Brevitas does; Brevitas is not needed.

Such a network stores float weights and rounds them as it runs. What will be stored and multiplied on a device has fewer
bits, and the modules say how many: `weight_quant.bit_width()`, `act_quant.bit_width()`.

Quantising activations divides by a scale (1 per element) and multiplies with it again to come back to floating point.
The multiplication is left out, because an integer operator does without it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from kwsbench.budget.audit.lineage import Record
from kwsbench.budget.audit.places import Stack

_ACTIVATIONS = ("act_quant", "input_quant")
_TO_FLOAT = ("IntQuant", "DecoupledIntQuant")


class Quantisers:
    """The quantisers of a network.

    Args:
        network: A module; other than with Brevitas' modules nothing is found.

    Attributes:
        weight_bits: Width of the weights of the modules that quantise them, by path.
    """

    def __init__(self, network: Any) -> None:
        self.weight_bits: dict[str, int] = {}
        self._activation_bits: dict[str, int] = {}
        for path, module in network.named_modules():
            self._look_at(path, module)
        base = sys.modules.get("brevitas.core.quant.int_base")
        self._to_float = tuple(getattr(base, name) for name in _TO_FLOAT if hasattr(base, name))

    def note(self, stack: Stack, results: Iterable[Record], heard: Iterable[Record], macs: int) -> None:
        """Notes the width of what was computed: that of the quantiser which is running, or of what was moved."""
        if not self._activation_bits:
            return
        bits = self._running_bits(stack.module()[0])
        if bits is None and not macs:
            bits = max((one.bits for one in heard if one.bits is not None), default=None)
        for record in results:
            record.bits = bits

    def dequantises(self, module: Any, operator: str) -> bool:
        """Whether an operator of a module only brings integers back to floating point."""
        return operator == "mul" and type(module) in self._to_float

    def _look_at(self, path: str, module: Any) -> None:
        weight = _bits_of(getattr(module, "weight_quant", None))
        if weight is not None:
            self.weight_bits[path] = weight
        for name in _ACTIVATIONS:
            activation = _bits_of(getattr(module, name, None))
            if activation is not None:
                self._activation_bits[f"{path}.{name}" if path else name] = activation

    def _running_bits(self, path: str) -> int | None:
        parts = path.split(".")
        paths = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
        return next((self._activation_bits[one] for one in paths if one in self._activation_bits), None)


def bits_of(record: Record, tensor: Any) -> int:
    """Returns the width of one number of an activation: what its quantiser says, else that of its type."""
    if record.bits is not None:
        return record.bits
    bits: int = 8 * tensor.element_size()
    return bits // 2 if tensor.is_complex() else bits


def _is_of_brevitas(quantiser: Any) -> bool:
    kind = type(quantiser)
    home = sys.modules.get(kind.__module__) if kind.__module__.startswith("brevitas.") else None
    return home is not None and getattr(home, kind.__qualname__, None) is kind


def _bits_of(quantiser: Any) -> int | None:
    if not _is_of_brevitas(quantiser) or not getattr(quantiser, "is_quant_enabled", False):
        return None
    try:
        return round(float(quantiser.bit_width()))
    except Exception:  # noqa: BLE001 - any module may have such an attribute and mean something else by it
        return None
