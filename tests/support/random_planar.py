"""Random tasks of the planar engine."""

from __future__ import annotations

from tests.support import programs as make
from tests.support.programs import Fields
from tests.support.random_tensors import FP16, INT8, UINT8, Network, Shape, Tensor, shape, stored, windows


def planar_numbers(net: Network) -> Fields:
    """Scales, signs and functions."""
    pick = net.choices.pick
    return {
        "PE.BiasScale.Scale": make.half(pick([1, 0.5, -3])),
        "PE.BiasScale.Bias": make.half(pick([0, 0.25])),
        "PE.PreScale.PreScale": make.half(pick([1, -1, 0.3, float("inf")])),
        "PE.PreScale.Epsilon": make.half(pick([0, 1e-3])),
        "PE.FinalScale.FinalScale": make.single(pick([1, 1 / 3, 1e-40])),
        "PE.Cfg.NLMode": pick([0, 0, 1, 2]),
        "PE.Cfg.ReluEn": pick([0, 1]),
        "PE.Cfg.Condition": pick([0, 1]),
        "PE.Cfg.FirstSrc": pick([0, 1]),
        "L2.L2Cfg.InputReLU": pick([0, 1]),
        "L2.L2Cfg.Source2ReLU": pick([0, 1]),
    }


def planar_task(net: Network, extent: Shape, sources: list[Tensor], target: Tensor, *fields: Fields) -> None:
    """A task of the planar engine over sources that may be exchanged."""
    swaps: Fields = {"Common.PECfg.OutTranspose": int(target.swapped)}
    parts: list[Fields] = []
    for number, source in enumerate(sources, 1):
        swaps[f"Common.PECfg.Src{number}Transpose"] = int(source.swapped)
        parts.append(source.source(number))
    view = make.view(extent, extent)
    net.add(make.PLANAR, view, *parts, target.result(), planar_numbers(net), swaps, *fields)


def elementwise(net: Network, pairs: bool = False) -> None:
    """One or two sources, repeated and exchanged; `pairs` are rows of scale and bias (task type 4)."""
    choices, extent = net.choices, shape(net.choices)
    double = pairs or choices.integer(0, 3) > 0
    dtype = choices.pick([FP16, FP16, FP16, INT8, UINT8])
    flags = [choices.integer(0, 15) * choices.integer(0, 1) for _ in range(2)]
    second = None
    if double:
        held = (1, 1, extent[2], 2, 1) if pairs else stored(extent, flags[1])
        second = net.operand(held, dtype, 2, swap=not pairs)
    first = net.operand(stored(extent, flags[0]), dtype, swap=True, chain=True)
    target = net.target(extent)
    kind: Fields = {"Common.PECfg.Src1Broadcast": flags[0], "Common.Cfg.TaskType": 4 if pairs else 3 if double else 2}
    if double:
        kind |= {"Common.PECfg.Src2Broadcast": 0 if pairs else flags[1], "PE.Cfg.SecSrc": choices.pick([2, 3])}
    kind["PE.Cfg.OpMode"] = choices.pick([0, 1, 2, 3, 4] if double else [0, 4])
    planar_task(net, extent, [first] if second is None else [first, second], target, kind)
    net.show(target)


def rows(net: Network) -> None:
    elementwise(net, pairs=True)


def reduction(net: Network) -> None:
    """Sums, means, extremes and variances over depth, height and width."""
    choices, extent = net.choices, shape(net.choices, depth=3)
    dtype = choices.pick([FP16, FP16, FP16, INT8, UINT8])
    variance = net.flag()
    flags = choices.pick([7, 0, 3]) if variance else choices.pick([0, 0, 0, 2])
    second = net.operand(extent, dtype, 2, swap=True) if variance else None
    first = net.operand(stored(extent, flags), dtype, swap=True, chain=True)
    target = net.target((extent[0], 1, extent[2], 1, 1))
    kind: Fields = {
        "Common.Cfg.TaskType": 6 if variance else 5,
        "PE.Cfg.OpMode": choices.pick([0, 1, 2, 3, 4] if variance else [0, 4]),
        "PE.Cfg.SecSrc": choices.pick([2, 3]) if variance else 0,
        "PE.Cfg.PoolMode": choices.integer(0, 3),
        "Common.PECfg.Src1Broadcast": flags,
    }
    planar_task(net, extent, [first] if second is None else [first, second], target, kind)
    net.show(target)


def pooling(net: Network) -> None:
    """Windows of all sizes."""
    choices, (n, d, c, h, w) = net.choices, shape(net.choices, largest=9)
    kernel, stride, pad = windows(net)
    past = choices.integer(0, 1)
    sizes = zip((h, w), kernel, stride, pad, strict=True)
    out = [max(1, (extent + p * (1 + past) - k) // s + 1) for extent, k, s, p in sizes]
    extent, result = (n, d, c, h, w), (n, d, c, out[0], out[1])
    first = net.operand(extent, choices.pick([FP16, FP16, INT8, UINT8]), swap=True, chain=True)
    target = net.target(result)
    fields: Fields = {
        "Common.Cfg.TaskType": 1,
        "PE.Cfg.PoolMode": choices.integer(0, 3),
        "PE.Cfg.OpMode": choices.pick([0, 0, 4]),
    }
    view = make.view(extent, result)
    planar_task(net, extent, [first], target, fields, make.window(kernel, stride, pad), view)
    net.show(target)
