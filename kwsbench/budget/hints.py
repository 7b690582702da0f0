"""What to shrink: the most expensive layers, what is left below each limit, and what would help where it is not kept.

Each hint is shown only where it is true of this model and helps a limit that is exceeded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from kwsbench.budget.report import Convolution, Layer, Report
from kwsbench.budget.verdict import Figure, amount, figures_of, percent

Cost = Literal["macs", "params"]

_DENSE = frozenset({"addmm", "gemm", "linear", "matmul", "matmulinteger", "mm", "qgemm", "qlinearmatmul"})
_COSTS: tuple[Cost, Cost] = ("macs", "params")
_WORTH_A_HINT = 0.2
"""The least share of a cost that a layer is blamed for."""
_LEAST_WIDTH = 0.1
"""A network that is further from its limit than this is not made to fit by fewer channels."""


@dataclass(frozen=True)
class Ranked:
    """A layer, and its share of one cost of all layers."""

    layer: Layer
    cost: int
    share: float


def most_expensive(layers: tuple[Layer, ...], by: Cost, count: int = 3) -> tuple[Ranked, ...]:
    """Returns the layers that cost most, the most expensive first and earlier ones first among equals.

    Layers that cost nothing are left out, so that there may be fewer than `count`.
    """
    costs = [_cost(layer, by) for layer in layers]
    total = sum(costs)
    ranked = [Ranked(layer, cost, cost / total) for layer, cost in zip(layers, costs, strict=True) if cost]
    return tuple(sorted(ranked, key=lambda one: -one.cost)[:count])


def headroom(report: Report) -> tuple[str, ...]:
    """Returns for each limit that is kept how much may be added, `6,795 parameters`."""
    kept = [figure for figure in figures_of(report) if figure.headroom is not None and not figure.over]
    return tuple(figure.text(figure.headroom) for figure in kept)


def hints(report: Report) -> tuple[str, ...]:
    """Returns what would bring a model that is over a limit nearer to it, with figures."""
    over = {figure.name: figure for figure in figures_of(report) if figure.over}
    found = [
        *(_first_convolution(report) if "macs" in over else ()),
        *(_dense_layers(report) if "params" in over else ()),
        *(hint for by in _COSTS if by in over for hint in _separable(report, by)),
        *_narrower([over[by] for by in _COSTS if by in over]),
        *(_int8(report, over["weight_bytes"]) if "weight_bytes" in over else ()),
    ]
    return tuple(dict.fromkeys(found))


def _first_convolution(report: Report) -> Iterator[str]:
    first = next((layer for layer in report.layers if _is_convolution(layer) and layer.macs), None)
    if first is None:
        return
    share = first.macs / sum(layer.macs for layer in report.layers)
    if share >= _WORTH_A_HINT:
        yield (
            f"the first convolution, {first.name}, costs {percent(share)} of the MACs: with a hop or a stride twice as"
            f" large it costs about {amount(first.macs // 2)} instead of {amount(first.macs)}, and what follows half as"
            " much too"
        )


def _dense_layers(report: Report) -> Iterator[str]:
    total = sum(layer.params for layer in report.layers)
    for layer in report.layers:
        if _is_dense_and_runs_once(layer, report.input_seconds or 1) and layer.params >= _WORTH_A_HINT * total:
            yield (
                f"the dense layer {layer.name} holds {percent(layer.params / total)} of the parameters"
                f" ({amount(layer.params)}): where it reads a flattened map, pool that over time before it"
            )


def _separable(report: Report, by: Cost) -> Iterator[str]:
    for ranked in most_expensive(report.layers, by):
        layer, shape = ranked.layer, ranked.layer.convolution
        if shape is None or not _is_worth_separating(shape) or shape.weights > layer.params:
            continue
        macs = layer.macs * shape.separable_weights // shape.weights
        params = layer.params - shape.weights + shape.separable_weights
        yield (
            f"{layer.name} as a depthwise separable convolution costs about {amount(macs)} MACs and"
            f" {amount(params)} parameters instead of {amount(layer.macs)} and {amount(layer.params)}"
        )


def _is_worth_separating(shape: Convolution) -> bool:
    return shape.kernel > 1 and shape.separable_weights < shape.weights


def _narrower(over: Sequence[Figure]) -> Iterator[str]:
    """Costs grow with the square of the width where both sides of a matrix are channels, else in proportion to it."""
    figure = min(over, key=_part_allowed, default=None)
    if figure is None or _part_allowed(figure) < _LEAST_WIDTH:
        return
    least, most = (math.floor(100 * part) / 100 for part in (_part_allowed(figure), math.sqrt(_part_allowed(figure))))
    yield (
        f"fewer channels in every layer: between {least:.2f} and {most:.2f} times as many come to about"
        f" {figure.text(figure.limit)}"
    )


def _part_allowed(figure: Figure) -> float:
    return (figure.limit or 0) / (figure.value or 1)


def _int8(report: Report, figure: Figure) -> Iterator[str]:
    if report.params >= report.weight_bytes:
        return
    kept = report.params <= (figure.limit or 0)
    yield (
        f"int8 weights take {amount(report.params)} bytes and their scales instead of {amount(report.weight_bytes)}:"
        f" {'within' if kept else 'still over'} the limit of {amount(figure.limit)}"
    )


def _is_convolution(layer: Layer) -> bool:
    return "conv" in layer.kind.lower()


def _is_dense_and_runs_once(layer: Layer, input_seconds: float) -> bool:
    """A matrix that is used once for an input multiplies each of its numbers once; its bias is added only."""
    return layer.kind.lower() in _DENSE and 0 < layer.macs * input_seconds <= layer.params


def _cost(layer: Layer, by: Cost) -> int:
    return layer.macs if by == "macs" else layer.params
