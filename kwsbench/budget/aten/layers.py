"""Formulas of whole layers: norms, softmax, pooling, attention, interpolation, embeddings."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

from kwsbench.budget import costs
from kwsbench.budget.aten.call import Call, Formula, elements, is_tensor
from kwsbench.budget.aten.names import names

SOFTMAXES = names("_masked_softmax _safe_softmax _softmax softmax special_softmax")
LOG_SOFTMAXES = names("_log_softmax log_softmax special_log_softmax")

AVERAGE_POOLINGS = names("""
    _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d avg_pool1d
    avg_pool2d avg_pool3d mkldnn_adaptive_avg_pool2d
""")

ATTENTIONS = names("""
    _scaled_dot_product_attention_math _scaled_dot_product_flash_attention_for_cpu
    _scaled_dot_product_cudnn_attention _scaled_dot_product_efficient_attention _scaled_dot_product_flash_attention
    _scaled_dot_product_fused_attention_overrideable scaled_dot_product_attention
""")

EVALUATED_BATCH_NORMS = names("_batch_norm_no_update _native_batch_norm_legit_no_training quantized_batch_norm")

BATCH_NORMS = names("""
    _batch_norm_impl_index _batch_norm_with_update _batch_norm_with_update_functional _native_batch_norm_legit
    _native_batch_norm_legit_functional batch_norm cudnn_batch_norm instance_norm native_batch_norm
""")
"""With running statistics or the input's own."""

RESIZERS = {
    "_upsample_nearest_exact1d": "nearest",
    "_upsample_nearest_exact2d": "nearest",
    "_upsample_nearest_exact3d": "nearest",
    "__upsample_bilinear": "bilinear",
    "__upsample_nearest": "nearest",
    "upsample_bicubic2d": "bicubic",
    "upsample_bilinear2d": "bilinear",
    "upsample_linear1d": "linear",
    "upsample_nearest1d": "nearest",
    "upsample_nearest2d": "nearest",
    "upsample_nearest3d": "nearest",
    "upsample_trilinear3d": "trilinear",
}

SAMPLING_MODES = ("linear", "nearest", "cubic")
"""Modes of a grid sampler by PyTorch's numbers, for one dimension."""


def _softmax(call: Call) -> int:
    return costs.softmax(call.output_elements)


def _log_softmax(call: Call) -> int:
    return costs.log_softmax(call.output_elements)


def _average_pooling(call: Call) -> int:
    return costs.mean(call.output_elements)


def _evaluated_batch_norm(call: Call) -> int:
    return costs.batch_normalisation(call.input_elements)


def _batch_norm(call: Call) -> int:
    has_running_statistics = is_tensor(call.arg(3, "running_mean"))
    if has_running_statistics and call.arg(5, "training", default=False) is False:
        return costs.batch_normalisation(call.input_elements)
    return _norm(call, position=1)


def _norm(call: Call, position: int) -> int:
    """Counts a norm on the input's own statistics, whose scale is the argument at `position`."""
    return costs.normalisation(call.input_elements, scaled=call.arg(position, "weight") is not None)


def _attention(call: Call) -> int:
    query, key, value = call.tensor, call.arg(1, "key"), call.arg(2, "value")
    heads = prod(query.shape[:-2])
    return costs.attention(heads, query.shape[-2], key.shape[-2], query.shape[-1], value.shape[-1])


def _scaled_queries(call: Call) -> int:
    return call.input_elements // 3


def _multi_head_attention(call: Call) -> int:
    query, key, value, width, heads = call.args[:5]
    projections = (elements(tensor) for tensor in (query, key, value, query))
    averaged = call.arg(10, "need_weights", default=True) and call.arg(11, "average_attn_weights", default=True)
    weights = query.shape[0] * query.shape[1] * key.shape[1] if averaged else 0
    return sum(map(partial(_by, width=width), projections)) + _heads(query, key, width, heads) + costs.mean(weights)


def _by(values: int, width: int) -> int:
    """Counts a linear layer that has `width` outputs for every input vector."""
    return costs.matrix_product(batch=1, rows=1, inner=values, columns=width)


def _heads(query: Any, key: Any, width: int, heads: int) -> int:
    batch, queries, _ = query.shape
    return costs.attention(batch * heads, queries, key.shape[1], width // heads, width // heads)


def _transformer_layer(call: Call) -> int:
    signal, width, heads = call.args[:3]
    rows = prod(signal.shape[:-1])
    inner = elements(call.args[15])
    projections = 4 * _by(rows * width, width)
    feed_forward = 2 * _by(rows * width, inner) + (rows * inner if call.args[7] else 0)
    norms = 2 * costs.normalisation(rows * width, scaled=True)
    return projections + _heads(signal, signal, width, heads) + feed_forward + norms


def _resized(call: Call, mode: str) -> int:
    return costs.interpolation(call.output_elements, mode)


def _interpolated(call: Call) -> int | None:
    if call.arg(6, "antialias", default=False):
        return None
    mode = str(call.arg(3, "mode", "nearest"))
    return costs.interpolation(call.output_elements, mode) if mode in costs.INTERPOLATION else None


def _sampled(call: Call) -> int:
    grid = call.arg(1, "grid")
    dimensions = grid.shape[-1]
    mode = SAMPLING_MODES[call.arg(2, "interpolation_mode")]
    name = {"nearest": "nearest", "linear": {2: "bilinear", 3: "trilinear"}.get(dimensions), "cubic": "bicubic"}[mode]
    return costs.interpolation(call.output_elements, str(name)) + costs.per_element(elements(grid))


def _affine_grid(call: Call) -> int:
    return costs.matrix_product(batch=1, rows=call.output_elements, inner=call.tensor.shape[-1], columns=1)


def _embedding_bag(call: Call) -> int:
    weighted = call.arg(6, "per_sample_weights")
    macs = costs.per_element(elements(weighted) * call.tensor.shape[1]) if is_tensor(weighted) else 0
    return macs + (costs.mean(call.output_elements) if call.arg(4, "mode", 0) == 1 else 0)


LAYERS: dict[str, Formula] = {
    **dict.fromkeys(SOFTMAXES, _softmax),
    **dict.fromkeys(LOG_SOFTMAXES, _log_softmax),
    **dict.fromkeys(AVERAGE_POOLINGS, _average_pooling),
    **dict.fromkeys(EVALUATED_BATCH_NORMS, _evaluated_batch_norm),
    **dict.fromkeys(BATCH_NORMS, _batch_norm),
    **dict.fromkeys(
        ["_fused_rms_norm", "group_norm", "layer_norm", "native_layer_norm", "rms_norm"], partial(_norm, position=2)
    ),
    **dict.fromkeys(ATTENTIONS, _attention),
    **{name: partial(_resized, mode=mode) for name, mode in RESIZERS.items()},
    **dict.fromkeys(["grid_sampler", "grid_sampler_2d", "grid_sampler_3d", "_grid_sampler_2d_cpu_fallback"], _sampled),
    **dict.fromkeys(["_embedding_bag", "_embedding_bag_forward_only", "embedding_bag"], _embedding_bag),
    "affine_grid_generator": _affine_grid,
    "__interpolate": _interpolated,
    "native_group_norm": partial(_norm, position=1),
    "_native_multi_head_attention": _multi_head_attention,
    "_transform_bias_rescale_qkv": _scaled_queries,
    "_transformer_encoder_layer_fwd": _transformer_layer,
}
