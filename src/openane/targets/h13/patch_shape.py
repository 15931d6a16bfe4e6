"""Schedule fields of Common: tiles of planar tasks (0x2C) and patches of the MAC engine (0x34).

They never change a result; the rules are fits of encoding.md#common-block with the counts given there.
"""

from __future__ import annotations

from collections.abc import Sequence

from openane.backend.alloc.order import Ordering, Wait
from openane.backend.alloc.staging import is_ragged, keeps_rows, patch_shape, planar_patch
from openane.backend.ir.placement import PlacedTask
from openane.backend.ir.plan import NeMode, NeWork, TaskPlan
from openane.program.fields import Value
from openane.targets.h13 import packing
from openane.targets.h13.spec import MACHINE


def stream_patches(tasks: Sequence[PlacedTask], orderings: Sequence[Ordering]) -> list[int | None]:
    """For each planar task that streams into or from a NE task, that task's preferred patch; else None."""
    shapes: list[int | None] = [None] * len(tasks)
    for index, task in enumerate(tasks):
        if task.plan.is_ne:
            continue
        follower = index + 1
        if follower < len(tasks) and orderings[follower].streams_from == "PE" and tasks[follower].plan.is_ne:
            shapes[index] = _preferred(tasks[follower], orderings[follower])
        elif orderings[index].streams_from == "NE" and not orderings[index].source_waits & Wait.PE_RESULT:
            before = tasks[index - 1].plan.work
            pairs = isinstance(before, NeWork) and before.pairs  # twice the columns
            shapes[index] = _preferred(tasks[index - 1], orderings[index - 1]) - pairs
    return shapes


def _preferred(task: PlacedTask, ordering: Ordering) -> int:
    value = patch_config(task, ordering)["ShPref"]
    assert isinstance(value, int)
    return value


def planar_tile(plan: TaskPlan, stream_patch: int | None) -> tuple[int, int]:
    """log2 of width and height of a planar task's tile (180 of 180).

    Args:
        plan: of the planar task.
        stream_patch: preferred patch of the NE task it streams with (19 of 19), else None.
    """
    if plan.tuning.pe_tile is not None:
        return plan.tuning.pe_tile & 15, plan.tuning.pe_tile >> 4
    if stream_patch is not None:
        return max(7 - stream_patch, 4), max(stream_patch, 0)
    return planar_patch(plan)


def patch_config(task: PlacedTask, ordering: Ordering) -> dict[str, Value]:
    """Patch shapes, small-source mode and active lanes of a NE task."""
    plan = task.plan
    assert isinstance(plan.work, NeWork)
    small = plan.tuning.small_source
    small = is_small_source(plan) if small is None else small
    preferred, least, most = plan.tuning.patch or patches(plan, ordering.streams_from, small=small)
    return {
        "Src1Tiled": 1,
        "SmallSourceMode": int(small),
        "ShPref": preferred,
        "ShMin": least,
        "ShMax": most,
        "ActiveNE": active_log2(plan),
        "Transpose": int(plan.result.swapped),
    }


def active_log2(plan: TaskPlan) -> int:
    """log2 of the active cores (231 of 231)."""
    if plan.tuning.lanes_log2 is not None:
        return plan.tuning.lanes_log2
    lanes = min(plan.result_view.channels, MACHINE.lanes)
    assert isinstance(plan.work, NeWork)
    if plan.result.swapped and plan.work.mode is not NeMode.CONVOLUTION:
        lanes = min(max(plan.view.width, 8), MACHINE.lanes)
    return (lanes - 1).bit_length()


def is_small_source(plan: TaskPlan) -> bool:
    """Weights and an image of at most 8 columns (32 of 33)."""
    work, kernel = plan.work, plan.kernel
    if not isinstance(work, NeWork) or kernel is None or kernel.source or work.pairs:
        return False
    weighted = work.mode is NeMode.CONVOLUTION or (
        work.mode is NeMode.ACCUMULATE and plan.view.channels != plan.result_view.channels
    )
    result = plan.result_view
    return weighted and packing.is_small_source(plan.view.channels, result.width, result.height, kernel.group_channels)


def patches(plan: TaskPlan, streams_from: str, *, small: bool) -> tuple[int, int, int]:
    """(preferred, smallest, largest) shape code."""
    best = _largest_patch(plan)
    forced = _forced(plan, streams_from, best)
    if small:
        return 4, 4, 4
    if forced is not None:
        return forced, forced, forced
    return 0, 0, best


def _largest_patch(plan: TaskPlan) -> int:
    """The shape with the fewest patches; of ragged rows one row, or the tallest one of several (5 tasks on record)."""
    view = plan.result_view
    best = patch_shape(plan.positions, view.height)
    if view.height == 1 or plan.result.swapped or not is_ragged(MACHINE, plan):
        return best
    if keeps_rows(MACHINE, plan):
        return 0
    patches = {s: -(-view.width // (1 << (7 - s))) * -(-view.height // (1 << s)) for s in range(4, 0, -1)}
    return min(patches, key=lambda shape: patches[shape])


def _forced(plan: TaskPlan, streams_from: str, best: int) -> int | None:
    """The only shape that a task may have, or None (encoding.md#patch-shape)."""
    work, view = plan.work, plan.result_view
    assert isinstance(work, NeWork)
    if streams_from:
        if view.height > 1:
            return 3 if work.mode is NeMode.ACCUMULATE and view.width == 16 else 4
        return min(max(7 - (view.width - 1).bit_length(), 0), 4)
    if plan.sources[0].keep and work.mode is not NeMode.CONVOLUTION:
        if view.height == 1:
            return 0
        return 4 if view.width <= 8 else 3
    if work.mode is NeMode.MULTIPLY:
        return 1
    plain = work.mode is NeMode.CONVOLUTION and work.stride == (1, 1) and not work.pairs
    if plain and plan.kernel is not None and not plan.kernel.source:
        channels = 1 if plan.unicast else plan.kernel.group_channels
        taps = work.kernel_width * work.kernel_height * min(channels, 16)
        if taps > 18 or (taps == 18 and plan.view.channels >= 512):
            return best
    return None
