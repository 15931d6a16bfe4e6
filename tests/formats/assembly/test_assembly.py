"""Assembly text: the way back is exact, edits do what they say, mistakes are pointed at."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.compiled_programs import REPEATABLE, SLOW, golden_files, opened, programs

import openane
from openane.core.errors import FormatError, OpenaneError
from openane.core.origin import Origin
from openane.formats.anec import write_anec
from openane.formats.assembly import Parts
from openane.formats.assembly.data import DataBlock, Supply, data_lines, reference_line
from openane.formats.assembly.syntax import lines_of, quote
from openane.formats.hwx import read_hwx, write_hwx
from openane.formats.hwx.dialects import FILE_DIALECTS
from openane.targets import load_program
from openane.targets.assembly import assemble, disassemble


def kind_of(path: Path) -> str:
    return path.suffix[1:]


def test_every_file_at_hand_assembles_to_itself(shared):
    for path in golden_files(shared):
        assembled = assemble(disassemble(opened(path)))
        assert b"".join(assembled.file(kind_of(path))) == path.read_bytes(), path.name


@SLOW
@given(programs(tuple(FILE_DIALECTS)))
def test_any_program_comes_back_from_its_text(program):
    assert assemble(disassemble(program)).program == program


@SLOW
@given(programs(tuple(FILE_DIALECTS)))
def test_any_file_comes_back_from_its_text(program):
    data = write_hwx(program)
    assert b"".join(assemble(disassemble(read_hwx(data))).file("hwx")) == data


@REPEATABLE
@given(st.text())
def test_any_name_survives_its_quotes(text):
    (line,) = lines_of(f".network {quote(text)} ; comment", "test")
    assert line.string_of(line.tokens[1]) == text


@REPEATABLE
@given(
    st.binary(max_size=400) | st.lists(st.sampled_from([b"\0" * 32, b"\1" * 32, b"\2" * 31]), max_size=20).map(b"".join)
)
def test_any_bytes_survive_their_lines(data):
    block = block_of(len(data))
    for line in lines_of("\n".join(data_lines(data)), "test"):
        block.add(line)
    assert bytes(block.bytes()) == data


def block_of(size, opener=lambda name, known: b""):
    (line,) = lines_of(".constants", "test")
    return DataBlock(Supply(opener), line, size)


def test_repeats_are_one_line():
    assert list(data_lines(b"\0" * 64 + b"\x00\x38" * 1600)) == [f"0x000040 *100: {' '.join(['0038'] * 16)}"]


def test_constants_may_stand_in_another_file():
    data = bytes(range(100))
    for line in lines_of(reference_line("weights.bin", 10, data[10:50]), "test"):
        block = block_of(40, lambda name, known: data)
        block.add(line)
        assert bytes(block.bytes()) == data[10:50]
        with pytest.raises(FormatError, match="other bytes than when this text was made"):
            block_of(40, lambda name, known: bytes(100)).add(line)
        with pytest.raises(FormatError, match="has not these bytes"):
            block_of(41, lambda name, known: data).add(line)


@pytest.fixture(scope="module")
def sum_file(shared):
    return read_hwx(shared / "goldens" / "h13" / "tinygrad-sum.hwx")


def test_text_without_a_container_makes_new_files(sum_file):
    text = disassemble(sum_file, parts=Parts.PROGRAM)
    assembled = assemble(text)
    program = load_program(sum_file)
    assert assembled.program == program
    assert b"".join(assembled.file("hwx")) == write_hwx(program)
    assert b"".join(assembled.file("anec")) == write_anec(program)


def test_the_other_container_is_made_from_the_program(sum_file):
    assembled = assemble(disassemble(sum_file))
    assert assembled.container == "hwx"
    assert b"".join(assembled.file("anec")) == write_anec(load_program(sum_file))


def test_links_and_sizes_follow_from_the_tasks(shared):
    """A task may be taken out of the text: numbers, links and sizes are made anew."""
    text = disassemble(opened(shared / "goldens" / "h13" / "tinygrad-concat.hwx"), parts=Parts.PROGRAM)
    start, end = text.index(".task 1"), text.index(".constants")
    program = assemble(text[:start] + text[end:]).program
    assert len(program.tasks) == 1
    assert [program.tasks[0].get(f"Header.{name}") for name in ("EON", "NextPointer", "NextSize", "TBE")] == [
        1,
        0,
        0,
        0,
    ]
    doubled = text[:end] + text[start:end].replace(".task 1", ".task 2") + text[end:]
    program = assemble(doubled).program
    assert [task.get("Header.TID") for task in program.tasks] == [0, 1, 2]
    assert [task.get("Header.NextPointer") for task in program.tasks] == [0x300, 0x600, 0]


def test_an_edited_field_is_the_only_change(sum_file):
    text = disassemble(sum_file)
    edited = text.replace("Cfg SecSrc=source2", "Cfg OpMode=mul SecSrc=source2")
    assert edited != text
    before, after = (b"".join(assemble(each).file("hwx")) for each in (text, edited))
    assert [(a, b) for a, b in zip(before, after, strict=True) if a != b] == [(0, 4)]


def test_damaged_tasks_are_written_as_bytes(sum_file):
    data = bytearray(bytes(sum_file))
    data[0x401C:0x4020] = b"\xf0\xff\xff\xff"
    text = disassemble(read_hwx(bytes(data)))
    assert "the tasks cannot be read" in text
    assembled = assemble(text)
    assert assembled.program is None
    assert b"".join(assembled.file("hwx")) == bytes(data)
    with pytest.raises(OpenaneError, match="only be put back into their own container"):
        assembled.file("anec")


def test_bytes_between_tasks_survive(shared):
    data = bytearray((shared / "goldens" / "h13" / "tinygrad-concat.hwx").read_bytes())
    data[0x4280] = 0x5A
    data[0x42FF] = 0xA5
    text = disassemble(read_hwx(bytes(data)))
    assert ".gaps size=0x574" in text and ".task 1" in text
    assert b"".join(assemble(text).file("hwx")) == bytes(data)


def test_odd_bytes_anywhere_survive(sum_file):
    """Unknown load commands, bytes between the parts, bytes at the end, odd words inside states."""
    data = bytearray(bytes(sum_file))
    for offset in (0x3F00, 0xBFF0, 0x4000 + 0x278, 0x380 + 0x848, 0x380 + 0x14, 0xBE8 + 0x48, 0xDC8 + 0x100):
        data[offset] ^= 0x5A
    file = read_hwx(bytes(data))
    assert b"".join(assemble(disassemble(file)).file("hwx")) == bytes(data)
    longer = bytes(data) + b"tail"
    assert b"".join(assemble(disassemble(read_hwx(longer))).file("hwx")) == longer


def test_an_unknown_load_command_survives(sum_file):
    data = bytearray(bytes(sum_file))
    at = 0x20 + 0x48  # the segment of the text becomes the second command
    command = (0x77).to_bytes(4, "little") + (16).to_bytes(4, "little") + b"whatever"
    data[at:at] = command
    del data[0x3F00 : 0x3F00 + len(command)]
    data[0x10] += 1
    data[0x14:0x18] = (int.from_bytes(data[0x14:0x18], "little") + len(command)).to_bytes(4, "little")
    file = read_hwx(bytes(data))
    assert file.commands[1].kind == 0x77
    text = disassemble(file)
    assert ".command 0x77 size=0x10" in text
    assert b"".join(assemble(text).file("hwx")) == bytes(data)


def edited(text, old, new):
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (".target h13", ".target h31", r"line 3, column 9: there is no target 'h31'.*allowed: h11, h13"),
        (".target h13", ".taget h13", r"line 3, column 1: unknown directive '\.taget'.*Did you mean \.target"),
        ("InDim Win=1", "InDm Win=1", r"column 9: block Common has no register 'InDm'. Did you mean InDim"),
        ("InDim Win=1", "InDim Wim=1", r"column 15: Common\.InDim has no field 'Wim'.*Did you mean Win"),
        ("InDim Win=1", "InDim Win=99999", r"column 15: .*does not fit the field.*0\.\.32767"),
        ("InDim Win=1", "InDim Win=x", r"column 15: .*not a value of this field"),
        ("SecSrc=source2", "SecSrc=source3", r"Did you mean source2 or minus_source2"),
        ("burst 0x8800 4", "burst 0x8800 3", r"PE\.FinalScale is not written by this burst"),
        ("burst 0x8800 4", "burst 0x8800 0", "an impossible burst"),
        ("burst 0x8800 4", "burst eight 4", "column 11: a number is needed"),
        ("header ", "heder ", r"unknown word 'heder' in a task"),
        ("header ", "header Nonsense ", r"there is no field 'Nonsense'"),
        (".task 0 ", ".task 1 ", "tasks are numbered from 0 in order"),
        (".task 0 ", ".task 0 at=0x10000 ", "parts of the file overlap or do not fit"),
        (".constants size=0x4000", ".constants size=-1", "an impossible size"),
        (".constants size=0x4000", ".constants size=0x4001", "the container reports other sizes"),
        ('"image2" buffer=5', '"image2" buffer=7', "the container reports this surface differently"),
        ('"image2" buffer=5', "image2 buffer=5", "a quoted text is needed"),
        ('"image2" buffer=5', '"image2 buffer=5', "a quoted text without end"),
        ("dtype=float16", "dtype=float17", "Did you mean float16"),
        ("shape=1,1,64,1,1", "shape=1,1,64", "five numbers"),
        (".surface input", ".surface both", "not a role"),
        (".hwx size=0xc000", ".hwx size=0xc0", "overlap or do not fit"),
        (".hwx size=0xc000", ".hwx size=0x7fffffffffff", "much larger than its parts"),
        ("address=0x30000000 size=0x8000", "addres=0x30000000 size=0x8000", r"Did you mean address"),
        (".buffer 4 0x30010000", ".buffer 400 0x30010000", "does not fit in the load command"),
        ("kind=0xf section=3", "kind=0x100 section=3", r"allowed: 0\.\.255"),
        (".openane 1", ".openane 9", "another version of the text form"),
    ],
)
def test_mistakes_are_pointed_at(sum_file, old, new, message):
    text = disassemble(sum_file)
    with pytest.raises(FormatError, match=message) as caught:
        assemble(edited(text, old, new), "sum.s")
    assert "sum.s: line " in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no .target"),
        (".target h13\n", "no tasks"),
        (".task 0\n", "the target must be known"),
        ("nonsense\n", "is in no block"),
        (".target h13\n.constants size=8\n 0x8: 00\n.task 0\n", "beyond the end of its block"),
        (".target h13\n.constants size=8\n 0x0: 0g\n", "not hexadecimal bytes"),
        (".target h13\n.constants size=8\n 0x0 *99999999999: 00\n", "beyond the end of its block"),
        ('.target h13\n.constants size=8\n incbin "no such file"\n', "No such file"),
        ('.target h13\n.network "a\\q"\n', "an unknown escape"),
        ('.target h13\n.network "a\\Uffffffff"\n', "an escape that is not a character"),
        ('.target h13\n.network "a\\ud800"\n', "an escape that is not a character"),
    ],
)
def test_short_wrong_texts(text, message):
    with pytest.raises(OpenaneError, match=message):
        assemble(text, "t.s")


def test_layers_of_tasks_survive(sum_file):
    program = load_program(sum_file)
    named = replace(program, tasks=(replace(program.tasks[0], origin=Origin(("add 1", 'the "second"'))),))
    assert assemble(disassemble(named)).program.tasks[0].origin.layers == ("add 1", 'the "second"')


def test_the_public_functions(shared, tmp_path):
    path = shared / "goldens" / "h13" / "tinygrad-sum.hwx"
    text = openane.disassemble(path)
    assert openane.assemble(text) == path.read_bytes()
    (tmp_path / "sum.s").write_text(text)
    assert openane.assemble(tmp_path / "sum.s") == path.read_bytes()


def test_tasks_may_grow_in_a_text_without_container(sum_file):
    text = disassemble(sum_file, parts=Parts.PROGRAM)
    grown = edited(text, "burst 0x8800 4", "burst 0x20000 2\n        0x20004 Reserved_0=0x1234\n    burst 0x8800 4")
    program = assemble(grown).program
    assert program.tasks[0].registers()[0x20004] == 0x1234
    assert program.tasks[0].size_bytes == 0x274 + 12
    assert load_program(read_hwx(b"".join(assemble(grown).file("hwx")))) == replace(program)
