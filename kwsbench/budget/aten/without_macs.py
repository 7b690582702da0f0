"""Operators that multiply nothing: they move, compare, add, look at few bits, make constants, or draw numbers."""

from __future__ import annotations

from kwsbench.budget.aten.names import names

VIEWS = names("""
    adjoint alias as_strided atleast_1d atleast_2d atleast_3d broadcast_tensors broadcast_to chunk _conj conj data
    detach diagonal dsplit expand expand_as _fw_primal hsplit imag indices lift lift_fresh linalg_diagonal _make_dual
    matrix_H mH mT moveaxis movedim narrow _neg_view numpy_T permute positive real _reshape_alias resolve_conj
    resolve_neg select slice slice_inverse split split_with_sizes squeeze swapaxes swapdims t tensor_split transpose
    unbind unflatten unfold _unpack_dual unsafe_chunk unsafe_split unsafe_split_with_sizes _unsafe_view unsqueeze values
    view view_as view_as_complex view_as_real vsplit
""")

MOVES = names("""
    as_strided_scatter _autocast_to_full_precision _autocast_to_reduced_precision block_diag cartesian_prod _cast_Byte
    _cast_Char _cast_Double _cast_Float _cast_Half _cast_Int _cast_Long _cast_Short cat chalf channel_shuffle _chunk_cat
    clone column_stack combinations complex concat concatenate _conj_physical conj_physical constant_pad_nd contiguous
    _convert_weight_to_int4pack_for_cpu copy _copy_from _copy_from_and_resize cpu diag diag_embed diagflat
    diagonal_scatter dstack _dyn_quant_pack_4bit_weight embedding fft_fftshift fft_ifftshift fill fill_diagonal_ flatten
    flatten_dense_tensors flip fliplr flipud frexp gather hstack im2col index index_copy index_fill index_put
    _index_put_impl index_select int_repr _lazy_clone _make_per_channel_quantized_tensor
    _make_per_tensor_quantized_tensor masked_fill masked_scatter masked_select max_unpool2d max_unpool3d meshgrid
    mkldnn_reorder_conv2d_weight mkldnn_reorder_conv3d_weight _mkldnn_reshape _mkldnn_transpose native_channel_shuffle
    _no_grad_fill_ _no_grad_zero_ one_hot _pack_padded_sequence pad _pad_circular _pad_enum
    _pad_packed_sequence pad_sequence pin_memory _pin_memory pixel_shuffle pixel_unshuffle put ravel reflection_pad1d
    reflection_pad2d reflection_pad3d repeat repeat_interleave replication_pad1d replication_pad2d replication_pad3d
    reshape reshape_as _reshape_copy _reshape_from_tensor resize resize_as _resize_output roll rot90 row_stack
    _saturate_weight_to_fp16 select_scatter set set_data slice_scatter _stack stack take take_along_dim tile to _to_copy
    _to_cpu _to_dense to_dense to_mkldnn tril triu type_as unflatten_dense_tensors _unsafe_index _unsafe_index_put
    _unsafe_masked_index vstack where zero
""")

COMPARISONS = names("""
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d all allclose amax amin _aminmax aminmax __and__ any
    argmax argmin argsort argwhere bitwise_and bitwise_not bitwise_or bitwise_xor bucketize clamp clamp_max clamp_min
    clip copysign cummax _cummax_helper cummin _cummin_helper eq equal fmax fmin fractional_max_pool2d
    fractional_max_pool3d ge greater greater_equal gt heaviside __iand__ __ior__ _is_all_true _is_any_true is_nonzero
    isclose isfinite isin isinf isnan isneginf isposinf isreal __ixor__ kthvalue le less less_equal logical_and
    logical_not logical_or logical_xor lt max max_pool1d max_pool1d_with_indices max_pool2d max_pool2d_with_indices
    max_pool3d max_pool3d_with_indices maximum median min minimum mkldnn_max_pool2d mkldnn_max_pool3d mode msort
    nan_to_num nanmedian ne nextafter nonzero nonzero_numpy nonzero_static not_equal __or__ quantized_max_pool1d
    quantized_max_pool2d quantized_max_pool3d searchsorted sign signbit sort topk _unique _unique2 unique_consecutive
    unique_dim unique_dim_consecutive __xor__
""")

ADDITIONS = names("""
    bincount col2im count_nonzero cumsum diff _grad_sum_to_size nansum scatter_add sum sum_to_size trace
    _unsafe_masked_index_put_accumulate
""")

ACTIVATIONS = names("""
    ceil erf erfc fix floor frac hardshrink hardsigmoid hardtanh log_sigmoid log_sigmoid_forward neg negative
    relu relu6 round sigmoid softplus softshrink special_erf special_erfc special_expit special_round tanh threshold
    trunc
""")

QUESTIONS = names("""
    _assert_async _assert_scalar _assert_tensor_metadata _debug_has_internal_overlap dense_dim dim element_size
    _functional_assert_async _functional_assert_scalar _functional_sym_constrain_range
    _functional_sym_constrain_range_for_size _fused_sdp_choice get_device _has_compatible_shallow_copy_type
    _has_same_storage_numel is_coalesced is_complex is_conj is_contiguous is_distributed is_floating_point is_inference
    is_leaf is_neg is_non_overlapping_and_dense is_pinned is_same_size is_set_to is_signed is_strides_like_format
    _is_zerotensor item _local_scalar_dense _make_dep_token numel output_nr q_per_channel_axis q_per_channel_scales
    q_per_channel_zero_points q_scale q_zero_point qscheme requires_grad_ result_type retain_grad retains_grad
    _shape_as_tensor size sparse_dim storage_offset stride sym_constrain_range sym_constrain_range_for_size
    sym_is_contiguous sym_numel sym_size sym_storage_offset sym_stride _version
""")
"""They return shapes, types and single values, or check them."""

CONSTANTS = names("""
    arange as_tensor bartlett_window blackman_window _dim_arange _efficientzerotensor empty _empty_affine_quantized
    empty_like _empty_per_channel_affine_quantized empty_permuted empty_quantized empty_strided eye fft_fftfreq
    fft_rfftfreq full full_like hamming_window hann_window kaiser_window linspace _list_to_tensor logspace new_empty
    new_empty_strided new_full new_ones new_zeros _new_zeros_with_same_feature_meta ones ones_like range scalar_tensor
    tensor tril_indices triu_indices zeros zeros_like
""")

DRAWS = names("""
    bernoulli binomial cauchy exponential _fused_dropout geometric log_normal multinomial _no_grad_normal_
    _no_grad_uniform_ normal normal_functional _philox_normal _philox_uniform poisson rand rand_like randint
    randint_like randn randn_like random randperm _sample_dirichlet _standard_gamma uniform
""")

DRAWS_IN_TRAINING = {
    "alpha_dropout": (2, "train"),
    "dropout": (2, "train"),
    "feature_alpha_dropout": (2, "train"),
    "feature_dropout": (2, "train"),
    "native_dropout": (2, "train"),
    "rrelu": (3, "training"),
    "rrelu_with_noise": (4, "training"),
    "rrelu_with_noise_functional": (4, "training"),
}
"""Operators that draw only where a flag says so, with the flag's position and name."""

FREE = VIEWS | MOVES | COMPARISONS | ADDITIONS | ACTIVATIONS | QUESTIONS | CONSTANTS | DRAWS
