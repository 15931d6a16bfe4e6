"""Generations that are only read: their streams, declarations and text, on made-up programs."""

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.compiled_programs import REPEATABLE

from openane.analysis.reference import register_reference
from openane.core.errors import FormatError, UnsupportedError
from openane.formats.hwx import codec as hwx_codec
from openane.formats.hwx import layout, read_hwx, write_hwx
from openane.formats.hwx.parts import Header, ProgramState, Section, Segment, SurfaceState
from openane.program import Burst, Task
from openane.targets import GENERATIONS, generation, get, load_program
from openane.targets.assembly import assemble, disassemble

WORDS = st.integers(0, 0xFFFFFFFF)
READ_ONLY = [name for name, each in GENERATIONS.items() if not each.executable]
FRAMED = [name for name in READ_ONLY if name != "h11"]


@st.composite
def frames(draw, name):
    """Tasks of a framed generation, dense and sparse commands mixed."""
    codec = generation(name).codec
    fixed = len(codec.registers.header.registers)
    tasks = []
    for index in range(draw(st.integers(1, 3))):
        header = draw(st.lists(WORDS, min_size=fixed, max_size=fixed))
        bursts = []
        for _ in range(draw(st.integers(0, 4))):
            address = 4 * draw(st.integers(0, 0x7000))
            mask = draw(st.none() | st.integers(0, 0xFFFF))
            count = draw(st.integers(1, 8)) if mask is None else 1 + mask.bit_count()
            words = tuple(draw(st.lists(WORDS, min_size=count, max_size=count)))
            bursts.append(Burst(address, words, draw(st.integers(0, 0x3FF)) if mask is None else 0, mask))
        extra = (7,) if header[-1] >> 1 & 1 else ()
        task = Task(tuple(header), tuple(bursts), extra, map=codec.registers)
        task = task.set("Header.TaskSize", task.size_words).set("Header.TID", index)
        tasks.append(task)
    offsets = [16]
    for task in tasks[:-1]:
        offsets.append(codec.next_offset(offsets[-1] + task.size_bytes))
    return tasks, offsets


def file_of(name, tasks, offsets):
    """A .hwx with one input, as the published descriptions of later generations have it."""
    made_for = generation(name)
    text = bytes(made_for.codec.write(tasks, offsets))
    constants = bytes(range(64))
    base, place = layout.BASE_ADDRESS, 0x4000
    const = -(-len(text) // 64) * 64
    flavor = 1 if name == "h11" else 4
    sections = (
        Section("__text", "__TEXT", base, len(text), place, 14, 0, 0, 0x28),
        Section("__const", "__TEXT", base + const, 64, place + const, 6, 0, 0, 0x26),
    )
    surface = Section("__const", "__FVMLIB", base + 0x100000, 64, 0, 14, 0, 0, 0x21)
    state = ProgramState(
        flavor=flavor,
        name="net" if flavor == 1 else "",
        task_count=len(tasks),
        first_task_bytes=tasks[0].size_bytes if flavor == 1 else None,
        text_address=base,
        strings=0x860 if flavor == 1 else 0,
        state_bytes=0 if flavor == 1 else 0x890,
        buffers={0: base, 1: base + const, 4: base + 0x100000},
    )
    commands = [
        hwx_codec.encode_segment(Segment("__TEXT", base, 0x8000, place, 0x8000, 5, 5, 4, sections)),
        hwx_codec.encode_segment(Segment("__FVMLIB", surface.address, 0x4000, 0, 0, 1, 1, 6, (surface,))),
        hwx_codec.encode_program_state(state),
        hwx_codec.encode_surface_state(
            SurfaceState(False, "net", "x", "x", 5, (1, 1, 1, 4, 1), 64, 64, 64, 2, 64, 64, 1, 0x88)
        ),
    ]
    head = Header(layout.CPU_TYPE, made_for.cpu_subtype, 2, len(commands), sum(map(len, commands)), 0, 0)
    data = bytearray(place + 0x8000)
    start = hwx_codec.encode_header(head) + b"".join(commands)
    data[: len(start)] = start
    data[place : place + len(text)] = text
    data[place + const : place + const + 64] = constants
    return bytes(data)


@pytest.mark.parametrize("name", FRAMED)
@settings(REPEATABLE, max_examples=15)
@given(st.data())
def test_framed_programs_are_read_and_come_back_from_their_text(name, data):
    tasks, offsets = data.draw(frames(name))
    raw = file_of(name, tasks, offsets)
    file = read_hwx(raw)
    program = load_program(file)
    assert (program.target, program.tasks, program.task_offsets) == (name, tuple(tasks), tuple(offsets))
    text = disassemble(file)
    assert "cannot be read" not in text
    assert b"".join(assemble(text).file("hwx")) == raw


def test_linked_programs_of_h11():
    codec = generation("h11").codec
    task = Task((0,) * 7, (Burst(0x1000, (1, 2, 3)),), map=codec.registers)
    raw = file_of("h11", [task], [0])
    assert load_program(read_hwx(raw)).tasks == (task,)
    assert b"".join(assemble(disassemble(read_hwx(raw))).file("hwx")) == raw


def test_a_published_convolution_of_h17_names_its_registers():
    """The registers of the one published H17 program that the sheet confirms, by their published addresses."""
    registers = generation("h17").codec.registers
    for address, path in ((0x4, "Common.InWidth"), (0x4900, "NE.KernelCfg"), (0x5500, "KernelDMASrc.MasterConfig")):
        assert registers.by_address[address].path == path


def test_frames_that_run_over_their_end():
    codec = generation("h14").codec
    header = struct.pack("<8I", 10 << 16, *(0,) * 7)
    for words in ((63 << 15, 0), (1 << 31 | 0xFFFF << 15, 0)):
        with pytest.raises(FormatError, match="runs over the end of its task"):
            codec.read(header + struct.pack("<2I", *words))
    with pytest.raises(FormatError, match="does not fit"):
        codec.read(header)
    with pytest.raises(FormatError, match="0 tasks"):
        codec.read(bytes(64))


@pytest.mark.parametrize("name", READ_ONLY)
def test_they_are_neither_compiled_for_nor_written_anew(name):
    with pytest.raises(UnsupportedError, match="can be read, not compiled"):
        get(name)
    codec = generation(name).codec
    task = Task((0,) * len(codec.registers.header.registers), (), map=codec.registers)
    if name != "h11":
        task = task.set("Header.TaskSize", task.size_words)
    program = load_program(read_hwx(file_of(name, [task], [0 if name == "h11" else 16])))
    with pytest.raises(UnsupportedError, match=f"new .hwx files for {name}"):
        write_hwx(program)


@pytest.mark.parametrize("name", ["h11", "h15", "h16", "h17", "h18"])
def test_declarations_agree_with_the_published_maps(shared, name):
    """Every named field of a sheet is where the sheet has it. The sheet of H14 is refuted by records, see below."""
    sheet = json.loads((shared / "hw" / "registers" / f"{name}.json").read_text())
    registers = generation(name).codec.registers
    checked = 0
    for block in sheet["blocks"]:
        declared = registers.block(block["name"])
        for published in block["registers"]:
            fields = {
                (f["name"], f["lsb"], f["width"]) for f in published.get("fields", ()) if f.get("kind") != "reserved"
            }
            register = registers.register_at(declared.base + int(published["offset"], 16))
            assert fields <= {(f.name, f.lsb, f.width) for f in register.fields}, (register.path, published["name"])
            checked += len(fields)
    assert checked > 50


@pytest.mark.parametrize("name", ["h14", "h16", "h17"])
def test_records_of_apples_compiler_name_their_registers_and_come_back(shared, name):
    codec = generation(name).codec
    records = sorted((shared / "oracles" / name).glob("*.json"))
    assert records
    for path in records:
        words = [int(word, 16) for word in json.loads(path.read_text())["words"]]
        text = struct.pack(f"<{len(words)}I", *words)
        stream = codec.read(text, where=path.stem)
        assert bytes(codec.write(stream.tasks, stream.offsets, len(text))) == text, path.stem
        for task in stream.tasks:
            for address, word in task.registers().items():
                register = codec.registers.register_at(address)
                assert register.block and not register.name.startswith("Reserved"), f"{path.stem}: {address:#x}"
                assert not word & register.reserved or name != "h14", f"{path.stem}: {register.path} {word:#x}"


def test_h14_describes_an_image_as_its_mil_does(shared):
    """Shapes in the MIL of a record are an independent witness of the fields' bits."""
    codec = generation("h14").codec
    for case, kernel, size, channels in (
        ("conv_probe_k3_c64_n64_s16_st1_g64_bias1_same", 3, 16, 64),
        ("conv_probe_k3_c512_n512_s16_st1_g512_bias0_same", 3, 16, 512),
        ("conv_k1_c64_n64_s32", None, 32, 64),
    ):
        words = json.loads((shared / "oracles" / "h14" / f"{case}.json").read_text())["words"]
        task = codec.read(struct.pack(f"<{len(words)}I", *(int(word, 16) for word in words))).tasks[0]
        assert (task.get("Common.InDim.Win"), task.get("Common.InDim.Hin"), task.get("Common.Cin.Cin")) == (
            size,
            size,
            channels,
        )
        if kernel:
            assert (task.get("Common.ConvCfg.Kw"), task.get("Common.ConvCfg.Kh")) == (kernel, kernel)
            assert (task.get("Common.ConvCfg.Sx"), task.get("Common.ConvCfg.Px")) == (1, 1)
        row = task.get("TileDMASrc.RowStride.Stride")
        assert row == max(64, 2 * size)
        assert task.get("TileDMASrc.PlaneStride.Stride") == row * size


@pytest.mark.parametrize("name", list(GENERATIONS))
def test_the_reference_lists_every_register(name):
    made_for = generation(name)
    text = register_reference(made_for)
    for block in made_for.codec.registers.blocks:
        assert f"## {block.name}" in text
        for register in block.registers:
            assert register.name.split("[")[0] in text
    assert made_for.codec.cpu_subtype == made_for.cpu_subtype
