"""What is known of each MIL operation on each engine generation (placement.md#operations).

Three states: native, made of other operations ("decomposed"), or impossible. The catalog was written for Apple's
compiler of macOS 15 and 26; measurements on macOS 27 (M4, M6) come before it and are listed apart.
"""

from __future__ import annotations

from enum import Enum

from openane.targets.core_ml import CoreMl


class Support(Enum):
    """How a generation runs a kind of operation; the value is the word of the catalog."""

    NATIVE = "native"
    DECOMPOSED = "bridge_or_decompose"
    IMPOSSIBLE = "walled"


CATALOG = "ANEForge's catalog for Apple's compiler 9.509, macOS 15 and 26 (placement.md#operations)"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NATIVE = _words("""
    ceil clamped_relu clip elu erf exp exp2 floor leaky_relu log relu relu6 round scaled_tanh sigmoid sigmoid_hard sign
    silu softmax softplus softplus_parametric softsign tanh threshold thresholded_relu gelu prelu equal greater
    greater_equal less less_equal not_equal logical_not select avg_pool conv conv_transpose einsum l2_pool linear
    linear_activation matmul max_pool scaled_dot_product_attention non_maximum_suppression abs add floor_div inverse
    maximum minimum mul pow real_div rsqrt sqrt square sub cumsum batch_norm instance_norm l2_norm layer_norm
    local_response_norm cast dequantize quantize constexpr_lut_to_dense reduce_argmax reduce_l1_norm reduce_l2_norm
    reduce_log_sum reduce_log_sum_exp reduce_max reduce_mean reduce_min reduce_sum reduce_sum_square atan read_state
    write_state batch_to_space concat crop depth_to_space expand_dims fill fill_like flatten2d identity pixel_shuffle
    pixel_unshuffle reshape reshape_like reverse slice_update space_to_depth split squeeze stack gather
    gather_along_axis pad slice_by_size space_to_batch tile transpose group_norm argsort sort topk affine crop_resize
    resample dynamic_slice resize resize_bilinear resize_nearest_neighbor upsample_bilinear upsample_nearest_neighbor
    gather_nd random_uniform reduce_argmin cos sin dropout constexpr_blockwise_shift_scale
    constexpr_sparse_blockwise_shift_scale constexpr_sparse_to_dense
""")
DECOMPOSED = _words("""
    call cond while_loop gamma degamma pixel_buffer_to_tensor tensor_to_pixel_buffer constexpr_affine_dequantize
    constexpr_lut_to_sparse cost_volume cross_product matrix_decomposition slice_by_index range_1d
""")
IMPOSSIBLE = _words("""
    logical_and logical_or logical_xor list_gather list_length list_read list_scatter list_write make_list
    random_bernoulli random_categorical random_normal mod constexpr_cast gru lstm rnn reduce_prod acos acosh asin asinh
    atanh cosh sinh tan band_part non_zero one_hot reverse_sequence scatter scatter_along_axis scatter_nd shape
    sliding_windows
""")
NEVER_MEASURED_ON = _words("""
    acos asin atanh cosh sinh tan mod reduce_prod cumsum band_part one_hot scatter scatter_along_axis lstm gru rnn
    random_normal crop_resize sliding_windows non_zero range_1d argsort reduce_argmax
""")
"""Kinds that Core ML lists without the engine on M4 and M6."""

MEASURED_ON = _words("""
    relu sigmoid tanh silu gelu softplus softsign erf exp exp2 log sqrt rsqrt inverse abs sign sin cos atan floor ceil
    round square relu6 leaky_relu elu prelu clip thresholded_relu sigmoid_hard scaled_tanh linear_activation pow add sub
    mul real_div maximum minimum floor_div equal not_equal less less_equal greater greater_equal select logical_and cast
    quantize dequantize conv conv_transpose linear matmul scaled_dot_product_attention avg_pool max_pool l2_pool softmax
    layer_norm instance_norm batch_norm l2_norm local_response_norm reduce_sum reduce_mean reduce_max reduce_min
    reduce_l1_norm reduce_l2_norm reduce_log_sum reduce_log_sum_exp reduce_sum_square reshape transpose concat split
    stack slice_by_index slice_by_size reverse tile pad space_to_depth depth_to_space space_to_batch batch_to_space
    pixel_shuffle pixel_unshuffle squeeze expand_dims upsample_bilinear upsample_nearest_neighbor resize
    resize_bilinear resize_nearest_neighbor affine resample gather gather_along_axis gather_nd topk fill_like identity
""")
"""Kinds that Core ML lists with the engine on M4 and M6, within the limits of types and sizes."""

CPU_ONLY = _words("crop_resize sliding_windows non_zero range_1d")
"""Kinds that Core ML lists with neither the engine nor the GPU."""
NOT_ON_GPU = _words("affine resize")
"""Kinds that Core ML lists with the engine and without the GPU."""

KINDS = frozenset(NATIVE | DECOMPOSED | IMPOSSIBLE)
"""Every kind of the catalog."""


def catalog(kind: str, generation: CoreMl | None) -> Support | None:
    """What the catalog says of a kind on a generation; None for what it does not have."""
    if generation is None or kind not in KINDS:
        return None
    if kind in generation.impossible:
        return Support.IMPOSSIBLE
    if kind in generation.decomposed:
        return Support.DECOMPOSED
    if kind in IMPOSSIBLE:
        return Support.IMPOSSIBLE
    return Support.DECOMPOSED if kind in DECOMPOSED else Support.NATIVE
