"""Costs by layer, and by bit width, of one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from kwsbench.budget.audit.counting import StoredCount
from kwsbench.budget.audit.trace import Call, Run
from kwsbench.budget.report import Convolution, Layer

_NOT_READ = "not read"
_STORED = "stored numbers"


def layers_of(run: Run, stored: StoredCount, extra: Mapping[str, int]) -> tuple[Layer, ...]:
    """Returns every layer in the order of execution; what nothing was executed of comes last.

    Args:
        run: The run that costs most.
        stored: All stored numbers.
        extra: Stored numbers that are in no tensor, by what they are.
    """
    macs: dict[str, Counter[str]] = {}
    for call in run.calls:
        for name in _layers_touched(call, stored):
            macs.setdefault(name, Counter())
        if call.macs:
            macs[_layer_of(call, stored)][call.operator] += call.macs
    read = set(macs)
    for name in stored.by_layer:
        macs.setdefault(name, Counter())
    shapes = _convolutions(run, stored)
    layers = [_layer(name, costs, stored, shapes.get(name), is_read=name in read) for name, costs in macs.items()]
    return (*(one for one in layers if one.macs or one.params), *_extra_layers(extra))


def macs_by_width(run: Run, stored: StoredCount, weight_bits: Mapping[str, int]) -> dict[str, int]:
    """Returns the MACs of a run by the widths of what is multiplied, `8x32`: weight first, then activation."""
    widths: Counter[str] = Counter()
    for call in run.calls:
        if call.macs:
            widths[f"{_weight_bits(call, stored, weight_bits)}x{call.bits}"] += call.macs
    return dict(widths.most_common())


def _weight_bits(call: Call, stored: StoredCount, weight_bits: Mapping[str, int]) -> int:
    if call.root is None:
        return call.bits
    return weight_bits.get(stored.layers.get(call.root, ""), call.root.stored_bits)


def _layers_touched(call: Call, stored: StoredCount) -> list[str]:
    names = [stored.layers[root] for root in call.reads]
    return [*names, _layer_of(call, stored)] if call.macs else names


def _layer_of(call: Call, stored: StoredCount) -> str:
    if call.root is not None:
        return stored.layers[call.root]
    return call.module or call.operator


def _convolutions(run: Run, stored: StoredCount) -> dict[str, Convolution | None]:
    """Returns the shape of the dearest convolution of each layer that has one."""
    dearest: dict[str, Call] = {}
    for call in run.calls:
        name = _layer_of(call, stored)
        if call.convolution is not None and (name not in dearest or call.macs > dearest[name].macs):
            dearest[name] = call
    return {name: call.convolution for name, call in dearest.items()}


def _layer(
    name: str, costs: Counter[str], stored: StoredCount, convolution: Convolution | None, *, is_read: bool
) -> Layer:
    total = stored.by_layer.get(name)
    kind = costs.most_common(1)[0][0] if costs else (_STORED if is_read else _NOT_READ)
    params, weight_bytes = (total.params, total.weight_bytes) if total is not None else (0, 0)
    return Layer(
        name=name, kind=kind, params=params, macs=costs.total(), weight_bytes=weight_bytes, convolution=convolution
    )


def _extra_layers(extra: Mapping[str, int]) -> list[Layer]:
    return [
        Layer(name=f"({name})", kind=_STORED, params=params, macs=0, weight_bytes=4 * params)
        for name, params in extra.items()
        if params
    ]
