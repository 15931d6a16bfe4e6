"""The declarations against every program at hand: Apple's files and the records of Apple's compiler."""

import itertools
import json
import re

import pytest
from tests.support.compiled_programs import golden_files, opened

from openane.formats.hwx import read_hwx, write_hwx
from openane.program import Burst, Program, Role, Surface, Task
from openane.targets import attach, encode_text, load_program
from openane.targets.h13.registers import REGISTERS
from openane.targets.h13.stream import STREAM


def tasks_of_records(shared):
    for path in sorted((shared / "oracles" / "h13").glob("*.json")):
        for task in json.loads(path.read_text())["tasks"]:
            header = tuple(int(word, 16) for word in task["header"])
            written = {int(address, 16): int(word, 16) for address, word in task["regs"].items()}
            bursts = []
            for address, count in task["records"]:
                base = int(address, 16)
                bursts.append(Burst(base, tuple(written[base + 4 * i] for i in range(count))))
            extra = task["extra"]
            extra = () if extra is None else (int(extra, 16),) if isinstance(extra, str) else tuple(extra)
            yield path.stem, task, Task(header, tuple(bursts), extra)


def programs_of_records(shared, record, tasks):
    """The program of a record with made-up constants; one for each way the tensors may belong to the names."""
    mil = record["mil"]
    start = mil.index("func")
    names = re.findall(r"> (\w+)", mil[start : mil.index("{", start)])
    results = [name.strip() for name in re.findall(r"-> \(([^)]*)\)", mil)[0].split(",")]
    order = sorted(names + results)
    offsets = [0]
    for task in tasks[:-1]:
        offsets.append(STREAM.next_offset(offsets[-1] + task.size_bytes))
    addresses = [int(address, 16) for address in record["program"]["resource_addresses"]]
    scratch = min(filter(None, addresses)) - 0x30000000
    for inputs in itertools.permutations(names):
        surfaces = []
        for name, tensor in zip((*inputs, *results), record["tensors"], strict=True):
            n, c, h, w = tensor["shape"]
            batch, plane, row, element = tensor["strides"]
            role = Role.INPUT if tensor["binding"] == 1 else Role.OUTPUT
            strides = (batch, batch, plane, row, element)
            size = tensor["total_bytes"] * n
            surfaces.append(Surface(name, role, (n, 1, c, h, w), strides, size, 4 + order.index(name)))
        constants = bytes(record["constant_section"]["size"])
        yield attach(Program("h13", tuple(tasks), tuple(offsets), tuple(surfaces), constants, scratch_bytes=scratch))


def test_addresses_of_new_files_are_those_of_apples_newest_compiler(shared):
    """Text, constants and every surface lie where the records of the macOS 26 compiler have them."""
    tasks = {}
    for name, _, task in tasks_of_records(shared):
        tasks.setdefault(name, []).append(task)
    for name, chain in tasks.items():
        record = json.loads((shared / "oracles" / "h13" / f"{name}.json").read_text())
        stated = record["program"]
        surfaces = [int(address, 16) for address in stated["resource_addresses"]][: len(record["tensors"])]
        expected = (
            int(stated["text_address"], 16),
            int(stated["constant_address"], 16),
            surfaces,
            stated["task_count"],
            4 * (stated["task_words_minus_one"] + 1),
        )
        found = []
        for program in programs_of_records(shared, record, chain):
            state = read_hwx(write_hwx(program)).program_state
            addresses = [state.buffers[4 + i] for i in range(len(surfaces))]
            found.append((state.text_address, state.buffers[1], addresses, state.task_count, state.first_task_bytes))
        assert expected in found, name


def tasks_of_files(shared):
    for path in golden_files(shared):
        for task in load_program(opened(path)).tasks:
            yield path.name, task


def test_every_file_and_its_tasks_are_written_back(shared):
    for path in golden_files(shared):
        file = opened(path)
        image = file.image()
        assert encode_text(load_program(file)) == bytes(image.text), path.name
        assert bytes(file) == path.read_bytes()


def test_records_have_the_size_that_they_tell(shared):
    checked = 0
    for name, record, task in tasks_of_records(shared):
        assert task.size_bytes == record["size_bytes"], name
        words = STREAM.words(task)
        assert STREAM.parse(words, name) == task
        checked += 1
    assert checked > 300


@pytest.mark.parametrize("source", ["files", "records"])
def test_no_program_sets_reserved_bits_or_undeclared_registers(shared, source):
    tasks = (
        tasks_of_files(shared) if source == "files" else ((name, task) for name, _, task in tasks_of_records(shared))
    )
    for name, task in tasks:
        assert not REGISTERS.validate(task.registers()), name
        for register, word in zip(REGISTERS.header.registers, task.header, strict=True):
            reserved = [field.name for field in register.fields if field.reserved and field.get(word)]
            assert not reserved, (name, register.path, hex(word))


def test_header_rules_that_hold_in_every_program(shared):
    base, config = REGISTERS.header["Bases"], REGISTERS["Common.Cfg"]
    for name, task in tasks_of_files(shared):
        registers = task.registers()
        on_ne = config["TaskType"].get(registers[0x34]) == 0
        engines = base["ENE"].get(task.header[8])
        assert engines == (config["ActiveNE"].get(registers[0x34]) + 1 if on_ne else 0), name


def test_summaries_name_what_the_programs_are(shared):
    expected = {
        "tinygrad-sum.hwx": ["PE add"],
        "tinygrad-conv.hwx": ["NE conv 1x1"],
        "eiln-softmax.anec": ["PE reduce max", "PE sub", "NE table", "PE reduce sum + reciprocal", "PE mul"],
        "eiln-relu.anec": ["NE relu"],
    }
    for path in golden_files(shared):
        if path.name in expected:
            texts = [STREAM.summarize(task).text({}) for task in load_program(opened(path)).tasks]
            assert all(text.startswith(start) for text, start in zip(texts, expected[path.name], strict=True)), texts


#: The sheet takes these from a later generation; programs and the encoding rules have one bit less.
NARROWER = {("Common", 0x34): 1 << 7, ("Common", 0x2C): 1 << 8}


def test_every_register_and_named_bit_of_the_sheet_is_declared(shared):
    sheet = json.loads((shared / "hw" / "registers" / "h13.json").read_text())
    checked = 0
    for block in sheet["blocks"]:
        for register in block["registers"]:
            declared = REGISTERS.by_address[int(register["address"], 16)]
            assert declared.block == block["name"]
            named = sum(
                (1 << field["width"]) - 1 << field["lsb"]
                for field in register["fields"]
                if field.get("kind") != "reserved"
            )
            named &= ~NARROWER.get((block["name"], int(register["offset"], 16)), 0)
            assert not named & declared.reserved, declared.path
            checked += 1
    assert checked == len(REGISTERS.by_address)
    for field in sheet["header"]["fields"]:
        if field.get("kind") != "reserved" and field["word"] < len(REGISTERS.header.registers):
            assert REGISTERS.header.registers[field["word"]][field["name"]].lsb == field["lsb"]
