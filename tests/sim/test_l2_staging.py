"""L2 that transfers pass through: programs of Apple's compiler are accepted, their conflicting neighbors are not.

The constants of these programs are zero: no address depends on them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import records

from openane.core.errors import FaultError
from openane.core.types import DType
from openane.program import Burst, Program, Role, Surface, Task
from openane.sim.decoded_task import MacOperation, MacWork
from openane.targets.h13.machine import check_program, decode_program
from openane.targets.h13.machine.tensors import rows_in_flight

SHARED = Path(os.environ.get("OPENANE_SHARED", Path(__file__).parents[2].parent / "shared"))
FOLDERS = SHARED / "oracles" / "h13", SHARED / "oracles" / "h13-real-sizes"
CASES = sorted(path for folder in FOLDERS for path in folder.glob("*.json"))
needs_records = pytest.mark.skipif(not CASES, reason="the folder shared/oracles is missing")

RESULT_BASE, TILE_HEIGHT = 0x4834, 0x28
ELEMENTS = {3: DType.UINT8, 5: DType.FLOAT16}


def program(path: Path) -> Program:
    """The task words of a record, with surfaces of its sizes and a section of zeros."""
    raw = json.loads(path.read_text())
    match = re.search(r"func main<\w+>\((.*?)\) \{.*-> \((\w+)\)", raw["mil"], re.S)
    assert match
    names = [*sorted(re.findall(r"> (\w+)(?:,|$)", match[1])), match[2]]
    surfaces = []
    for name, tensor in zip(names, raw["tensors"], strict=True):
        total = tensor["total_bytes"]
        n, c, h, w = ([1] * 4 + tensor["shape"])[-4:]
        batch, plane, row, item = ([total] * 4 + tensor["strides"])[-4:]
        role = Role.OUTPUT if tensor["binding"] == 2 else Role.INPUT
        strides, buffer = (batch, batch, plane, row, item), 4 + sorted(names).index(name)
        kind = ELEMENTS[tensor["element_code"]]
        surfaces.append(Surface(name, role, (n, 1, c, h, w), strides, n * total, buffer, kind))
    tasks = tuple(records.build_task(task, None) for task in raw["tasks"])
    ends = [
        records.register(task, 0x17804) + max(records.register(task, 0x17810), records.register(task, 0x17814))
        for task in raw["tasks"]
        if int(task["header"][8], 16) >> 12 & 0x3F == 0x23
    ]
    scratch = -(-max(ends, default=0) // 0x4000) * 0x4000  # fact 10: the largest base plus depth
    offsets = tuple(range(0, 0x300 * len(tasks), 0x300))
    return Program("h13", tasks, offsets, tuple(surfaces), bytes(raw["constant_section"]["size"]), scratch, path.stem)


def changed(task: Task, words: Mapping[int, int]) -> Task:
    """The task with other words."""
    bursts = []
    for burst in task.bursts:
        own = [words.get(burst.address + 4 * index, word) for index, word in enumerate(burst.words)]
        bursts.append(Burst(burst.address, tuple(own), burst.tag, burst.mask))
    return replace(task, bursts=tuple(bursts))


@needs_records
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_programs_of_apples_compiler_are_accepted(path: Path) -> None:
    made = program(path)
    try:
        decode_program(made)
    except FaultError as error:
        assert "not understood" in str(error)
        pytest.skip(f"an encoding is not understood yet: {error}")
    check_program(made)


STEM, DEPTHWISE, TRANSPOSE = (
    "encoder_conv_idx_c1_n256_k3x3_s2_g1_bias1_same_stem",
    "encoder_conv_idx_c256_n256_k3x3_s2_g256_bias1_same_dw2",
    "encoder_transpose_r4_0213_1x375x256x16",
)


@needs_records
@pytest.mark.parametrize(
    ("case", "words", "message"),
    [
        # three programs whose result never fits as a whole: one row must, and it must not reach into the source
        (STEM, {RESULT_BASE: 0xBB700}, "staged source 1 and staged result overlap"),
        (STEM, {RESULT_BASE: 0x1F8010}, "staged result does not fit in L2"),
        (DEPTHWISE, {RESULT_BASE: 0x1C4E20}, "staged source 1 and staged result overlap"),
        (DEPTHWISE, {TILE_HEIGHT: 57}, "staged source 1 and staged result overlap"),
        (DEPTHWISE, {RESULT_BASE: 0x1FE010}, "staged result does not fit in L2"),
        (TRANSPOSE, {RESULT_BASE: 0x1FDFF0}, "staged source 1 and staged result overlap"),
        (TRANSPOSE, {TILE_HEIGHT: 256}, "staged source 1 and staged result overlap"),
        (TRANSPOSE, {RESULT_BASE: 0x1FE010}, "staged result does not fit in L2"),
        (TRANSPOSE, {TILE_HEIGHT: 257, RESULT_BASE: 0}, "staged source 1 does not fit in L2"),
    ],
)
def test_neighbors_that_conflict_are_refused(case: str, words: dict[int, int], message: str) -> None:
    path = next(path for path in CASES if path.stem == case)
    made = program(path)
    (task,) = made.tasks
    before = task.registers()
    if TILE_HEIGHT in words:
        words = words | {TILE_HEIGHT: before[TILE_HEIGHT] & ~0xFFFF | words[TILE_HEIGHT]}
    check_program(made)
    with pytest.raises(FaultError, match=message):
        check_program(replace(made, tasks=(changed(task, words),)))


@given(
    height=st.integers(1, 40), window=st.integers(1, 7), stride=st.integers(1, 3), pad=st.integers(0, 6),
    tile=st.integers(1, 40), transposed=st.booleans(), data=st.data(),
)  # fmt: skip
def test_rows_in_flight_are_those_that_the_taps_touch(
    height: int, window: int, stride: int, pad: int, tile: int, transposed: bool, data: st.DataObject
) -> None:
    pad = min(pad, window - 1)
    padded = (height - 1) * stride + 1 if transposed else height
    step = 1 if transposed else stride
    result_height = data.draw(st.integers(1, max(1, (padded + 2 * pad - window) // step + 1)))
    operation = MacOperation.TRANSPOSED if transposed else MacOperation.CONVOLUTION
    engine = MacWork(operation, 0, 1, None, (window, 1), (stride, 1), (pad, 0))
    views = (1, 1, 1, height, 1), (1, 1, 1, result_height, 1)
    taps = window + window % 2 if stride == 2 and not transposed else window
    most = 0
    for first in range(0, result_height, tile):
        touched = set()
        for row in range(first, min(first + tile, result_height)):
            for tap in range(taps):
                place = row * step - pad + tap
                if transposed:
                    if place % stride:
                        continue
                    place //= stride
                if 0 <= place < height:
                    touched.add(place)
        if touched:
            most = max(most, max(touched) - min(touched) + 1)
    assert rows_in_flight(engine, views, tile) == most
