"""Counts of PyTorch's operators: all of them are classified, and nothing unknown counts as 0."""

from __future__ import annotations

import doctest
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from kwsbench.budget import aten_costs
from kwsbench.budget.aten import call as calls
from kwsbench.budget.aten import einsum, names, products
from kwsbench.budget.aten.without_macs import FREE
from kwsbench.budget.aten_costs import FACTORIES, FORMULAS, RANDOM_OPERATORS, draws_random, is_known, macs_of
from tests.budget.aten_counting import counted, real

SIX = real(2, 3)

WITHOUT_FORMULA = names.names("""
    _add_batch_dim _amp_foreach_non_finite_check_and_unscale _amp_update_scale _cholesky_solve_helper
    _choose_qparams_per_tensor _coalesce _coalesced _compute_linear_combination _convert_indices_from_coo_to_csr
    _convert_indices_from_csr_to_coo _ctc_loss _cudnn_ctc_loss _cudnn_init_dropout_state _cudnn_rnn
    _cudnn_rnn_flatten_weight _dirichlet_grad _foobar _foreach_lgamma _fused_adagrad _fused_adam _fused_adamw
    _fused_sgd _histogramdd_bin_edges _histogramdd_from_bin_cts _histogramdd_from_bin_tensors _indices_copy
    _jagged_to_padded_dense_forward _linalg_check_errors _linalg_det _linalg_eigh _linalg_eigvals _linalg_slogdet
    _linalg_solve_ex _linalg_svd _lstm_mps _lu_with_info _mps_convolution _mps_convolution_transpose
    _nested_compute_contiguous_strides_offsets _nested_from_padded _nested_from_padded_and_nested_example
    _nested_get_values_copy _nested_tensor_from_mask _nested_tensor_from_mask_left_aligned
    _nested_tensor_from_tensor_list _nested_tensor_size _nested_tensor_storage_offsets _nested_tensor_strides
    _nested_view_from_buffer _nested_view_from_buffer_copy _nested_view_from_jagged_copy
    _padded_dense_to_jagged_forward _propagate_xla_data _remove_batch_dim _rowwise_prune _scaled_mm_v2
    _sobol_engine_draw _sobol_engine_ff _sobol_engine_initialize_state _sobol_engine_scramble _sparse_addmm
    _sparse_broadcast_to_copy _sparse_bsc_tensor_unsafe _sparse_bsr_tensor_unsafe _sparse_compressed_tensor_unsafe
    _sparse_compressed_tensor_with_dims _sparse_coo_tensor_unsafe _sparse_coo_tensor_with_dims
    _sparse_coo_tensor_with_dims_and_tensors _sparse_csc_tensor_unsafe _sparse_csr_prod _sparse_csr_sum
    _sparse_csr_tensor_unsafe _sparse_log_softmax _sparse_mask_projection _sparse_mm _sparse_softmax
    _sparse_sparse_matmul _sparse_sum _spdiags _standard_gamma_grad _test_ambiguous_defaults
    _test_autograd_multiple_dispatch _test_autograd_multiple_dispatch_view
    _test_autograd_multiple_dispatch_view_copy _test_check_tensor _test_functorch_fallback
    _test_optional_filled_intlist _test_optional_floatlist _test_optional_intlist _test_parallel_materialize
    _test_serialization_subcmul _test_string_default _test_warn_in_autograd _to_sparse _to_sparse_bsc _to_sparse_bsr
    _to_sparse_csc _to_sparse_csr _triton_multi_head_attention _triton_scaled_dot_attention _upsample_bicubic2d_aa
    _upsample_bilinear2d_aa _upsample_lanczos2d_aa _validate_compressed_sparse_indices
    _validate_sparse_bsc_tensor_args _validate_sparse_bsr_tensor_args _validate_sparse_compressed_tensor_args
    _validate_sparse_coo_tensor_args _validate_sparse_csc_tensor_args _validate_sparse_csr_tensor_args _values_copy
    _wrapped_linear_prepack _wrapped_quantized_linear_prepacked batch_norm_gather_stats
    batch_norm_gather_stats_with_counts batch_norm_stats batch_norm_update_stats binary_cross_entropy
    binary_cross_entropy_with_logits ccol_indices ccol_indices_copy chain_matmul cholesky cholesky_inverse
    cholesky_solve choose_qparams_optimized coalesce col_indices col_indices_copy copy_sparse_to_sparse corrcoef
    cosine_embedding_loss cov cross_entropy_loss crow_indices crow_indices_copy ctc_loss cudnn_affine_grid_generator
    cudnn_convolution_add_relu cudnn_convolution_relu cudnn_convolution_transpose cudnn_grid_sampler
    cudnn_is_acceptable cumulative_trapezoid det digamma embedding_renorm erfinv fbgemm_linear_fp16_weight
    fbgemm_linear_fp16_weight_fp32_activation fbgemm_linear_int8_weight fbgemm_linear_int8_weight_fp32_activation
    fbgemm_linear_quantize_weight fbgemm_pack_gemm_matrix_fp16 fbgemm_pack_quantized_matrix from_file gcd geqrf
    get_gradients glu_jvp gradient hash_tensor hinge_embedding_loss histc histogram histogramdd huber_loss i0 igamma
    igammac inverse istft kl_div l1_loss lcm lgamma linalg_cholesky linalg_cholesky_ex linalg_cond linalg_det
    linalg_eig linalg_eigh linalg_eigvals linalg_eigvalsh linalg_householder_product linalg_inv linalg_inv_ex
    linalg_ldl_factor linalg_ldl_factor_ex linalg_ldl_solve linalg_lstsq linalg_lu linalg_lu_factor
    linalg_lu_factor_ex linalg_lu_solve linalg_matrix_exp linalg_matrix_power linalg_matrix_rank linalg_multi_dot
    linalg_pinv linalg_qr linalg_slogdet linalg_solve linalg_solve_ex linalg_solve_triangular linalg_svd
    linalg_svdvals linalg_tensorinv linalg_tensorsolve linalg_vander logdet lu_solve lu_unpack margin_ranking_loss
    matrix_exp matrix_power miopen_batch_norm miopen_convolution miopen_convolution_transpose miopen_ctc_loss
    miopen_depthwise_convolution miopen_rnn mse_loss multi_margin_loss multilabel_margin_loss
    multilabel_margin_loss_forward mvlgamma nested_to_padded_tensor nll_loss nll_loss2d nll_loss2d_forward
    nll_loss_forward nll_loss_nd nuclear_norm orgqr ormqr pinverse poisson_nll_loss polygamma qr quantized_gru
    quantized_lstm resize_as_sparse row_indices row_indices_copy slogdet smm smooth_l1_loss soft_margin_loss
    sparse_bsc_tensor sparse_bsr_tensor sparse_compressed_tensor sparse_coo_tensor sparse_csc_tensor
    sparse_csr_tensor sparse_mask sparse_resize sparse_resize_and_clear special_airy_ai special_bessel_j0
    special_bessel_j1 special_bessel_y0 special_bessel_y1 special_chebyshev_polynomial_t
    special_chebyshev_polynomial_u special_chebyshev_polynomial_v special_chebyshev_polynomial_w special_digamma
    special_erfcx special_erfinv special_gammainc special_gammaincc special_gammaln special_hermite_polynomial_h
    special_hermite_polynomial_he special_i0 special_i0e special_i1 special_i1e special_laguerre_polynomial_l
    special_legendre_polynomial_p special_log_ndtr special_modified_bessel_i0 special_modified_bessel_i1
    special_modified_bessel_k0 special_modified_bessel_k1 special_multigammaln special_ndtr special_ndtri
    special_polygamma special_psi special_scaled_modified_bessel_k0 special_scaled_modified_bessel_k1
    special_shifted_chebyshev_polynomial_t special_shifted_chebyshev_polynomial_u
    special_shifted_chebyshev_polynomial_v special_shifted_chebyshev_polynomial_w special_spherical_bessel_j0
    special_zeta sspaddmm svd to_padded_tensor to_sparse to_sparse_bsc to_sparse_bsr to_sparse_csc to_sparse_csr
    trapezoid trapz triangular_solve triplet_margin_loss vander
""")
"""Operators of torch 2.13 that cannot be certified: decompositions of matrices, special functions, losses, sparse and
nested tensors, optimisers, kernels of other devices, and PyTorch's own tests."""

KERNELS = ("CPU", "CompositeImplicitAutograd", "CompositeExplicitAutograd", "MkldnnCPU")


def executable_operators() -> set[str]:
    """Returns the names of ATen's operators on tensors that run forward on a CPU, as their schemas have them."""
    found = set()
    for schema in torch._C._jit_get_all_schemas():
        on_tensors = any("Tensor" in str(part.type) for part in [*schema.arguments, *schema.returns])
        if schema.name.startswith("aten::") and "backward" not in schema.name and on_tensors and _has_kernel(schema):
            found.add(schema.name)
    return found


def _has_kernel(schema: Any) -> bool:
    full_name = ".".join(filter(None, [schema.name, schema.overload_name]))
    try:
        return any(torch._C._dispatch_has_kernel_for_dispatch_key(full_name, key) for key in KERNELS)
    except RuntimeError:  # TorchScript's own: never dispatched
        return False


def test_every_operator_is_classified() -> None:
    """Each multiplies by a formula, is free, or is listed here as unknown: a new release of PyTorch is noticed."""
    operators = executable_operators()
    known = {operator for operator in operators if is_known(operator)}
    own_names = {operator: operator.removeprefix("aten::").removesuffix("_") for operator in operators - known}
    new = sorted(operator for operator, own in own_names.items() if own not in WITHOUT_FORMULA)
    assert not new, f"{len(known)} of {len(operators)} operators are covered; in no list: {' '.join(new)}"
    assert len(known) > 0.7 * len(operators)


def test_nothing_is_both_known_and_listed_as_unknown() -> None:
    """An operator that gets a formula leaves the list, and what multiplies is never free as well."""
    assert sorted(name for name in WITHOUT_FORMULA if is_known(f"aten::{name}")) == []
    assert sorted(FORMULAS.keys() & FREE) == []


@pytest.mark.parametrize(
    "name", ["aten::linalg_svd", "aten::lgamma_", "aten::made_up", "mine::mul", "prims::mul", "mul", ""]
)
def test_what_is_unknown_has_no_count(name: str) -> None:
    """It is None and never 0, for other libraries' operators too."""
    assert macs_of(name, (real(2), real(2)), {}, real(2)) is None
    assert not is_known(name)


def test_an_unknown_form_of_a_known_operator_has_no_count() -> None:
    """Arguments that a formula cannot read give None, not 0 and not an exception."""
    assert macs_of("aten::mm", (), {}, real(2, 2)) is None
    assert macs_of("aten::mul", (1, 2), {}, 2) is None
    assert macs_of("aten::linalg_matrix_norm", (real(2, 2), "nuc"), {}, real()) is None
    assert macs_of("aten::linalg_norm", (real(2, 2), 2), {}, real()) is None
    assert macs_of("aten::_foreach_lgamma", ([real(2)],), {}, [real(2)]) is None
    assert macs_of("aten::_foreach_lgamma", ([],), {}, []) is None
    antialiased = {"mode": "bilinear", "antialias": True}
    assert macs_of("aten::__interpolate", (real(1, 1, 2, 2),), antialiased, real(1, 1, 4, 4)) is None


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_nested_tensor_has_no_count() -> None:
    """It has no shape to count by."""
    nested = torch.nested.nested_tensor([real(2, 3), real(4, 3)])
    assert macs_of("aten::mul", (nested, 2), {}, nested) is None


def test_batch_norm_counts_by_the_statistics_that_it_uses() -> None:
    """1 for a scale and shift that can be folded; more where the clip's own mean and variance are taken."""
    signal, weight = real(2, 3, 4), real(3)
    for name in ("batch_norm", "native_batch_norm", "_native_batch_norm_legit"):
        folded = (signal, weight, weight, weight, weight, False, 0.1, 1e-5)
        own = (signal, weight, weight, weight, weight, True, 0.1, 1e-5)
        nameless = (signal, None, None, None, None, False, 0.1, 1e-5)
        counts = [macs_of(f"aten::{name}", args, {}, (signal,)) for args in (folded, own, nameless)]
        assert counts == [24, 3 * 24, 2 * 24]


def test_a_scripted_convolution_counts_like_any_other() -> None:
    """TorchScript calls the operator by an older name, with more flags."""
    weight, signal, result = real(4, 2, 3), real(1, 4, 9), real(1, 4, 7)
    args = (signal, weight, None, [1], [0], [1], False, [0], 2, False, False, True, True)
    assert macs_of("aten::_convolution", args, {}, result) == 4 * 7 * 2 * 3
    transposed = (signal, weight, None, [1], [0], [1], True, [0], 2, False, False, True, True)
    assert macs_of("aten::_convolution", transposed, {}, result) == 4 * 9 * 2 * 3


def test_only_shapes_and_types_are_looked_at() -> None:
    """Tensors without storage count like any other."""
    left, right = torch.empty(2, 3, device="meta"), torch.empty(3, 4, device="meta")
    assert macs_of("aten::mm", (left, right), {}, left @ right) == 24


def test_arguments_count_by_name_as_by_position() -> None:
    """An exported program may name any of them."""
    signal = real(1, 4, 5)
    kwargs = {"transposed": True, "stride": [1], "padding": [0], "dilation": [1], "output_padding": [0], "groups": 1}
    by_name = macs_of("aten::convolution", (signal, real(4, 2, 3), None), kwargs, real(1, 2, 7))
    assert by_name == 4 * 5 * 2 * 3


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.rand(3),
        lambda: torch.randn_like(real(3)),
        lambda: torch.bernoulli(real(3)),
        lambda: real(3).normal_(),
        lambda: real(3).uniform_(),
        lambda: torch.randperm(3),
        lambda: torch.multinomial(real(3), 1),
    ],
)
def test_random_numbers_are_known_as_such(draw: Callable[[], Any]) -> None:
    """Their operators' names are in the set, in place or not, and they multiply nothing."""
    counting = counted(draw)
    assert RANDOM_OPERATORS & counting.by_operator.keys()
    assert counting.macs == 0


def test_a_dropout_draws_only_where_it_is_told_to() -> None:
    """In inference mode it arrives as a whole, with a flag."""
    assert draws_random("aten::dropout", (SIX, 0.5, True), {})
    assert draws_random("aten::dropout_", (SIX, 0.5), {"train": True})
    assert not draws_random("aten::dropout", (SIX, 0.5, False), {})
    assert draws_random("aten::rrelu", (SIX, 0.1, 0.3, True), {})
    assert not draws_random("aten::relu", (SIX,), {})
    assert macs_of("aten::dropout", (SIX, 0.5, True), {}, SIX) == 2 * 6


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.zeros(3),
        lambda: torch.ones_like(SIX),
        lambda: torch.arange(3),
        lambda: torch.eye(3),
        lambda: torch.full((3,), 0.5),
        lambda: torch.hann_window(4),
        lambda: torch.linspace(0, 1, 3),
        lambda: SIX.new_zeros(3),
        lambda: torch.tril_indices(3, 3),
    ],
)
def test_computed_constants_are_known_as_such(make: Callable[[], Any]) -> None:
    """Their operators' names are in the set, and they multiply nothing."""
    counting = counted(make)
    assert counting.by_operator.keys() <= FACTORIES
    assert counting.macs == 0


def test_the_counts_need_no_pytorch() -> None:
    """Importing them loads neither PyTorch nor NumPy."""
    code = "import sys, kwsbench.budget.aten_costs; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", [aten_costs, calls, einsum, names, products], ids=lambda module: module.__name__)
def test_the_examples_in_the_docstrings_are_right(module: Any) -> None:
    """They were computed by hand."""
    assert doctest.testmod(module).failed == 0
