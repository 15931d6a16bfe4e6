"""Random programs of one to many tasks, with everything that a reference needs to know about them.

A generator asks a `Choices` for every decision, so hypothesis can shrink what it finds and a seed can repeat it.
Tensors lie in surfaces, in the scratch buffer or in L2, in random order and with gaps; each knows the register fields
that make it a source or a result. Kernels are packed here from the prose of the rules and kept as numbers too.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from tests.support import programs as make
from tests.support.programs import Fields
from tests.support.random_kernels import packed_kernel
from tests.support.random_neural import convolution, neural_numbers, run_time_kernel, run_time_table, without_weights
from tests.support.random_planar import elementwise, planar_task, pooling, reduction, rows
from tests.support.random_tensors import DRAM, FP16, RESIDENT, SCRATCH, Choices, Made, Network, Shape, Tensor


def network(net: Network) -> None:
    """Tasks over tensors of one shape that stay in L2 or scratch, some of them computed in place."""
    choices = net.choices
    extent = choices.integer(1, 2), 1, choices.integer(1, 6), choices.integer(1, 4), choices.integer(1, 5)
    live = [net.operand(extent, FP16, 2) for _ in range(choices.integer(1, 2))]
    for _ in range(choices.integer(2, 6)):
        step = choices.pick([pass_on, join, join, center, convolve_same])
        live = step(net, extent, live)
    for tensor in live:
        net.show(tensor)


def resident(net: Network, extent: Shape, live: list[Tensor], replaced: Tensor | None = None) -> Tensor:
    """Where a result goes: somewhere new, or over the source that it replaces."""
    inside = replaced is not None and (replaced.kind == RESIDENT or replaced.buffer == SCRATCH)
    if replaced is not None and inside and replaced.extent == extent and net.choices.integer(0, 2) == 0:
        live.remove(replaced)
        return replaced
    return net.place(net.choices.pick([RESIDENT, RESIDENT, DRAM]), extent)


def pass_on(net: Network, extent: Shape, live: list[Tensor]) -> list[Tensor]:
    """A copy with a factor and a function."""
    source = net.choices.pick(live)
    target = resident(net, extent, live, source)
    view = make.view(extent, extent)
    net.add(make.PASS, view, source.source(), target.result(), neural_numbers(net, net.choices.integer(0, 1)))
    return [*live, target]


def join(net: Network, extent: Shape, live: list[Tensor]) -> list[Tensor]:
    """Two tensors, element by element; they may be the same."""
    first, second = net.choices.pick(live), net.choices.pick(live)
    target = resident(net, extent, live, net.choices.pick([first, second]))
    kind: Fields = {
        "Common.Cfg.TaskType": 3, "PE.Cfg.OpMode": net.choices.integer(0, 4), "PE.Cfg.SecSrc": net.choices.pick([2, 3])
    }  # fmt: skip
    planar_task(net, extent, [first, second], target, kind)
    return [*live, target]


def center(net: Network, extent: Shape, live: list[Tensor]) -> list[Tensor]:
    """A tensor without its mean over rows and columns."""
    source = net.choices.pick(live)
    mean = net.place(RESIDENT, (extent[0], 1, extent[2], 1, 1))
    kind: Fields = {"Common.Cfg.TaskType": 5, "PE.Cfg.PoolMode": net.choices.integer(0, 3)}
    planar_task(net, extent, [source], mean, kind)
    target = resident(net, extent, live, source)
    kind = {"Common.Cfg.TaskType": 3, "PE.Cfg.SecSrc": 3, "Common.PECfg.Src2Broadcast": 3}
    planar_task(net, extent, [source, mean], target, kind)
    return [*live, target]


def convolve_same(net: Network, extent: Shape, live: list[Tensor]) -> list[Tensor]:
    """A convolution that keeps the shape."""
    source, size = net.choices.pick(live), net.choices.pick([1, 3])
    target = resident(net, extent, live)
    channels = extent[2]
    made, fields = packed_kernel(net, "batch", extent[0], channels, channels, (size, size), (1, 1))
    fields["NE.KernelCfg.GroupKernelReuse"] = 1
    net.add(
        make.NEURAL, make.view(extent, extent), source.source(), target.result(), fields,
        make.window((size, size), pad=(size // 2, size // 2)), neural_numbers(net, 2 if made.table else 0), kernel=made,
    )  # fmt: skip
    return [*live, target]


KINDS: dict[str, Callable[[Network], None]] = {
    "elementwise": elementwise,
    "rows": rows,
    "reduction": reduction,
    "pooling": pooling,
    "without_weights": without_weights,
    "convolution": convolution,
    "run_time_kernel": run_time_kernel,
    "run_time_table": run_time_table,
    "network": network,
}


def random_program(choices: Choices, kind: str) -> Made:
    """A program of one kind, with the tasks that bring its sources and fetch its result."""
    net = Network(choices)
    KINDS[kind](net)
    return net.made()


def elements(made: Made) -> int:
    """Of all surfaces."""
    return sum(math.prod(surface.shape) for surface in made.program.surfaces)
