"""The verifier: quiet on programs of Apple's compiler, and what it says about broken ones."""

from dataclasses import replace

import pytest
from tests.support.compiled_programs import golden_files, opened

from openane.program import Relocation
from openane.program.verify import verify_program
from openane.targets import load_program


@pytest.fixture
def program(shared):
    return load_program(opened(shared / "goldens" / "h13" / "eiln-sigmoid.anec"))


def test_programs_at_hand_are_whole(shared):
    for path in golden_files(shared):
        assert verify_program(load_program(opened(path))) == (), path.name


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("Header.RBase0", 9, "the buffer of source 1 does not exist (found 9; allowed: 1, 4, 5)"),
        ("Header.TID", 7, "TID does not fit the chain of tasks (found 7; allowed: 0)"),
        ("KernelDMASrc.CoeffBaseAddr[0].Addr", 0x40, "lane 0: a kernel stream ends after its buffer"),
        ("Common.InDepth", 0, "Common.InDepth would hang the engine: zero"),
        ("PE.Cfg.Reserved_20", 1, "PE.Cfg.Reserved_20: reserved bits are set"),
        ("Common.Cfg.TaskType", 7, "Common.Cfg.TaskType: no name for this value"),
    ],
)
def test_broken_tasks(program, path, value, message):
    findings = verify_program(program.set(0, path, value))
    assert any(message in str(finding) for finding in findings), findings


def test_broken_surfaces_and_places(program):
    first, second = program.surfaces
    broken = {
        "two surfaces have one name": {"surfaces": (first, replace(second, name=first.name))},
        "two surfaces share a buffer": {"surfaces": (first, replace(second, buffer=first.buffer))},
        "elements lie after the end": {"surfaces": (first, replace(second, size_bytes=100))},
        "tasks overlap": {"task_offsets": (0, 0x200)},
        "a relocation is in no task": {"relocations": (Relocation(0x280, 5),)},
    }
    for message, change in broken.items():
        assert any(message in str(each) for each in verify_program(replace(program, **change))), message
