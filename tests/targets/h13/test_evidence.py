"""The rules that say what is on record, against everything that is on record; and what they say of other tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from tests.support.compiled_programs import golden_files, opened
from tests.support.h13_nets import compile_net, shape, single

from openane.analysis.evidence import evidence_of_programs
from openane.net.units import ConvParams, Dimension, Pads, PoolingKind, PoolingParams, ReductionKind, ReductionParams
from openane.program import Program, Task
from openane.program.evidence import EncodingEvidence, TaskEvidence
from openane.targets import load_program
from openane.targets.h13.evidence import evidence_of
from openane.targets.h13.evidence.assumptions import ASSUMPTIONS
from openane.targets.h13.evidence.features import OperandRole, computation_features, operand_forms, text_of
from openane.targets.h13.evidence.recorded import COMPUTATIONS, NE_RANGES, OPERANDS, PE_RANGES
from openane.targets.h13.read import TaskFields
from openane.targets.h13.registers import REGISTERS

RECORDED, EXTRAPOLATED, ASSUMED = EncodingEvidence


@cache
def recorded_tasks(shared: Path) -> tuple[tuple[str, Task], ...]:
    """Every task of Apple's compiler at hand, with the name of its record or file."""
    from apple_records import records

    return (
        *((record.case, task) for record in records() for task in record.tasks),
        *((path.name, task) for path in golden_files(shared) for task in load_program(opened(path).image()).tasks),
    )


def test_every_recorded_task_is_as_emitted(shared: Path) -> None:
    tasks = recorded_tasks(shared)
    assert len(tasks) > 400
    wrong = [(name, str(finding)) for name, task in tasks for finding in evidence_of(task).findings]
    assert not wrong


def test_every_declared_computation_is_in_the_program_that_it_names(shared: Path) -> None:
    found: dict[str, set[str]] = {}
    for name, task in recorded_tasks(shared):
        found.setdefault(text_of(computation_features(TaskFields.of(task))), set()).add(name)
    assert found.keys() == COMPUTATIONS.keys()
    assert [text for text, record in COMPUTATIONS.items() if record not in found[text]] == []


def test_every_declared_operand_is_on_record(shared: Path) -> None:
    found: dict[OperandRole, set[str]] = {role: set() for role in OperandRole}
    for _, task in recorded_tasks(shared):
        for role, features in operand_forms(TaskFields.of(task)):
            found[role].add(text_of(features))
    assert found == {role: set(forms) for role, forms in OPERANDS.items()}


@pytest.mark.parametrize(("ranges", "engine"), [(NE_RANGES, True), (PE_RANGES, False)], ids=["NE", "PE"])
def test_every_range_ends_at_recorded_values(ranges: dict[str, tuple[int, int]], engine: bool, shared: Path) -> None:
    views = [view for _, task in recorded_tasks(shared) if (view := TaskFields.of(task)).is_ne == engine]
    for field, limits in ranges.items():
        values = [view(*field.rsplit(".", 1)) for view in views]
        assert (min(values), max(values)) == limits, field


def test_a_task_of_a_program_without_a_record_is_not_as_emitted() -> None:
    """One word changed: each of these is on no record."""
    program = compile_net(single(ConvParams(_kernel(16, 16, 1)), shape(16, 8, 8)))
    for path, name, value, level in (
        ("NE.MACCfg", "NonlinearMode", "relu", EXTRAPOLATED),  # on record with a bias only
        ("Common.ConvCfg", "Kw", 5, EXTRAPOLATED),
        ("Common.ConvCfg", "Sx", 3, ASSUMED),
        ("NE.KernelCfg", "KernelFmt", "int8", ASSUMED),
        ("NE.KernelCfg", "PalettizedEn", 1, ASSUMED),
        ("NE.PostScale", "PostScale", 2.0, ASSUMED),
        ("NE.MACCfg", "OpMode", "transposed_conv", ASSUMED),
        ("Common.InDim", "Hin", 9000, EXTRAPOLATED),
        ("Common.Cout", "Cout", 24, ASSUMED),
        ("L2.L2Cfg", "InputReLU", 1, EXTRAPOLATED),
    ):
        (found,) = _changed(program, path, name, value)
        assert found.level is level, (path, name, value, found)
        assert f"{path}.{name}" in {finding.field for finding in found.findings}


def test_findings_name_the_field_and_the_nearest_record() -> None:
    program = compile_net(single(ConvParams(_kernel(16, 16, 5), pads=Pads(2, 2, 2, 2)), shape(16, 8, 8)))
    (finding, *_) = next(_evidence(program)).findings
    assert finding.field == "Common.ConvCfg.Kw"
    assert "5x5" in finding.found
    assert finding.recorded == "'convolution, 1x1' in conv_k1_c256_n512_s1_bias0"


def test_assumptions_are_named() -> None:
    pooled = compile_net(single(PoolingParams(PoolingKind.MAX, (2, 2), (2, 2)), shape(16, 8, 8)))
    assert _assumptions(pooled) == {"A1"}
    strided = compile_net(single(PoolingParams(PoolingKind.MAX, (3, 3), (3, 3)), shape(16, 9, 9)))
    assert _assumptions(strided) == {"A1", "A4"}
    uneven = compile_net(single(ConvParams(_kernel(24, 16, 1)), shape(16, 8, 8)))
    assert _assumptions(uneven) == {"A17"}
    reduced = compile_net(single(ReductionParams(ReductionKind.MAX, frozenset({Dimension.WIDTH})), shape(16, 8, 8)))
    assert _assumptions(reduced) == set()


def test_every_field_that_an_assumption_reads_exists() -> None:
    """Each predicate runs on every kind of task; the fields that it names are declared."""
    names = [each.name for each in ASSUMPTIONS]
    assert names == [f"A{number}" for number in range(1, len(names) + 1)]
    program = compile_net(single(PoolingParams(PoolingKind.AVERAGE, (3, 3), (3, 3), Pads(1, 1, 1, 1)), shape(16, 9, 9)))
    for found in _evidence(program):
        for finding in found.findings:
            path, name = finding.field.rsplit(".", 1)
            assert name in REGISTERS[path].by_name


def test_the_report_counts_tasks_layers_and_time() -> None:
    program = compile_net(single(PoolingParams(PoolingKind.MAX, (2, 2), (2, 2)), shape(16, 8, 8)))
    report = evidence_of_programs((program, program))
    assert report is not None
    assert report.counts == {RECORDED: 0, EXTRAPOLATED: 0, ASSUMED: 2}
    shares = report.time_shares
    assert shares is not None
    assert shares[ASSUMED] == pytest.approx(1.0)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert report.text == "2 of 2 tasks assumed (100% of the time)"
    assert [row.tasks for row in report.findings()] == [(0, 1)] * len(report.findings())
    assert report.values()["findings"][0]["assumption"] == "A1"


def _kernel(outputs: int, inputs: int, size: int):  # type: ignore[no-untyped-def]
    import numpy as np

    return np.ones((outputs, inputs, size, size), np.float16)


def _evidence(program: Program) -> Iterator[TaskEvidence]:
    return map(evidence_of, program.tasks)


def _assumptions(program: Program) -> set[str]:
    return {finding.assumption for found in _evidence(program) for finding in found.findings if finding.assumption}


def _changed(program: Program, path: str, name: str, value: int | float | str) -> list[TaskEvidence]:
    """The evidence of the program's only task with one field changed."""
    register = REGISTERS[path]
    (task,) = program.tasks
    bursts = []
    for burst in task.bursts:
        words = [
            register.change(word, {name: value}) if address == register.address else word
            for address, word in zip(burst.addresses(), burst.words, strict=True)
        ]
        bursts.append(replace(burst, words=tuple(words)))
    return [evidence_of(replace(task, bursts=tuple(bursts)))]
