"""The cost model: its arithmetic, its constants, and how far it is from published timings."""

import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openane.backend.task_cost import Engine, Work, WorkKind
from openane.core.errors import InputError
from openane.cost.chips import CHIPS, Chip, chip
from openane.cost.measurements import MEASUREMENTS, split
from openane.cost.model import CostPart, call_milliwatts, call_us, cost_of
from openane.cost.operations import attention, convolution, elementwise, matmul, rowwise

ROOT = Path(__file__).parents[2]
COUNTS = st.integers(0, 10**9)
WORKS = st.builds(
    Work,
    st.just("work"),
    st.sampled_from(Engine),
    st.sampled_from((WorkKind.CONVOLUTION, WorkKind.MATMUL)),
    COUNTS,
    COUNTS,
    COUNTS,
    COUNTS,
    COUNTS,
    COUNTS,
    COUNTS,
    st.integers(0, 16),
    st.integers(1, 100),
)
CHIP = st.sampled_from(list(CHIPS.values()))


@given(WORKS, CHIP)
def test_parts_add_up(work: Work, on: Chip) -> None:
    cost = cost_of(work, on)
    assert all(time >= 0 for time in cost.times_us.values())
    assert cost.time_us == pytest.approx(sum(cost.times_us.values()))
    assert cost.times_us[cost.bound] == max(cost.times_us.values())
    assert call_us((work, work), on) == pytest.approx(on.dispatch_us + 2 * cost.time_us)
    assert cost.energy_uj >= on.base_milliwatts * 1e-3 * cost.time_us * 0.999


@given(
    WORKS,
    CHIP,
    st.sampled_from(
        ("macs", "elements", "surface_bytes", "input_bytes", "output_bytes", "scratch_bytes", "weight_bytes")
    ),
    st.integers(1, 10**9),
)
def test_more_work_takes_longer(work: Work, on: Chip, field: str, more: int) -> None:
    larger = replace(work, **{field: getattr(work, field) + more})
    assert cost_of(larger, on).time_us > cost_of(work, on).time_us
    assert cost_of(larger, on).energy_uj > cost_of(work, on).energy_uj


@given(CHIP, st.integers(1, 15))
def test_fewer_engines_take_longer(on: Chip, engines: int) -> None:
    few = replace(matmul(64, 256, 256), engines=engines)
    assert cost_of(few, on).times_us[CostPart.NEURAL] > cost_of(matmul(64, 256, 256), on).times_us[CostPart.NEURAL]


def test_utilization_is_of_the_peak() -> None:
    on = chip("m1")
    work = matmul(1024, 4096, 4096)
    cost = cost_of(work, on)
    assert cost.utilization == pytest.approx(work.macs / cost.time_us / (16 * 256 * 1428))
    assert 0 < cost.utilization < 1.2


def test_chips_are_found_by_name() -> None:
    assert chip("M1 Max") is CHIPS["m1max"]
    assert {"m1", "m2", "m3", "m4", "m5"} <= set(CHIPS)
    assert all(each.evidence and each.machine for each in CHIPS.values())
    with pytest.raises(InputError, match=r"no chip 'm9'.*m1, m1pro"):
        chip("m9")


def test_operations() -> None:
    assert matmul(2, 3, 5).macs == 30
    assert convolution(4, 8, 16, 3, stride=2, batch=2).macs == 4 * 8 * 9 * 64 * 2
    assert elementwise(100).dram_bytes == 400
    assert rowwise("softmax", 10, 20, 5).elements == 1000
    assert attention(2, 8, 4).macs == 2 * 2 * 64 * 4
    wide = matmul(4096, 4096, 4096)
    assert wide.input_bytes == 32 * 2 * 4096**2  # read again for every MiB of weights
    assert wide.surface_bytes == 4 * 4096**2


def test_rows_are_fitted_or_held_out() -> None:
    for name in {row.chip for row in MEASUREMENTS}:
        fitted, held_out = split(name)
        assert sorted(map(id, (*fitted, *held_out))) == sorted(id(row) for row in MEASUREMENTS if row.chip == name)
        assert len(held_out) * 2 >= len(fitted)


HELD_OUT_MEDIAN = {"m1": 0.10, "m1max": 0.35, "m2pro": 0.65, "m4": 0.05, "m4max": 0.25, "m5pro": 0.08}
"""May only fall."""


@pytest.mark.parametrize("name", HELD_OUT_MEDIAN)
def test_error_on_rows_that_were_not_fitted(name: str) -> None:
    _, held_out = split(name)
    errors = [abs(call_us((row.work,), chip(name)) / row.time_us - 1) for row in held_out]
    assert statistics.median(errors) <= HELD_OUT_MEDIAN[name]


def test_power_is_of_the_right_size() -> None:
    rows = [row for row in MEASUREMENTS if row.milliwatts]
    errors = [abs(call_milliwatts((row.work,), chip(row.chip)) / row.milliwatts - 1) for row in rows]
    assert statistics.median(errors) <= 0.27


@pytest.mark.parametrize("name", ["m1", "m2pro", "m4"])
def test_constants_are_what_the_tool_finds(name: str) -> None:
    tool = ROOT / "tools" / "calibrate_cost.py"
    done = subprocess.run([sys.executable, str(tool), name], capture_output=True, text=True, check=True)
    found = eval(done.stdout.removeprefix(name))
    for key, value in found.items():
        assert getattr(CHIPS[name], key) == pytest.approx(value, rel=2e-3), key


def test_the_bench_runs() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "bench" / "cost.py")], capture_output=True, text=True, check=True)
    assert "m5pro" in done.stdout and "held out" in done.stdout


def test_the_page_is_up_to_date() -> None:
    tool = ROOT / "tools" / "cost_page.py"
    done = subprocess.run([sys.executable, str(tool), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
