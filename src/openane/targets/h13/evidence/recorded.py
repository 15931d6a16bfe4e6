"""What the programs of Apple's compiler contain: computations, forms of operands, ranges of sizes and schedule fields.

One line per combination, with a program that has it. Where nothing is listed, nothing is on record. The test of this
file compares every line with all records at hand, in both directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from openane.targets.h13.evidence.features import OperandRole

_ROWS = (
    # neural engine, kernels of constants
    ("convolution, 1x1", "conv_k1_c256_n512_s1_bias0"),
    ("convolution, 1x1, bias", "conv_known_k1_c64_n64_s16_st1_g1_bias1_same"),
    ("convolution, 1x1, bias, relu", "chain_pair_mm_bias_relu_d256_s64"),
    ("convolution, 1x1, constant added", "encoder_linear_m375_k1024_n1024_bias1_idx"),
    ("convolution, 1x1, groups", "conv_probe_k1_c64_n64_s16_st1_g4_bias0_same"),
    ("convolution, 1x1, table", "chain_pair_mm_gelu_d256_s64"),
    ("convolution, 1x1, stride 2x2, sparse", "conv_probe_k1_c64_n64_s16_st2_g1_bias0_same"),
    ("convolution, 3x3", "conv_probe_k3_c64_n64_s16_st1_g1_bias0_valid"),
    ("convolution, 3x3, pad 1x1", "conv_known_k3_c64_n64_s16_st1_g1_bias0_same"),
    ("convolution, 3x3, pad 1x1, groups", "conv_probe_k3_c64_n64_s16_st1_g4_bias0_same"),
    ("convolution, 3x3, pad 1x1, bias, groups", "conv_probe_k3_c128_n128_s16_st1_g4_bias1_same"),
    ("convolution, 3x3, stride 2x2, sparse", "conv_probe_k3_c64_n64_s16_st2_g1_bias0_same"),
    ("convolution, 3x3, stride 2x2, sparse, bias", "conv_probe_k3_c64_n64_s32_st2_g1_bias1_same"),
    ("convolution, depthwise, 1x1", "encoder_conv_pad_c8_n8_k1x1_s1_g8_bias0_p0010_f4"),
    (
        "convolution, depthwise, 1x2, pad 0x1, sparse, palette of 1 bits",
        "encoder_conv_pad_c8_n8_k1x1_s1_g8_bias0_p0010_f4",
    ),
    (
        "convolution, depthwise, 1x9, 1x2 outputs at a time, pad 0x4, bias",
        "encoder_conv_idx_c1024_n1024_k1x9_s1_g1024_bias1_same_wmaj",
    ),
    ("convolution, depthwise, 3x3, pad 1x1", "conv_probe_k3_c64_n64_s16_st1_g64_bias0_same"),
    ("convolution, depthwise, 3x3, pad 1x1, bias", "conv_probe_k3_c64_n64_s16_st1_g64_bias1_same"),
    ("convolution, depthwise, 3x3, stride 2x2, sparse", "conv_probe_k3_c64_n64_s16_st2_g64_bias0_same"),
    (
        "convolution, depthwise, 3x3, stride 2x2, sparse, bias",
        "encoder_conv_idx_c256_n256_k3x3_s2_g256_bias1_same_dw2",
    ),
    ("convolution, depthwise, 9x1, pad 4x0", "encoder_conv_c1024_n1024_k9x1_s1_g1024_bias0_same"),
    (
        "convolution, depthwise, 9x9, 1x2 outputs at a time, pad 4x4, sparse",
        "encoder_conv_c16_n16_k9x9_s1_g16_bias0_same",
    ),
    # neural engine, kernels of run time
    ("convolution, run-time kernel, 1x1", "rrmm_r2rr_m128_k64_n64_tx0_ty0"),
    ("convolution, run-time kernel, 1x1, scale", "chain_attn_s64_dh64"),
    # neural engine, without a kernel
    ("pass", "encoder_transpose_r4_0213"),
    ("pass, relu", "unary_relu_c64"),
    ("pass, table", "unary_sigmoid_1x1024x375"),
    ("pass, table, scale", "unary_exp_c64"),
    ("sum of channels, table", "norm_softmax_a1_1x64x1x1"),
    ("sum of channels, table, constant added", "unary_rsqrt_c64"),
    ("product of channels, table", "binary_pow_1x64x1x1"),
    ("maximum of channels", "norm_softmax_a1_1x64x1x1"),
    # planar engine
    ("unary", "norm_layer_norm_ax1_1x512x1x1"),
    ("unary, abs", "unary_abs_c64"),
    ("unary, bias", "binary_add_c64_constant_scalar"),
    ("unary, relu", "tile_1x1x375_1x375x1"),
    ("unary, scale", "binary_mul_c64_constant_scalar"),
    ("binary", "binary_add_1x64x8x8"),
    ("binary, relu", "chain_add_relu_c512"),
    ("binary, max", "binary_maximum_1x64x8x8"),
    ("binary, mul", "binary_mul_1x64x8x8"),
    ("binary, scale before", "eiln-sub.anec"),
    ("binary, source 2 subtracted", "norm_layer_norm_ax1_1x64x8x8"),
    ("binary, source 2 subtracted, scale", "norm_softmax_a1_1x64x1x1"),
    ("pair of rows", "binary_mul_c64_constant_blob"),
    ("pair of rows, source 2 subtracted", "layer_norm_1x64x8x8"),
    ("reduction", "reduce_probe_sum_ax1_1x1024x1x1"),
    ("reduction, maximum", "norm_softmax_an1_1x1x64x64"),
    ("reduction, reciprocal", "norm_softmax_an1_1x1x64x64"),
    ("reduction, square of the sum, rsqrt", "norm_layer_norm_ax1_1x64x8x8"),
    ("variance, square of the sum, rsqrt, source 1 negated", "layer_norm_1x64x8x8"),
)

COMPUTATIONS: Mapping[str, str] = MappingProxyType(dict(_ROWS))
"""Computation (`features.computation_features` as text) -> a program on record that has it."""

_EXCHANGED = "channel and column exchanged"
OPERANDS: Mapping[OperandRole, tuple[str, ...]] = MappingProxyType(
    {
        OperandRole.NE_SOURCE: (
            *("DRAM", "DRAM and kept in L2", "L2", "the task before"),
            *("DRAM, interleave 8", "DRAM, uint8"),
        ),
        OperandRole.NE_RESULT: (
            *("DRAM", "L2", "the next task", f"DRAM, {_EXCHANGED}", f"L2, {_EXCHANGED}"),
            *("DRAM, interleave 8", "DRAM, uint8"),
        ),
        OperandRole.PE_SOURCE: (
            *("DRAM", "DRAM and kept in L2", "L2", "the task before", "DRAM, interleave 8"),
            *(f"L2, repeated over {axes}" for axes in ("W", "H", "C", "WHD")),
            *("DRAM and kept in L2, repeated over H", f"L2, {_EXCHANGED}", f"L2, repeated over W, {_EXCHANGED}"),
        ),
        OperandRole.PE_SOURCE2: (
            *("DRAM", "DRAM, rectified", "L2"),
            *(f"L2, repeated over {axes}" for axes in ("W", "H", "C", "WH", "WHC")),
            *(f"L2, {_EXCHANGED}", f"L2, repeated over W, {_EXCHANGED}"),
        ),
        OperandRole.PE_RESULT: (
            *("DRAM", "L2", "the next task", "DRAM, interleave 2", "DRAM, interleave 4", "DRAM, interleave 8"),
            *(f"DRAM with result type 1, {_EXCHANGED}", f"L2, {_EXCHANGED}"),
        ),
    }
)
"""Forms of operands (`features.operand_forms` as text)."""

_COMMON = {
    "Common.InDim.Win": (1, 2048),
    "Common.OutDim.Wout": (1, 2048),
    "Common.OutDim.Hout": (1, 2560),
}
NE_RANGES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        **_COMMON,
        "Common.InDim.Hin": (1, 3000),
        "Common.InDepth.Din": (1, 1),
        "Common.OutDepth.Dout": (1, 1),
        "Common.Cin.Cin": (1, 16384),
        "Common.Cout.Cout": (1, 16384),
        "Common.GroupConvCfg.NumGroups": (1, 4),
        "Common.GroupConvCfg.UnicastCin": (1, 1024),
        "Common.ConvCfg.OCGSize": (0, 5),
        "Common.TileCfg.TileHeight": (1, 2560),
        "Common.PatchCfg.PatchWidth": (0, 0),
        "Common.PatchCfg.PatchHeight": (0, 0),
        "Common.Cfg.ShPref": (0, 4),
        "Common.Cfg.ShMin": (0, 4),
        "Common.Cfg.ShMax": (0, 4),
        "Common.Cfg.ActiveNE": (0, 4),
        "Common.DPE.Category": (0, 2),
    }
)
"""Smallest and largest value of a field in recorded tasks of the neural engine."""
PE_RANGES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        **_COMMON,
        "Common.InDim.Hin": (1, 2560),
        "Common.InDepth.Din": (1, 16),
        "Common.OutDepth.Dout": (1, 16),
        "Common.Cin.Cin": (1, 1024),
        "Common.Cout.Cout": (1, 1024),
        "Common.GroupConvCfg.NumGroups": (1, 2560),
        "Common.GroupConvCfg.UnicastCin": (1, 1),
        "Common.ConvCfg.OCGSize": (0, 0),
        "Common.TileCfg.TileHeight": (1, 1024),
        "Common.PatchCfg.PatchWidth": (4, 9),
        "Common.PatchCfg.PatchHeight": (0, 5),
        "Common.Cfg.ActiveNE": (0, 0),
        "Common.DPE.Category": (0, 0),
    }
)
"""Smallest and largest value of a field in recorded tasks of the planar engine."""
