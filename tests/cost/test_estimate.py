"""The report: totals, layers, roofline, advice, JSON."""

import json
from dataclasses import replace

import pytest
from tests.support.cost_programs import artifact_of, program_of, record, surface, tasks_of

from openane.analysis.estimate import NAMELESS, as_values, estimate
from openane.core.errors import InputError
from openane.cost.model import CostPart
from openane.program import Program, Role

RECORD = "norm_softmax_an1_1x8x64x64"


def test_totals_are_the_sums() -> None:
    program = program_of(record(RECORD))
    found = estimate(artifact_of(program))
    assert found.time_us == pytest.approx(sum(found.times_us.values()))
    assert found.time_us == pytest.approx(sum(layer.time_us for layer in found.layers) + found.chip.dispatch_us)
    assert found.time_us == pytest.approx(sum(task.cost.time_us for task in found.tasks) + found.chip.dispatch_us)
    assert [layer.layer for layer in found.layers] == ["layer"]
    assert found.layers[0].tasks == len(found.tasks) == 6
    assert sum(layer.share for layer in found.layers) == pytest.approx(1 - found.chip.dispatch_us / found.time_us)
    assert found.tasks[1].start_us == pytest.approx(found.tasks[0].cost.time_us)
    assert found.dram_bytes == sum(task.cost.work.dram_bytes for task in found.tasks)
    assert found.milliwatts > found.chip.base_milliwatts


def test_rough_estimates_are_ranges() -> None:
    found = estimate(artifact_of(program_of(record(RECORD))), "m2pro")
    low, high = found.range_us
    assert found.is_rough
    assert (found.time_us / low, high / found.time_us) == pytest.approx((found.chip.spread, found.chip.spread))
    assert f"({low:.0f} to {high:.0f})" in found.report().title
    assert as_values(found)["time_range_us"] == [low, high]
    exact = replace(found, chip=replace(found.chip, spread=1.1))
    assert not exact.is_rough
    assert " to " not in exact.report().title


def test_two_programs_pay_two_dispatches_and_are_told_so() -> None:
    program = program_of(record(RECORD))
    one, two = estimate(artifact_of(program)), estimate(artifact_of(program, program))
    assert two.time_us == pytest.approx(2 * one.time_us)
    assert two.times_us[CostPart.DISPATCH] == 2 * one.times_us[CostPart.DISPATCH]
    assert any("2 programs" in advice.why for advice in two.advice)
    assert not any("programs" in advice.why for advice in one.advice)


def test_tasks_without_an_origin() -> None:
    found = record(RECORD)
    program = Program("h13", tasks_of(found), tuple(range(6)), (), b"")
    assert [layer.layer for layer in estimate(artifact_of(program)).layers] == [NAMELESS]


def test_roofline() -> None:
    roofline = estimate(artifact_of(program_of(record("conv_probe_k3_c512_n512_s16_st1_g1_bias0_same")))).roofline
    assert roofline.peak_gflops_per_s == pytest.approx(11_698, abs=1)
    assert roofline.gflops_per_s < roofline.roof_gflops_per_s <= roofline.peak_gflops_per_s


def test_advice_is_sorted_and_worth_it() -> None:
    found = estimate(artifact_of(program_of(record("env_mm_r2rb_m1_k2048_n2048_tx0_ty1"))))
    savings = [advice.saves_us for advice in found.advice]
    assert savings == sorted(savings, reverse=True)
    assert all(0.01 * found.time_us <= saving <= found.time_us for saving in savings)
    assert any("weight" in advice.what for advice in found.advice)


def test_padded_rows_are_named() -> None:
    narrow = surface("narrow", Role.INPUT, (1, 4096, 1, 1), 4096 * 64, 4)
    base = program_of(record("unary_exp_c64"))
    program = Program("h13", base.tasks, base.task_offsets, (narrow,), b"")
    (advice,) = (each for each in estimate(artifact_of(program)).advice if "width" in each.what)
    assert "97%" in advice.why and "'narrow' (1x1x4096x1x1)" in advice.why


def test_an_empty_plan() -> None:
    found = estimate(artifact_of())
    assert (found.time_us, found.tasks, found.advice) == (0, (), ())


def test_unknown_chip() -> None:
    with pytest.raises(InputError, match="no chip 'z80'"):
        estimate(artifact_of(), "z80")


@pytest.mark.parametrize("name", ["m1", "m2", "m3", "m4", "m5", "m1max"])
def test_json(name: str) -> None:
    found = estimate(artifact_of(program_of(record(RECORD))), name)
    value = json.loads(json.dumps(as_values(found), allow_nan=False))
    assert value["chip"] == name
    assert value["time_us"] == pytest.approx(sum(value["times_us"].values()))
    assert len(value["tasks"]) == 6
    assert set(value["tasks"][0]) >= {"layer", "engine", "time_us", "bound", "utilization", "energy_uj", "weight_bytes"}
