"""Formulas of operators that treat every element by itself, and of reductions over elements."""

from __future__ import annotations

from functools import partial

from kwsbench.budget import costs
from kwsbench.budget.aten.call import Call, Formula, elements, is_complex, multiplications
from kwsbench.budget.aten.names import names

FUNCTIONS = names("""
    acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh cos cosh deg2rad exp exp2 expm1
    float_power gelu glu hardswish leaky_relu log log10 log1p log2 mish pow prelu _prelu_kernel rad2deg reciprocal rrelu
    rrelu_with_noise rrelu_with_noise_functional rsqrt selu silu sin sinh special_exp2 special_expm1 special_log1p sqrt
    square tan
""")
"""One function of a value per output element."""

SEVERAL_STEPS = {
    "cross": 2,
    "hypot": 3,
    "linalg_cross": 2,
    "logaddexp": 2,
    "logaddexp2": 2,
    "logit": 2,
    "polar": 4,
    "sinc": 2,
    "special_entr": 2,
    "special_logit": 2,
    "special_sinc": 2,
    "special_xlog1py": 2,
    "special_xlogy": 2,
    "xlogy": 2,
}
"""Multiplications and functions of a value per output element, for real numbers."""

PRODUCTS_OF_TWO = names("""
    __ilshift__ __irshift__ __lshift__ __rshift__ arctan2 atan2 bitwise_left_shift bitwise_right_shift div divide
    floor_divide fmod ger kron ldexp mul multiply outer remainder true_divide
""")
"""One multiplication of two values per output element."""

QUANTISERS = names("""
    dequantize fake_quantize_per_channel_affine fake_quantize_per_channel_affine_cachemask
    fake_quantize_per_tensor_affine fake_quantize_per_tensor_affine_cachemask
    _fake_quantize_learnable_per_channel_affine _fake_quantize_learnable_per_tensor_affine
    _fake_quantize_per_tensor_affine_cachemask_tensor_qparams fused_moving_avg_obs_fake_quant
    _fused_moving_avg_obs_fq_helper _fused_moving_avg_obs_fq_helper_functional quantize_per_channel quantize_per_tensor
    quantize_per_tensor_dynamic
""")


def _function(call: Call) -> int:
    complex_number = any(map(is_complex, call.args[:2]))
    return costs.per_element(call.output_elements, multiplications=costs.COMPLEX if complex_number else costs.REAL)


def _several_steps(call: Call, steps: int) -> int:
    return steps * costs.per_element(call.output_elements, multiplications=multiplications(*call.args[:2]))


def _product(call: Call) -> int:
    factors = multiplications(call.tensor, call.arg(1, "other"))
    return costs.per_element(call.output_elements, multiplications=factors)


def _interpolated(call: Call) -> int:
    factors = multiplications(call.arg(1, "end"), call.arg(2, "weight"))
    return costs.per_element(call.output_elements, multiplications=factors)


def _added_product(call: Call) -> int:
    factors = multiplications(call.arg(1, "tensor1"), call.arg(2, "tensor2"))
    scaled = costs.scaling(call.arg(3, "value", 1), call.output_elements)
    return costs.per_element(call.output_elements, multiplications=factors) + scaled


def _sum_of_two(call: Call) -> int:
    alpha = call.arg(2, "alpha", 1)
    return costs.scaling(alpha, call.output_elements) * multiplications(call.arg(1, "other"), alpha)


def _index_add(call: Call) -> int:
    return costs.scaling(call.arg(4, "alpha", 1), elements(call.arg(3, "source")))


def _elu(call: Call) -> int:
    scales = (call.arg(2, "scale", 1), call.arg(3, "input_scale", 1))
    return sum(costs.scaling(scale, call.output_elements) for scale in scales)


def _celu(call: Call) -> int:
    return costs.scaling(call.arg(1, "alpha", 1), call.output_elements)


def _magnitude(call: Call) -> int:
    return costs.COMPLEX_MAGNITUDE * call.output_elements if is_complex(call.tensor) else 0


def _direction(call: Call) -> int:
    return (costs.COMPLEX_MAGNITUDE + costs.COMPLEX_BY_REAL) * call.output_elements if is_complex(call.tensor) else 0


def _phase(call: Call) -> int:
    return call.output_elements if is_complex(call.tensor) else 0


def _quantised(call: Call) -> int:
    return costs.quantisation(call.input_elements)


def _dropped(call: Call) -> int:
    return 2 * call.output_elements if call.arg(2, "train", default=True) is not False else 0


def _masked_scale(call: Call) -> int:
    return 2 * call.output_elements


ELEMENTWISE: dict[str, Formula] = {
    **dict.fromkeys(FUNCTIONS, _function),
    **{name: partial(_several_steps, steps=steps) for name, steps in SEVERAL_STEPS.items()},
    **dict.fromkeys(PRODUCTS_OF_TWO, _product),
    **dict.fromkeys(QUANTISERS, _quantised),
    **dict.fromkeys(["add", "_add_relu", "rsub", "sub", "subtract"], _sum_of_two),
    **dict.fromkeys(["addcdiv", "addcmul"], _added_product),
    **dict.fromkeys(["abs", "absolute"], _magnitude),
    **dict.fromkeys(
        ["alpha_dropout", "dropout", "feature_alpha_dropout", "feature_dropout", "native_dropout"], _dropped
    ),
    "angle": _phase,
    "celu": _celu,
    "elu": _elu,
    "index_add": _index_add,
    "lerp": _interpolated,
    "_masked_scale": _masked_scale,
    "sgn": _direction,
}
