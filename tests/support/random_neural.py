"""Random tasks of the neural engine."""

from __future__ import annotations

import math

import numpy as np
from tests.support import programs as make
from tests.support.programs import Fields
from tests.support.random_kernels import packed_kernel, tanh_table
from tests.support.random_tensors import (
    DRAM,
    FP16,
    INT8,
    PRODUCTS,
    SCRATCH,
    UINT8,
    Kernel,
    Network,
    Tensor,
    shape,
    windows,
)

from openane.program import Role


def neural_numbers(net: Network, function: int) -> Fields:
    pick = net.choices.pick
    return {
        "NE.MACCfg.NonlinearMode": function,
        "NE.AccBias.AccBias": make.half(pick([0, 0.5])),
        "NE.PostScale.PostScale": make.half(pick([1, -0.25, 3, float("inf")])),
        "L2.L2Cfg.InputReLU": pick([0, 1]),
    }


def without_weights(net: Network) -> None:
    """Sums, products, extremes over channels, and channels passed on."""
    choices = net.choices
    operation = choices.pick([0, 2, 3, 4])
    inputs = {2: choices.integer(2, 3), 4: 1}.get(operation, choices.integer(1, 4))
    n, d, c, h, w = shape(choices)
    all_of_them = operation != 4 and net.flag()
    c = 1 if all_of_them else c
    source = net.operand((n, d, c * inputs, h, w), choices.pick([FP16, FP16, INT8, UINT8]), chain=True)
    target = net.target((n, d, c, h, w))
    function = choices.integer(0, 2)
    table = tanh_table() if function == 2 else None
    fields: Fields = {
        "NE.MACCfg.OpMode": operation,
        "NE.MACCfg.KernelMode": 1,
        "Common.GroupConvCfg.UnicastEn": int(not all_of_them),
        "Common.GroupConvCfg.UnicastCin": 1 if all_of_them else inputs,
        "Common.GroupConvCfg.ElemMultMode": int(operation == 2),
        "Common.Cfg.Transpose": int(target.swapped),
    }
    net.add(
        make.NEURAL, make.view(source.extent, target.extent), source.source(), target.result(),
        net.builder.lanes([table]) if table else {}, neural_numbers(net, function), fields, kernel=Kernel(table=table),
    )  # fmt: skip
    net.show(target)


def run_time_table(net: Network) -> None:
    """Channels passed on or added through a table that an earlier task wrote to scratch."""
    choices, table = net.choices, tanh_table()
    image = Tensor(DRAM, (1, 1, 1, 1, len(table) // 2), SCRATCH, net._scratch, (0, 0, 0, len(table)))
    net._scratch += len(table)
    given = net.surface(Role.INPUT, image.extent)
    net.arrays[f"s{len(net.builder.surfaces) - 1}"] = np.frombuffer(table, np.float16).reshape(image.extent).copy()
    net.copy(given, image)
    inputs, operation = choices.pick([(1, 4), (2, 0)])
    n, d, c, h, w = shape(choices)
    source = net.operand((n, d, c * inputs, h, w), FP16, chain=True)
    target = net.target((n, d, c, h, w))
    fields: Fields = {
        "NE.MACCfg.OpMode": operation,
        "NE.MACCfg.KernelMode": 1,
        "Common.GroupConvCfg.UnicastEn": 1,
        "Common.GroupConvCfg.UnicastCin": inputs,
        "Common.Cfg.Transpose": int(target.swapped),
        "KernelDMASrc.MasterConfig.MasterEnable": 1,
        "Header.KernelBases.KBase0": SCRATCH,
        "Header.KernelBases.KBE0": 1,
        "KernelDMASrc.CoeffDMAConfig[0].En": 1,
        "KernelDMASrc.CoeffBaseAddr[0].Addr": image.base,
        "KernelDMASrc.CoeffBfrSize[0].MemBfrSize": len(table),
    }
    net.add(
        make.NEURAL, make.view(source.extent, target.extent), source.source(), target.result(), neural_numbers(net, 2),
        fields, kernel=Kernel(table=table),
    )  # fmt: skip
    net.show(target)


def convolution(net: Network) -> None:
    """Dense, grouped, depthwise, strided, padded, transposed; every format of the kernel."""
    choices = net.choices
    form = choices.pick(["dense", "dense", "groups", "batch", "depthwise", "transposed"])
    kernel, stride, pad = windows(net)
    if choices.integer(0, 2) == 0:
        stride = choices.pick([(1, 1), (2, 2)])
    height, width = choices.integer(1, 6), choices.integer(1, 12)
    groups = 2 if form in ("groups", "batch") else 1
    outputs = choices.integer(1, 20) if form == "depthwise" else choices.integer(1, 40)
    inputs = choices.integer(1, 3 if form == "depthwise" else 5)

    def sizes() -> list[int]:
        found = []
        for extent, k, s, p in zip((height, width), kernel, stride, pad, strict=True):
            size = (extent - 1) * s + 1 + 2 * p - k + 1 if form == "transposed" else (extent + 2 * p - k) // s + 1
            found.append(max(1, size))
        return found

    products = groups * outputs * inputs * math.prod(kernel)
    while products * math.prod(sizes()) > PRODUCTS and max(height, width) > 1:
        height, width = (height - 1, width) if height > width else (height, width - 1)
    out = sizes()
    source = net.operand(
        (groups, 1, inputs * outputs if form == "depthwise" else inputs, height, width),
        choices.pick([FP16, FP16, FP16, UINT8, INT8]), chain=True,
    )  # fmt: skip
    target = net.target((groups, 1, outputs, out[0], out[1]))
    made, fields = packed_kernel(net, form, groups, outputs, inputs, kernel, stride)
    function = 2 if made.table else choices.integer(0, 1)
    fields |= {
        "NE.MACCfg.OpMode": 5 if form == "transposed" else 0,
        "NE.KernelCfg.GroupKernelReuse": int(form == "batch"),
        "Common.GroupConvCfg.UnicastEn": int(form == "depthwise"),
        "Common.GroupConvCfg.UnicastCin": inputs if form == "depthwise" else 1,
        "Common.Cfg.Transpose": int(target.swapped),
    }
    net.add(
        make.NEURAL, make.view(source.extent, target.extent), source.source(), target.result(),
        make.window(kernel, stride, pad), neural_numbers(net, function), fields, kernel=made,
    )  # fmt: skip
    net.show(target)


def run_time_kernel(net: Network) -> None:
    """A kernel that an earlier task wrote to scratch: lane i reads [input][g channels]."""
    choices = net.choices
    groups, inputs, per_lane = 1, choices.integer(1, 9), 1 << choices.integer(0, 2)
    if net.flag():
        groups, inputs, per_lane = 2, 8 * choices.integer(1, 2), 4  # a block fills its 64 bytes
    engines = choices.integer(0, 4)
    lanes = 1 << engines
    outputs = per_lane * lanes
    block = -(-inputs * 2 * per_lane // 64) * 64
    plane = block * groups
    weights = Tensor(DRAM, (groups, 1, outputs, 1, inputs), SCRATCH, net._scratch, (block, 0, plane, 0), FP16, per_lane)
    net._scratch += plane * lanes
    given = net.surface(Role.INPUT, weights.extent)
    net.copy(given, weights)
    columns = min(choices.integer(1, 9), max(1, PRODUCTS // (groups * outputs * inputs)))
    source = net.operand((groups, 1, inputs, choices.integer(1, 4), columns), FP16, chain=True)
    target = net.target((groups, 1, outputs, *source.extent[3:]))
    fields: Fields = {
        "Common.Cfg.ActiveNE": engines,
        "Common.ConvCfg.OCGSize": per_lane.bit_length() - 1,
        "KernelDMASrc.MasterConfig.MasterEnable": 1,
        "Header.KernelBases.KBase0": SCRATCH,
        "Header.KernelBases.KBE0": 1,
        "Common.Cfg.Transpose": int(target.swapped),
    }
    for lane in range(lanes):
        fields[f"KernelDMASrc.CoeffDMAConfig[{lane}].En"] = 1
        fields[f"KernelDMASrc.CoeffBaseAddr[{lane}].Addr"] = weights.base + lane * plane
        fields[f"KernelDMASrc.CoeffBfrSize[{lane}].MemBfrSize"] = plane

    def offset(group: int, output: int, step: int) -> int:
        lane, place = divmod(output, per_lane)
        return weights.base + lane * plane + group * block + (step * per_lane + place) * 2

    net.add(
        make.NEURAL, make.view(source.extent, target.extent), source.source(), target.result(),
        neural_numbers(net, choices.integer(0, 1)), fields, kernel=Kernel(at_run_time=offset),
    )  # fmt: skip
    net.show(target)
