"""Formulas of convolutions, matrix products and everything else that contracts two tensors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

from kwsbench.budget import costs
from kwsbench.budget.aten.call import Call, Formula, multiplications
from kwsbench.budget.aten.einsum import einsum_macs
from kwsbench.budget.aten.names import names
from kwsbench.budget.aten.reductions import norm_macs

CONVOLUTIONS = names("""
    conv1d conv2d conv3d _conv_depthwise2d conv_depthwise3d _convolution_mode cudnn_convolution mkldnn_convolution _nnpack_spatial_convolution slow_conv3d
    slow_conv3d_forward _slow_conv2d_forward slow_conv_dilated2d slow_conv_dilated3d thnn_conv2d
""")

TRANSPOSED_CONVOLUTIONS = names("""
    conv_transpose1d conv_transpose2d conv_transpose3d slow_conv_transpose2d slow_conv_transpose3d
""")

TWO_WAY_CONVOLUTIONS = ["_convolution", "convolution", "convolution_overrideable"]
"""A flag says whether they are transposed."""

MATRIX_PRODUCTS = names("""
    bmm dot _grouped_mm inner _int_mm linalg_matmul matmul mm mv vdot _weight_int4pack_mm_for_cpu
""")
"""The last dimension of the first operand is summed over."""


def _convolution(call: Call) -> int:
    signal, weight = call.tensor, call.arg(1, "weight")
    macs = costs.convolution(call.output_elements, weight.shape[1], prod(weight.shape[2:]))
    return macs * multiplications(signal, weight)


def _transposed_convolution(call: Call) -> int:
    signal, weight = call.tensor, call.arg(1, "weight")
    macs = costs.transposed_convolution(call.input_elements, weight.shape[1], prod(weight.shape[2:]))
    return macs * multiplications(signal, weight)


def _convolution_either_way(call: Call) -> int:
    return _transposed_convolution(call) if call.arg(6, "transposed", default=False) else _convolution(call)


def _time_batch_channel_convolution(call: Call) -> int:
    kernel, channels, _ = call.arg(1, "weight").shape
    return costs.convolution(call.output_elements, channels, kernel)


def _rows_by_columns(call: Call, left: Any, right: Any) -> int:
    macs = costs.matrix_product(batch=1, rows=call.output_elements, inner=left.shape[-1], columns=1)
    return macs * multiplications(left, right)


def _matrix_product(call: Call) -> int:
    return _rows_by_columns(call, call.tensor, call.arg(1, "other"))


def _linear(call: Call) -> int:
    weight = call.arg(1, "weight")
    return _rows_by_columns(call, weight, call.tensor)


def _grouped_product(call: Call) -> int:
    groups = call.output.shape[0] if len(call.output.shape) > len(call.tensor.shape) else 1
    return _matrix_product(call) // groups


def _scales(call: Call) -> int:
    return sum(costs.scaling(call.kwargs.get(name, 1), call.output_elements) for name in ("alpha", "beta"))


def _added_matrix_product(call: Call) -> int:
    return _rows_by_columns(call, call.arg(1, "mat1"), call.arg(2, "mat2")) + _scales(call)


def _activated_matrix_product(call: Call) -> int:
    return _added_matrix_product(call) + (call.output_elements if call.kwargs.get("use_gelu") else 0)


def _summed_matrix_products(call: Call) -> int:
    left, right = call.arg(1, "batch1"), call.arg(2, "batch2")
    batch, rows, inner = left.shape
    macs = costs.matrix_product(batch, rows, inner, right.shape[-1])
    return macs * multiplications(left, right) + _scales(call)


def _added_outer_product(call: Call) -> int:
    factors = multiplications(call.arg(1, "vec1"), call.arg(2, "vec2"))
    return costs.per_element(call.output_elements, multiplications=factors) + _scales(call)


def _scaled_int8_product(call: Call) -> int:
    return _matrix_product(call) + call.output_elements


def _scaled_product(call: Call) -> int:
    return _matrix_product(call) + 2 * call.output_elements


def _dynamically_quantised_product(call: Call) -> int:
    inner = call.arg(3, "in_features")
    products = costs.matrix_product(batch=1, rows=call.output_elements, inner=inner, columns=1)
    return costs.quantisation(call.input_elements) + products + call.output_elements


def _product_of_vectors(call: Call) -> int:
    vectors = broadcast(call.tensor.shape, call.arg(1, "y").shape)
    return prod(vectors) * multiplications(call.tensor, call.arg(1, "y"))


def _tensordot(call: Call) -> int:
    left, right = call.tensor, call.arg(1, "other")
    summed = prod(left.shape[axis] for axis in call.arg(2, "dims_self"))
    return costs.matrix_product(1, call.output_elements, summed, 1) * multiplications(left, right)


def _einsum(call: Call) -> int:
    tensors = call.arg(1, "tensors")
    shapes = [tuple(tensor.shape) for tensor in tensors]
    return einsum_macs(call.tensor, shapes, call.kwargs.get("path")) * multiplications(*tensors)


def _bilinear(call: Call) -> int:
    outputs, first, second = call.arg(2, "weight").shape
    rows = prod(call.tensor.shape[:-1])
    return costs.matrix_product(rows, outputs, first, second) + costs.matrix_product(rows, outputs, second, 1)


def _trilinear(call: Call) -> int:
    expands = [set(call.args[position]) for position in (3, 4, 5)]
    sizes = _expanded_sizes(call.args[:3], expands)
    summed_early = set(call.args[6]) & expands[2]
    first = prod(size for axis, size in enumerate(sizes) if axis not in expands[0] & expands[1])
    return first + prod(size for axis, size in enumerate(sizes) if axis not in summed_early)


def _expanded_sizes(tensors: Sequence[Any], expands: Sequence[set[int]]) -> list[int]:
    rank = len(tensors[0].shape) + len(expands[0])
    shapes = []
    for tensor, expanded in zip(tensors, expands, strict=True):
        sizes = iter(tensor.shape)
        shapes.append([1 if axis in expanded else next(sizes) for axis in range(rank)])
    return broadcast(broadcast(shapes[0], shapes[1]), shapes[2])


def _distances(call: Call, order: float | None = None) -> int:
    """Counts distances between all pairs: their differences' powers, summed, and one root each."""
    pairs = call.output_elements
    return norm_macs(call, call.arg(2, "p", 2.0) if order is None else order, pairs * call.tensor.shape[-1])


def _distances_within(call: Call) -> int:
    return norm_macs(call, call.arg(1, "p", 2.0), call.output_elements * call.tensor.shape[-1])


def _distances_of_two(call: Call) -> int:
    differences = broadcast(call.tensor.shape, call.arg(1, "other").shape)
    return norm_macs(call, call.arg(2, "p", 2.0), prod(differences))


def _cosine_similarity(call: Call) -> int:
    vectors = prod(broadcast(call.tensor.shape, call.arg(1, "x2").shape))
    norms = 2 * costs.sum_of_squares(vectors, call.output_elements)
    return norms + 3 * vectors


def broadcast(left: Sequence[int], right: Sequence[int]) -> list[int]:
    """Returns the shape that two shapes broadcast to.

    >>> broadcast((3, 1), (5, 1, 4))
    [5, 3, 4]
    """
    rank = max(len(left), len(right))
    padded = [[1] * (rank - len(shape)) + list(shape) for shape in (left, right)]
    return [b if a == 1 else a for a, b in zip(*padded, strict=True)]


PRODUCTS: dict[str, Formula] = {
    **dict.fromkeys(CONVOLUTIONS, _convolution),
    **dict.fromkeys(TRANSPOSED_CONVOLUTIONS, _transposed_convolution),
    **dict.fromkeys(TWO_WAY_CONVOLUTIONS, _convolution_either_way),
    **dict.fromkeys(MATRIX_PRODUCTS, _matrix_product),
    **dict.fromkeys(["addmm", "addmv", "baddbmm"], _added_matrix_product),
    **dict.fromkeys(["linear", "mkldnn_linear"], _linear),
    **dict.fromkeys(["cdist", "_cdist_forward"], _distances),
    **dict.fromkeys(["dist", "pairwise_distance"], _distances_of_two),
    **dict.fromkeys(["pdist", "_pdist_forward"], _distances_within),
    "addbmm": _summed_matrix_products,
    "_addmm_activation": _activated_matrix_product,
    "addr": _added_outer_product,
    "bilinear": _bilinear,
    "conv_tbc": _time_batch_channel_convolution,
    "cosine_similarity": _cosine_similarity,
    "_dyn_quant_matmul_4bit": _dynamically_quantised_product,
    "einsum": _einsum,
    "_euclidean_dist": partial(_distances, order=2.0),
    "_grouped_mm": _grouped_product,
    "linalg_vecdot": _product_of_vectors,
    "_scaled_mm": _scaled_product,
    "tensordot": _tensordot,
    "_trilinear": _trilinear,
    "_weight_int8pack_mm": _scaled_int8_product,
}
