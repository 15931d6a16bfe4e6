""".hwx and .anec: written and read back, unknown parts kept, hostile numbers refused."""

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from tests.support.compiled_programs import SLOW, golden_files, opened, programs

import openane
from openane.core.errors import FormatError, InputError, OpenaneError, UnsupportedError
from openane.formats.anec import libane_order, read_anec, write_anec
from openane.formats.hwx import codec, read_hwx, write_hwx
from openane.formats.hwx.dialects import FILE_DIALECTS
from openane.formats.hwx.layout import CommandKind
from openane.program import Role
from openane.targets import attach, load_program
from openane.targets.h13.registers import REGISTERS


@pytest.fixture(scope="module")
def conv(shared):
    return (shared / "goldens" / "h13" / "tinygrad-conv.hwx").read_bytes()


@SLOW
@given(programs(tuple(FILE_DIALECTS)))
def test_a_program_comes_back_from_its_hwx(program):
    back = load_program(read_hwx(write_hwx(program)))
    assert back == program
    assert write_hwx(back) == write_hwx(program)


@SLOW
@given(programs())
def test_a_program_comes_back_from_its_anec(program):
    flat = replace(
        program,
        surfaces=tuple(replace(each, shape=(each.shape[0], 1, *each.shape[2:])) for each in program.surfaces),
    )
    back = load_program(read_anec(write_anec(flat, keep_buffers=True)))
    assert back.tasks == flat.tasks
    assert back.constants == flat.constants
    assert back.scratch_bytes == flat.scratch_bytes
    ordered = libane_order(flat)
    assert (
        [each.buffer for each in (*ordered.outputs, *ordered.inputs)]
        == sorted(each.buffer for each in ordered.surfaces)
        or len(ordered.outputs) > 1
        or len(ordered.inputs) > 1
    )


def assert_differs_only_where_told(apple, ours):
    """What differs: the compiler's options, names of kernels, one counter, and offsets that follow from them."""
    assert [command.kind for command in ours.commands] == [command.kind for command in apple.commands]
    for one, two in zip(apple.commands, ours.commands, strict=True):
        if bytes(one.data) == bytes(two.data):
            continue
        assert one.kind in (CommandKind.METADATA, CommandKind.SYMBOLS, CommandKind.SEGMENT, CommandKind.THREAD)
        if one.kind == CommandKind.SEGMENT:
            pair = [codec.decode_segment(file.inside(each)) for file, each in ((apple, one), (ours, two))]
            places = [[replace(section, relocation_offset=0) for section in each.sections] for each in pair]
            assert places[0] == places[1]
        if one.kind == CommandKind.THREAD:
            state = codec.decode_program_state(apple.inside(one))
            mine = codec.decode_program_state(ours.inside(two))
            assert replace(mine, words={**mine.words, 0x850: state.words[0x850]}) == state
    differing = [(a, b) for a, b in zip(apple.symbols, ours.symbols, strict=True) if a != b]
    assert all(a.name.startswith("K") and replace(b, name=a.name) == a for a, b in differing)
    assert bytes(apple.image().text) == bytes(ours.image().text)
    assert bytes(apple.image().constants) == bytes(ours.image().constants)


def test_files_written_anew_differ_from_apples_only_where_told(shared):
    for path in golden_files(shared):
        if path.suffix == ".hwx":
            apple = read_hwx(path)
            assert_differs_only_where_told(apple, read_hwx(write_hwx(load_program(apple))))


@pytest.mark.parametrize("pair", ["sum-64", "conv-1x1-3ch", "concat-16384", "seed-inner-product"])
def test_compiled_networks_differ_from_apples_only_where_told(shared, pair):
    """From net.plist to the last byte of the container, next to what Apple's compiler made of the same net.plist."""
    folder = shared / "goldens" / "pairs" / pair
    program = openane.compile(folder / "net.plist", dialect="macos-11", host=False).program
    assert_differs_only_where_told(read_hwx(folder / "model.hwx"), read_hwx(write_hwx(program)))


def test_every_load_command_of_apple_is_understood_to_the_byte(shared):
    decoders = {
        CommandKind.SEGMENT: (codec.decode_segment, codec.encode_segment),
        CommandKind.NAME: (codec.decode_name, codec.encode_name),
        CommandKind.NAME_OLD: (codec.decode_name, codec.encode_name),
        CommandKind.SYMBOLS: (codec.decode_symbol_table, codec.encode_symbol_table),
    }
    states = {
        1: (codec.decode_program_state, codec.encode_program_state),
        3: (codec.decode_surface_state, codec.encode_surface_state),
    }
    for path in golden_files(shared):
        if path.suffix != ".hwx":
            continue
        file = read_hwx(path)
        for command in file.commands:
            reader = file.inside(command)
            pair = states[reader.u32(8)] if command.kind == CommandKind.THREAD else decoders.get(command.kind)
            if pair:
                assert pair[1](pair[0](reader)) == bytes(command.data), (path.name, hex(command.offset))


def test_conversion_takes_buffers_from_the_files_own_table(shared):
    """A program of a compiler that numbers inputs first: libane binds outputs first, so headers are renumbered."""
    apple = load_program(read_hwx(shared / "goldens" / "h13" / "allbilly-mul-macos14.hwx"))
    assert [(each.name, each.buffer) for each in apple.surfaces] == [("image", 4), ("image2", 5), ("probs", 6)]
    bases = REGISTERS.header["Bases"]
    back = load_program(read_anec(write_anec(apple)))
    word = back.tasks[0].header[8]
    assert (bases["WBase"].get(word), bases["RBase0"].get(word), bases["RBase1"].get(word)) == (4, 5, 6)
    assert [(each.role, each.buffer) for each in back.surfaces] == [(Role.OUTPUT, 4), (Role.INPUT, 5), (Role.INPUT, 6)]
    kept = read_anec(write_anec(apple, keep_buffers=True)).image()
    assert bytes(kept.text) == bytes(apple.encode_text())


def test_run_time_kernels_are_renumbered_too(shared):
    program = load_program(read_hwx(shared / "goldens" / "h13" / "allbilly-mul-macos14.hwx"))
    task = program.tasks[0].set("Header.KBase0", 5).set("Header.KBE0", 1)
    renumbered = libane_order(replace(program, tasks=(task,)))
    assert renumbered.tasks[0].get("Header.KBase0") == 6


@pytest.mark.parametrize("dialect", FILE_DIALECTS)
def test_names_of_outputs_have_no_suffix_at_our_levels(shared, dialect):
    """A name that looks like the suffix comes back, too; and an input and an output may share the rest of the name."""
    program = load_program(read_anec(shared / "goldens" / "h13" / "eiln-sigmoid.anec"))
    output, source = program.surfaces
    surfaces = (replace(output, name="x@output"), replace(source, name="x"))
    renamed = replace(program, surfaces=surfaces, dialect=dialect)
    assert load_program(read_hwx(write_hwx(renamed))) == renamed


def test_both_header_sizes_of_anec(shared):
    program = load_program(read_anec(shared / "goldens" / "h13" / "eiln-sigmoid.anec"))
    for size in (0x800, 0x1000):
        file = read_anec(write_anec(program, header_bytes=size))
        assert file.header_bytes == size
        assert load_program(file) == program


def test_a_program_without_codec_says_what_to_do(shared):
    program = load_program(read_anec(shared / "goldens" / "h13" / "eiln-sigmoid.anec"))
    bare = replace(program, codec=None)
    with pytest.raises(InputError, match=r"targets\.attach"):
        write_hwx(bare)
    assert write_hwx(attach(bare)) == write_hwx(program)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dialect": "macos-27"}, r"no dialect 'macos-27'.*Did you mean macos-26"),
        ({"tasks": (), "task_offsets": ()}, "a program without tasks"),
        ({"name": "a\0b"}, "a name needs characters"),
    ],
)
def test_programs_that_no_file_can_hold(shared, change, message):
    program = load_program(read_anec(shared / "goldens" / "h13" / "eiln-sigmoid.anec"))
    with pytest.raises(InputError, match=message):
        write_hwx(replace(program, **change))


def test_surfaces_that_no_file_can_hold(shared):
    program = load_program(read_anec(shared / "goldens" / "h13" / "eiln-add.anec"))
    first = program.surfaces[0]
    for other in (replace(first, buffer=5), replace(program.surfaces[1], buffer=2), replace(first, buffer=9)):
        with pytest.raises(InputError):
            write_hwx(replace(program, surfaces=(*program.surfaces, other)))


def patched(data, offset, code, value):
    result = bytearray(data)
    struct.pack_into("<" + code, result, offset, value)
    return bytes(result)


TEXT_SEGMENT = 0x68
FIRST_SECTION = TEXT_SEGMENT + 0x48
PROGRAM_STATE = 0x2C8


@pytest.mark.parametrize(
    ("offset", "code", "value", "message"),
    [
        (0x0, "I", 0xFEEDFACF, "not a .hwx file"),
        (0x10, "I", 0xFFFFFFFF, "load commands run over their end"),
        (0x14, "I", 0xFFFFFFF0, "load commands does not fit in the file"),
        (0x24, "I", 4, "impossible size"),
        (0x24, "I", 0x80000000, "impossible size"),
        (TEXT_SEGMENT + 0x40, "I", 0x7FFFFFFF, "table of 2147483647 sections does not fit"),
        (FIRST_SECTION + 0x30, "I", 0x7FFFFFFF, r"section __TEXT,__text"),
        (FIRST_SECTION + 0x30, "I", 0x40, "overlaps the load commands"),
        (FIRST_SECTION + 0x28, "Q", 1 << 63, "does not fit in the file"),
        (FIRST_SECTION + 0x50 + 0x30, "I", 0x4000, r"overlaps section __TEXT,__text"),
        (FIRST_SECTION + 0x3C, "I", 0x10000000, "relocations does not fit"),
        (PROGRAM_STATE + 0x818, "I", 0xFFFFFFFF, "not inside the text section"),
        (PROGRAM_STATE + 0x818, "I", 0, "not inside the text section"),
        (PROGRAM_STATE + 0x818, "I", 0x9B, "runs over the end of its task"),
        (PROGRAM_STATE + 0x81C, "I", 2, "another length than the container says"),
        (PROGRAM_STATE + 0x83C, "I", 0xFFFFFFF0, "network name does not fit"),
        (PROGRAM_STATE + 0x30, "Q", 0, "no entry in the table of buffers"),
        (0x4000 + 4 * 7, "I", 0x10, "not inside the text section"),
        (0x4000 + 4 * 7, "I", 0xFFFFFFFC, "not inside the text section"),
        (0xB30 + 0x28, "I", 0, "empty extent"),
        (0xB30 + 0x2C, "I", 0xFFFFFFFF, "larger than the address space"),
        (0xB30 + 0x20, "I", 0xFFFFFFF0, "surface name does not fit"),
    ],
)
def test_hostile_numbers_in_a_hwx(conv, offset, code, value, message):
    with pytest.raises(FormatError, match=message):
        load_program(read_hwx(patched(conv, offset, code, value)))


def test_a_cycle_of_tasks(shared):
    data = (shared / "goldens" / "h13" / "tinygrad-concat.hwx").read_bytes()
    with pytest.raises(FormatError, match="cycle"):
        load_program(read_hwx(patched(data, 0x4300 + 4 * 7, "I", 0x300)))


def test_a_chip_that_nobody_described(conv):
    with pytest.raises(UnsupportedError, match=r"cpu subtype 3.*4 \(h13\)"):
        load_program(read_hwx(patched(conv, 8, "I", 3)))


@pytest.mark.parametrize(
    ("offset", "code", "value", "message"),
    [
        (0, "Q", 1 << 62, "do not agree"),
        (8, "I", 0, "not inside the text section"),
        (8, "I", 0x276, "a multiple of 4"),
        (12, "I", 7, "another length"),
        (16, "Q", 1 << 63, "do not agree"),
        (32, "I", 40, "too many surfaces"),
        (0x28 + 128 + 4 * 48 + 8, "Q", 1 << 40, "makes no tensor"),
    ],
)
def test_hostile_numbers_in_an_anec(shared, offset, code, value, message):
    data = (shared / "goldens" / "h13" / "eiln-sigmoid.anec").read_bytes()
    with pytest.raises(FormatError, match=message):
        load_program(read_anec(patched(data, offset, code, value)))


@pytest.mark.parametrize("ending", [".hwx", ".anec"])
def test_every_truncation_is_told_or_harmless(shared, ending):
    path = shared / "goldens" / "h13" / {".hwx": "tinygrad-conv.hwx", ".anec": "eiln-add.anec"}[ending]
    data = path.read_bytes()
    reader = {".hwx": read_hwx, ".anec": read_anec}[ending]
    for length in {*range(0, 0x1300, 37), *range(0x1300, len(data), 997)}:
        try:
            load_program(reader(data[:length]))
        except OpenaneError as error:
            assert str(error)


def test_missing_and_odd_files(tmp_path):
    for path, message in ((tmp_path / "none.hwx", "No such file"), (tmp_path, "directory")):
        with pytest.raises(InputError, match=message):
            read_hwx(path)
    (tmp_path / "empty.hwx").write_bytes(b"")
    with pytest.raises(FormatError, match="empty"):
        read_hwx(tmp_path / "empty.hwx")


def test_large_constants_are_not_copied(conv, tmp_path):
    """Half a gigabyte of constants in a sparse file: opening it touches only the head."""
    import tracemalloc

    size = 500 << 20
    program = load_program(read_hwx(conv))
    path = tmp_path / "large.hwx"
    pieces = write_hwx(replace(program, constants=b"\1" * 64))
    head = bytearray(pieces)
    file = read_hwx(bytes(head))
    section = file.sections[1]
    at = head.index(b"__const\0") + 0x28
    struct.pack_into("<Q", head, at, size)
    with path.open("wb") as out:
        out.write(head)
        out.truncate(section.file_offset + size)
    tracemalloc.start()
    opened_program = load_program(opened(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(opened_program.constants) == size
    assert peak < 2 << 20
