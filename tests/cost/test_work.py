"""What tasks move and compute, against the shapes they were compiled from."""

import math

import pytest
from tests.support.cost_programs import program_of, record, record_names, tasks_of

import openane
from openane.backend.task_cost import Engine, WorkKind
from openane.core.errors import InputError, UnsupportedError
from openane.cost.program import works_of
from openane.graph import Graph, Node, TensorType, ops
from openane.program import Program, Task
from openane.targets import registry
from openane.targets.h13.estimate import LARGEST_US, time_estimate_us
from openane.targets.h13.task_cost import work_of


def _convolutions() -> list[str]:
    return [name for name in record_names("conv_probe") if "_st1_" in name]


@pytest.mark.parametrize("name", _convolutions() or ["conv_probe"])
def test_macs_of_a_convolution(name: str) -> None:
    found = record(name)
    (shape_in, *_), shape_out = (
        [each["shape"] for each in found["tensors"] if each["binding"] == binding] for binding in (1, 2)
    )
    _, channels_in, _, _ = shape_in
    _, channels_out, height, width = shape_out[0]
    kernel, groups = (int(part[1:]) for part in name.split("_") if part[:2] in ("k1", "k3") or part[0] == "g")
    works = [work_of(task) for task in tasks_of(found)]
    products = channels_in * channels_out * kernel**2 * height * width // groups
    assert sum(work.macs for work in works) == products
    assert sum(work.output_bytes for work in works) == found["tensors"][-1]["total_bytes"]
    assert all(work.engine is Engine.NEURAL for work in works)
    assert works[0].kind is (WorkKind.MATMUL if kernel == 1 else WorkKind.CONVOLUTION)


@pytest.mark.parametrize("name", record_names("matmul_") or ["matmul_"])
def test_macs_of_a_matmul(name: str) -> None:
    found = record(name)
    m, k, n = (int(part[1:]) for part in name.split("_")[1:4])
    works = [work_of(task) for task in tasks_of(found)]
    assert [work.macs for work in works] == [0, m * k * n]
    assert works[1].weight_bytes == 2 * k * n
    assert works[0].input_bytes == m * max(64, 2 * k)
    assert [work.scratch_bytes for work in works] == [0, 0]


def test_elementwise_and_reductions() -> None:
    (add,) = (work_of(task) for task in tasks_of(record("binary_add_1x64x8x8")))
    assert (add.engine, add.kind, add.elements, add.macs) == (Engine.PLANAR, WorkKind.ELEMENTWISE, 4096, 0)
    assert (add.input_bytes, add.output_bytes) == (65536, 32768)
    (total,) = (work_of(task) for task in tasks_of(record("reduce_sum_axes_2_3")))
    assert (total.engine, total.kind) == (Engine.PLANAR, WorkKind.REDUCTION)
    (table,) = (work_of(task) for task in tasks_of(record("unary_exp_c64")))
    assert (table.engine, table.kind, table.elements) == (Engine.NEURAL, WorkKind.TABLE, 64)


def test_scratch_is_counted_both_ways() -> None:
    works = [work_of(task) for task in tasks_of(record("rrmm_r2rr_m32_k64_n64_tx0_ty0"))]
    assert works[0].scratch_bytes > 0
    assert works[1].weight_bytes == 2 * 64 * 32


@pytest.mark.parametrize("axis", [1, 2])
def test_a_slice_reads_its_part(axis: int) -> None:
    shape, parts = (1, 64, 64, 64), 4
    names = tuple(f"part{index}" for index in range(parts))
    nodes = []
    for first, name in zip(range(0, 64, 16), names, strict=True):
        starts, ends = [0] * 4, list(shape)
        starts[axis], ends[axis] = first, first + 16
        nodes.append(Node(name, ops.Slice(tuple(starts), tuple(ends), (1,) * 4), ("x",), (name,)))
    program = openane.compile(Graph("slices", {"x": TensorType(shape)}, names, tuple(nodes), {})).program
    assert sum(work.input_bytes for work in works_of(program)) == 2 * math.prod(shape)
    assert max(work.input_bytes for work in works_of(program)) <= 2 * math.prod(shape) // parts


def test_surfaces_are_handed_over_once() -> None:
    program = program_of(record("norm_softmax_an1_1x8x64x64"))
    works = works_of(program)
    assert sum(work.surface_bytes for work in works) == sum(surface.size_bytes for surface in program.surfaces)


def test_a_task_that_writes_nothing_costs_nothing() -> None:
    empty = Task((0,) * 10, ())
    work = work_of(empty)
    assert (work.macs, work.dram_bytes) == (0, 0)
    assert time_estimate_us({}, 0) == 0


def test_the_header_estimate_saturates() -> None:
    huge = {0x00000: 0x7FFF7FFF, 0x00004: 0x7FFF, 0x0000C: 0x1FFFF, 0x00024: 0x1FFF, 0x00034: 0x21}
    assert time_estimate_us(huge, 0) == LARGEST_US


def test_programs_of_unknown_generations() -> None:
    with pytest.raises(InputError, match="no target"):
        works_of(Program("h99", (), (), (), b""))
    readable = [each for each in registry.GENERATIONS.values() if not each.executable]
    for each in readable:
        with pytest.raises(UnsupportedError, match="cost"):
            works_of(Program(each.name, (), (), (), b""))


def test_every_record_has_some_work() -> None:
    names = record_names()
    if not names:
        pytest.skip("needs the records of the shared folder")
    for name in names:
        for work in works_of(program_of(record(name))):
            assert math.isfinite(work.flops) and work.flops > 0, name
