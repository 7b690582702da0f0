"""Formulas of recurrent layers and cells; a cell is a layer that makes one step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from typing import Any

from kwsbench.budget import costs
from kwsbench.budget.aten.call import Call, Formula, elements

KINDS: dict[str, tuple[int, Callable[..., int]]] = {
    "rnn_relu": (1, costs.rnn_layer),
    "rnn_tanh": (1, costs.rnn_layer),
    "lstm": (4, costs.lstm_layer),
    "gru": (3, costs.gru_layer),
}
"""How many gates share a weight matrix, and the count of a layer; in the order of the numbers that mkldnn knows."""


def _steps(vectors: Any) -> int:
    """Returns how many vectors there are, over batch and time."""
    return prod(vectors.shape[:-1])


def _one_direction(kind: str, steps: int, input_weight: Any, *projections: Any) -> int:
    gates, count = KINDS[kind]
    rows, inputs = input_weight.shape
    return count(inputs, rows // gates, steps, *(projection.shape[0] for projection in projections))


def _layer(call: Call, kind: str) -> int:
    """Counts all layers and directions; a packed sequence has its batch sizes as an argument before the states."""
    parameters = call.args[3] if isinstance(call.args[3], list | tuple) else call.args[2]
    steps = _steps(call.tensor)
    return sum(
        _one_direction(kind, steps, input_weight, *projections)
        for input_weight, _, *projections in _directions([p for p in parameters if len(p.shape) == 2])
    )


def _directions(matrices: list[Any]) -> Iterator[list[Any]]:
    """Yields the matrices of one layer and direction: of the input, of the state, and of the projection if there is one."""
    has_projection = len(matrices) > 2 and matrices[2].shape[0] != matrices[0].shape[0]
    length = 3 if has_projection else 2
    return (matrices[first : first + length] for first in range(0, len(matrices), length))


def _cell(call: Call, kind: str) -> int:
    return _one_direction(kind, _steps(call.tensor), call.arg(2, "w_ih"))


def _mkldnn_layer(call: Call) -> int:
    kind = list(KINDS)[call.args[9]]
    return _one_direction(kind, _steps(call.tensor), call.args[1])


def _fused_gates(call: Call, count: Callable[[int], int]) -> int:
    return count(elements(call.output))


RECURRENT: dict[str, Formula] = {
    **{kind: partial(_layer, kind=kind) for kind in KINDS},
    **{f"{kind}_cell": partial(_cell, kind=kind) for kind in KINDS},
    **{f"quantized_{kind}_cell": partial(_cell, kind=kind) for kind in KINDS},
    "mkldnn_rnn_layer": _mkldnn_layer,
    "_thnn_fused_gru_cell": partial(_fused_gates, count=costs.gru_gates),
    "_thnn_fused_lstm_cell": partial(_fused_gates, count=costs.lstm_gates),
}
