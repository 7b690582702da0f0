"""Formulas of operators that reduce many elements to few: means, norms, products, scatters."""

from __future__ import annotations

from math import inf
from typing import Any

from kwsbench.budget import costs
from kwsbench.budget.aten.call import Call, Formula, elements, is_complex, multiplications

ROOTLESS = frozenset({0, 1, inf, -inf})
"""Orders of norms that take no powers and no roots."""


def _running_product(call: Call) -> int:
    return costs.per_element(call.input_elements, multiplications=multiplications(call.tensor))


def _log_of_sum(call: Call) -> int:
    return call.input_elements + call.output_elements


def _running_log_of_sum(call: Call) -> int:
    return 2 * call.input_elements


def _mean(call: Call) -> int:
    return costs.mean(call.output_elements) * _parts(call.tensor)


def _sum_of_squares(call: Call) -> int:
    return costs.sum_of_squares(call.input_elements * _parts(call.tensor), call.output_elements)


def _sum_of_squares_and_mean(call: Call) -> int:
    return _sum_of_squares(call) + _mean(call)


def _parts(tensor: Any) -> int:
    """Returns how many real numbers make up one value."""
    return costs.COMPLEX_BY_REAL if is_complex(tensor) else costs.REAL


def norm_macs(call: Call, order: Any, terms: int) -> int:
    """Counts norms of some order: sums of powers and their roots; orders 0, 1 and infinity only add or compare.

    Args:
        call: Its outputs are the norms; the type of its first argument says whether complex values are summed.
        order: The order of the norm.
        terms: How many values are summed, over all norms.

    Returns:
        MACs.
    """
    return _powers(call, order, terms) + (0 if order in ROOTLESS else call.output_elements)


def _powers(call: Call, order: Any, terms: int) -> int:
    if order == 2:
        return terms * _parts(call.tensor)
    magnitudes = costs.COMPLEX_MAGNITUDE * terms if is_complex(call.tensor) else 0
    return magnitudes + (0 if order in ROOTLESS else terms)


def _power_sum(call: Call) -> int:
    return _powers(call, call.arg(1, "ord", 2), call.input_elements)


def _norm(call: Call) -> int | None:
    order = call.arg(1, "ord", call.kwargs.get("p"))
    if order is None or order == "fro":
        order = 2
    return None if isinstance(order, str) else norm_macs(call, order, call.input_elements)


def _vector_or_matrix_norm(call: Call) -> int | None:
    axes = call.arg(2, "dim")
    num_axes = len(call.tensor.shape) if axes is None else len([axes] if isinstance(axes, int) else axes)
    return _norm(call) if num_axes == 1 else _matrix_norm(call)


def _matrix_norm(call: Call) -> int | None:
    return _sum_of_squares(call) if call.arg(1, "ord", "fro") in {None, "fro"} else None


def _renormalised(call: Call) -> int:
    order, slices = call.arg(1, "p"), int(call.tensor.shape[call.arg(2, "dim")])
    norms = _powers(call, order, call.input_elements) + (0 if order in ROOTLESS else slices)
    return norms + slices + call.input_elements


def _norm_of_filters(call: Call) -> int:
    return costs.sum_of_squares(call.input_elements, call.output_elements)


def _weight_norm(call: Call) -> int:
    weight, size = call.input_elements, elements(call.arg(1, "g"))
    return costs.sum_of_squares(weight, size) + size + weight


def _reduced(call: Call, position: int, name: str, values: Any) -> int:
    """Counts a scatter or a segment-wise reduction, by what `name` says: products, means, or what is free."""
    how = call.arg(position, name)
    if how in {"prod", "multiply"}:
        return elements(values)
    return costs.mean(call.output_elements) if how == "mean" else 0


def _scattered(call: Call) -> int:
    return _reduced(call, 4, "reduce", call.arg(2, "index"))


def _index_reduced(call: Call) -> int:
    return _reduced(call, 4, "reduce", call.arg(3, "source"))


def _segments(call: Call) -> int:
    return _reduced(call, 1, "reduce", call.tensor)


REDUCTIONS: dict[str, Formula] = {
    **dict.fromkeys(["cumprod", "prod"], _running_product),
    **dict.fromkeys(["logsumexp", "special_logsumexp"], _log_of_sum),
    **dict.fromkeys(["mean", "nanmean", "quantile", "nanquantile"], _mean),
    **dict.fromkeys(["frobenius_norm", "std", "var"], _sum_of_squares),
    **dict.fromkeys(["std_mean", "var_mean"], _sum_of_squares_and_mean),
    **dict.fromkeys(["linalg_vector_norm", "native_norm", "norm"], _norm),
    **dict.fromkeys(["_weight_norm", "_weight_norm_interface"], _weight_norm),
    **dict.fromkeys(["scatter", "scatter_reduce"], _scattered),
    **dict.fromkeys(["linalg__powsum", "powsum"], _power_sum),
    **dict.fromkeys(["_logcumsumexp", "logcumsumexp"], _running_log_of_sum),
    "index_reduce": _index_reduced,
    "linalg_matrix_norm": _matrix_norm,
    "linalg_norm": _vector_or_matrix_norm,
    "norm_except_dim": _norm_of_filters,
    "renorm": _renormalised,
    "segment_reduce": _segments,
}
