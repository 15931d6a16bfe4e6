"""dis, asm, diff, patch, docs on the command line, and what they stand on."""

import json

import pytest
from click.testing import CliRunner
from tests.support.compiled_programs import golden_files, opened

from openane.analysis.describe import describe, describe_program
from openane.analysis.diff import diff_programs
from openane.cli import root
from openane.core.errors import InputError, OpenaneError
from openane.formats.hwx import read_hwx
from openane.program.patch import Patch, apply_patches
from openane.targets import load_program


def run(*arguments, code=0):
    result = CliRunner().invoke(root, [str(argument) for argument in arguments])
    if isinstance(result.exception, OpenaneError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def h13(shared):
    return shared / "goldens" / "h13"


@pytest.mark.parametrize("name", ["tinygrad-gemm.hwx", "eiln-softmax.anec"])
@pytest.mark.parametrize("constants", ["auto", "inline", "file", "reference"])
def test_text_and_back(h13, tmp_path, name, constants):
    text, out = tmp_path / "t.s", tmp_path / name
    run("dis", h13 / name, "-o", text, "--constants", constants)
    assert "container as in the text" in run("asm", text, "-o", out)
    assert out.read_bytes() == (h13 / name).read_bytes()


def test_text_on_the_terminal(h13):
    assert run("dis", h13 / "tinygrad-sum.hwx").startswith("; tinygrad-sum.hwx: zin_ane_compiler v4.2.1\n.openane 1\n")
    assert "\n.hwx" not in run("dis", h13 / "tinygrad-sum.hwx", "--program")


def test_listing_as_json(h13):
    found = json.loads(run("dis", h13 / "tinygrad-sum.hwx", "--json"))
    (task,) = found["tasks"]
    assert (task["engine"], task["operation"]) == ("PE", "add")
    words = {word["register"]: word for burst in task["bursts"] for word in burst["registers"]}
    assert words["PE.Cfg"]["fields"]["OpMode"] == "add"
    assert words["Common.Cin"]["fields"] == {"Cin": 64}


def test_hwx_to_anec_and_the_difference(h13, tmp_path):
    text, out = tmp_path / "t.s", tmp_path / "t.anec"
    run("dis", h13 / "tinygrad-sum.hwx", "-o", text)
    assert "container new" in run("asm", text, "-o", out)
    shown = run("diff", h13 / "tinygrad-sum.hwx", out, code=1)
    assert "tasks: 1 equal, 0 different" in shown


def test_patch_changes_one_word_and_diff_shows_it(h13, tmp_path):
    out = tmp_path / "mul.hwx"
    assert "1 words changed" in run("patch", h13 / "tinygrad-sum.hwx", "task[0].PE.Cfg.Op=mul", "-o", out)
    before, after = (h13 / "tinygrad-sum.hwx").read_bytes(), out.read_bytes()
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
    shown = run("diff", h13 / "tinygrad-sum.hwx", out, code=1)
    assert "PE.Cfg.OpMode: add -> mul" in shown
    found = json.loads(run("diff", h13 / "tinygrad-sum.hwx", out, "--json", code=1))
    assert found["tasks"][0]["fields"][0]["path"] == "PE.Cfg.OpMode"
    assert run("diff", out, out).endswith("no difference\n")


def test_patches_of_many_tasks(h13, tmp_path):
    out = tmp_path / "s.anec"
    assert "5 words changed" in run("patch", h13 / "eiln-softmax.anec", "task[*].Header.NID=7", "-o", out)
    program = load_program(opened(out))
    assert [task.get("Header.NID") for task in program.tasks] == [7] * 5
    program = apply_patches(program, [Patch.parse("task[1..2].0x8800=0x80004")])
    assert [task.word("PE.Cfg") for task in program.tasks[1:3]] == [0x80004] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("PE.Cfg=1", r"not a patch.*task\[0\]\.PE\.Cfg\.OpMode=mul"),
        ("task[9].PE.Cfg=1", r"there is no such task.*task\[0\] to task\[0\]"),
        ("task[0].PE.Cfg.OpMode=mull", "Did you mean mul"),
        ("task[0].0x1234=1", "the task does not write this register"),
        ("task[0].Extra.DTID=1", "the task has no such header word"),
    ],
)
def test_patches_that_do_not_work(h13, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        run("patch", h13 / "tinygrad-sum.hwx", change, "-o", tmp_path / "x.hwx")
    assert not (tmp_path / "x.hwx").exists()


def test_changes_in_python(h13):
    program = load_program(read_hwx(h13 / "tinygrad-sum.hwx"))
    changed = program.set(0, "PE.BiasScale.Scale", 2.0)
    assert changed.tasks[0].get("PE.BiasScale.Scale") == 0x4000
    assert changed.tasks[0] == program.tasks[0].set("PE.BiasScale.Scale", 2.0)
    difference = diff_programs(program, changed)
    (field,) = difference.tasks[0].fields
    assert (field.path, field.first, field.second) == ("PE.BiasScale.Scale", "1.0", "2.0")


def test_missing_tasks_are_aligned(h13):
    program = load_program(opened(h13 / "eiln-softmax.anec"))
    shorter = type(program)(
        **{name: getattr(program, name) for name in program.__slots__}
        | {"tasks": program.tasks[:1] + program.tasks[2:], "task_offsets": program.task_offsets[:4]}
    )
    difference = diff_programs(program, shorter)
    missing = [task for task in difference.tasks if task.second is None]
    assert [task.first for task in missing] == [1]


def test_constants_by_range(h13):
    program = load_program(opened(h13 / "tinygrad-gemm.hwx"))
    changed = bytearray(program.constants)
    changed[100] = changed[120] = changed[5000] = 1
    other = type(program)(
        **{name: getattr(program, name) for name in program.__slots__} | {"constants": bytes(changed)}
    )
    ranges = diff_programs(program, other).constants
    assert [(each.start, each.end, each.count) for each in ranges] == [(100, 121, 2), (5000, 5001, 1)]


def test_description_of_every_file(shared):
    for path in golden_files(shared):
        found = describe(opened(path))
        assert (found.generation, found.problems) == ("h13", ())
        assert found.file_bytes == path.stat().st_size
        assert len(found.tasks) >= 1
        assert {tensor.buffer for tensor in found.tensors} <= {buffer.index for buffer in found.buffers}
    program = load_program(opened(path))
    assert describe_program(program).tasks == describe(opened(path)).tasks


def test_description_of_a_file_for_an_unknown_chip(h13):
    data = bytearray((h13 / "tinygrad-sum.hwx").read_bytes())
    data[8] = 3
    found = describe(read_hwx(bytes(data)))
    assert (found.generation, found.tasks) == ("unknown", ())
    assert "cpu subtype 3" in found.problems[0]


def test_register_reference():
    text = run("docs", "registers", "h13")
    assert "| 0x8800 | Cfg | 1:0 | PoolMode |" in text
    assert json.loads(run("docs", "registers", "h17", "--json"))["generation"] == "h17"
    with pytest.raises(InputError, match="Did you mean h13"):
        run("docs", "registers", "h133")
