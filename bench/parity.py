"""How far our programs are those of Apple's compiler, word by word.

    python bench/parity.py                  every record and pair, one line a family
    python bench/parity.py --differences    and every field that differs, by name
    python bench/parity.py --case PREFIX    only cases whose name begins so, each with its differences
    python bench/parity.py --ratchet        raise tests/targets/h13/parity_ratchet.json to what is reached now

A record is compiled from its own text and weights (dialect macos-26), a pair from its net.plist (dialect macos-11).
Compared are header words, register writes with their order and lengths, the constant section, addresses and surfaces.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from apple_records import UNKNOWN_HASH, Record, records, shared_folder

import openane
from openane.core.errors import OpenaneError
from openane.program import Program, Surface, Task
from openane.targets.h13.registers import HEADER_WORDS, REGISTERS

RATCHET = Path(__file__).resolve().parent.parent / "tests" / "targets" / "h13" / "parity_ratchet.json"
_BASE_ADDRESS = 0x30000000
_PAGE_BYTES = 0x4000
_FIRST_SURFACE = 4


@dataclass
class Comparison:
    """What one case gave.

    Attributes:
        case, family: name and group.
        words, equal: words that Apple's program writes (and that ours writes beyond), and how many are the same.
        tasks, exact_tasks: Apple's tasks, and those with every word and burst the same.
        fields: name of a differing field -> how often.
        faults: what differs outside the tasks, and why a case did not compile.
    """

    case: str
    family: str
    words: int = 0
    equal: int = 0
    tasks: int = 0
    exact_tasks: int = 0
    fields: Counter[str] = field(default_factory=Counter)
    details: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether everything that is compared is the same."""
        return not self.faults and self.equal == self.words and self.exact_tasks == self.tasks


# Words -------------------------------------------------------------------------------------------------


def words_of(task: Task) -> dict[int | str, int]:
    """Every word of a task by place: "h0".. header, "x0".. further header words, and register addresses."""
    words: dict[int | str, int] = {f"h{i}": word for i, word in enumerate(task.header)}
    words.update((f"x{i}", word) for i, word in enumerate(task.extra))
    words.update(task.registers())
    return words


def differing_fields(place: int | str, ours: int | None, theirs: int | None) -> Iterator[tuple[str, int, int]]:
    """Names and values of the fields in which two words differ; the whole register when one is not written."""
    if isinstance(place, str):
        index = int(place[1:])
        register = REGISTERS.header.registers[index] if place[0] == "h" and index < HEADER_WORDS else None
        name = f"Header.{register.name}" if register else "Header.Extra"
    else:
        register = next((r for block in REGISTERS.blocks for r in block.registers if r.address == place), None)
        name = f"{register.block}.{register.name}" if register else f"{place:#x}"
    if ours is None or theirs is None or register is None:
        yield (
            f"{name} {'missing' if ours is None else 'extra' if theirs is None else ''}".strip(),
            ours or 0,
            theirs or 0,
        )
        return
    for bits in register.fields:
        mask = (1 << bits.width) - 1
        mine, other = ours >> bits.lsb & mask, theirs >> bits.lsb & mask
        if mine != other:
            yield f"{name}.{bits.name}", mine, other


def compare_tasks(ours: Sequence[Task], theirs: Sequence[Task], result: Comparison) -> None:
    """Adds the words of two task chains to `result`."""
    result.tasks += len(theirs)
    if len(ours) != len(theirs):
        result.faults.append(f"{len(ours)} tasks instead of {len(theirs)}")
    for index, (mine, other) in enumerate(zip_longest(ours, theirs)):
        my_words = words_of(mine) if mine else {}
        other_words = words_of(other) if other else {}
        same = 0
        places = dict.fromkeys([*other_words, *my_words])
        for place in places:
            a, b = my_words.get(place), other_words.get(place)
            if a == b:
                same += 1
                continue
            for name, left, right in differing_fields(place, a, b):
                result.fields[name] += 1
                result.details.append(f"task {index}: {name}: ours {left:#x}, Apple's {right:#x}")
        result.words += len(places)
        result.equal += same
        if mine and other and same == len(places):
            result.exact_tasks += _form(mine) == _form(other)


def _form(task: Task) -> list[tuple[int, int]]:
    return [(burst.address, len(burst.words)) for burst in task.bursts]


# Records -----------------------------------------------------------------------------------------------


def compile_record(record: Record) -> Program:
    """Compiles a record from its text and weights, as a user would."""
    with tempfile.TemporaryDirectory() as folder:
        return openane.compile(record.write(Path(folder)), dialect="macos-26", like_apple=True).program


def compare_record(record: Record, program: Program) -> Comparison:
    """Compares a program with a record."""
    result = Comparison(record.case, record.family)
    compare_tasks(program.tasks, record.tasks, result)
    _compare_section(program, record, result)
    _compare_addresses(program, record, result)
    _compare_surfaces(program, record, result)
    return result


def _compare_section(program: Program, record: Record, result: Comparison) -> None:
    section = bytes(program.constants)
    if len(section) != record.section["size"]:
        result.faults.append(f"constant section of {len(section)} bytes instead of {record.section['size']}")
    elif record.section["sha256"] not in (UNKNOWN_HASH, hashlib.sha256(section).hexdigest()):
        prefix = hashlib.sha256(section[:128]).hexdigest() == record.section["prefix_128_sha256"]
        result.faults.append(f"constant section differs ({'after' if prefix else 'in'} the first 128 bytes)")


def addresses(program: Program) -> tuple[list[int], int, int]:
    """Addresses of the surfaces by buffer index, of the text and of the constants (encoding.md#program)."""
    cursor = _BASE_ADDRESS + -(-program.scratch_bytes // _PAGE_BYTES) * _PAGE_BYTES
    found = []
    for surface in sorted(program.surfaces, key=lambda surface: surface.buffer):
        found.append(cursor)
        cursor += -(-surface.size_bytes // _PAGE_BYTES) * _PAGE_BYTES
    return found, cursor, cursor + -(-program.text_bytes // 0x40) * 0x40


def _compare_addresses(program: Program, record: Record, result: Comparison) -> None:
    surfaces, text, constants = addresses(program)
    expected = [int(address, 16) for address in record.program["resource_addresses"]]
    if surfaces != [address for address in expected if address][: len(surfaces)]:
        result.faults.append(f"surfaces at {[hex(a) for a in surfaces]} instead of {[hex(a) for a in expected if a]}")
    for name, ours in (("text_address", text), ("constant_address", constants)):
        if int(record.program[name], 16) not in (ours, _BASE_ADDRESS):  # the base: the record does not know it
            result.faults.append(f"{name} {ours:#x} instead of {record.program[name]}")


def _compare_surfaces(program: Program, record: Record, result: Comparison) -> None:
    by_name = sorted(program.inputs, key=lambda surface: surface.name.encode())
    ours = [_described(surface) for surface in (*by_name, *program.outputs)]
    theirs = [
        (tuple(tensor["shape"]), tuple(tensor["strides"]), tensor["total_bytes"], tensor["binding"])
        for tensor in record.tensors
    ]
    if ours != theirs:
        result.faults.append(f"surfaces {ours} instead of {theirs}")


def _described(surface: Surface) -> tuple[tuple[int, ...], tuple[int, ...], int, int]:
    n, _, c, h, w = surface.shape
    batch, _, plane, row, element = surface.strides_bytes
    binding = 1 if surface.role.value == "input" else 2
    return (n, c, h, w), (batch, plane, row, element), surface.size_bytes // n, binding


# Pairs -------------------------------------------------------------------------------------------------


def compile_pair(folder: Path) -> Program:
    """Compiles the net.plist of a pair."""
    return openane.compile(folder / "net.plist", dialect="macos-11", like_apple=True).program


def compare_pair(folder: Path) -> Comparison:
    """Compiles a pair and compares it with its model.hwx."""
    from openane.formats.hwx.file import image_of
    from openane.formats.hwx.read import read_hwx
    from openane.targets.h13.stream import STREAM

    result = Comparison(f"pair {folder.name}", "pairs")
    theirs = image_of(read_hwx(folder / "model.hwx"))
    stream = STREAM.read(theirs.text, first_bytes=theirs.first_task_bytes, count=theirs.task_count)
    ours = compile_pair(folder)
    compare_tasks(ours.tasks, stream.tasks, result)
    if ours.task_offsets != stream.offsets:
        result.faults.append(f"tasks at {ours.task_offsets} instead of {stream.offsets}")
    if bytes(ours.constants) != bytes(theirs.constants):
        result.faults.append(f"constant section differs ({len(ours.constants)} bytes, Apple's {len(theirs.constants)})")
    mine = sorted((s.buffer, s.role.value, s.shape, s.strides_bytes) for s in ours.surfaces)
    other = sorted((s.buffer, s.role.value, s.shape, s.strides_bytes) for s in theirs.surfaces)
    if mine != other:
        result.faults.append(f"surfaces {mine} instead of {other}")
    return result


# Everything --------------------------------------------------------------------------------------------


def compare_all(prefix: str = "") -> Iterator[Comparison]:
    """Compares every record and pair whose name begins with `prefix`."""
    for record in records():
        if record.case.startswith(prefix):
            yield _guarded(record.case, record.family, lambda record=record: _one(record), record.tasks)
    for folder in sorted((shared_folder() / "goldens" / "pairs").glob("*")):
        if f"pair {folder.name}".startswith(prefix):
            yield _guarded(f"pair {folder.name}", "pairs", lambda folder=folder: compare_pair(folder), ())


def _one(record: Record) -> Comparison:
    return compare_record(record, compile_record(record))


def _guarded(case, family, run, tasks) -> Comparison:  # type: ignore[no-untyped-def]
    try:
        return run()  # type: ignore[no-any-return]
    except OpenaneError as error:
        lost = Comparison(case, family, faults=[f"not compiled: {error}"])
    except Exception as error:  # a crash of ours: counted, and shown with its type
        lost = Comparison(case, family, faults=[f"crash: {type(error).__name__}: {error}"])
    lost.tasks = max(len(tasks), 1)
    lost.words = sum(len(words_of(task)) for task in tasks) or 1
    return lost


def summary(results: Sequence[Comparison]) -> dict[str, dict[str, int]]:
    """Counts per family and in all."""
    table: dict[str, dict[str, int]] = {}
    for result in results:
        for family in (result.family, "all"):
            row = table.setdefault(
                family, dict.fromkeys(("programs", "exact", "tasks", "exact_tasks", "words", "equal"), 0)
            )
            row["programs"] += 1
            row["exact"] += result.exact
            row["tasks"] += result.tasks
            row["exact_tasks"] += result.exact_tasks
            row["words"] += result.words
            row["equal"] += result.equal
    return dict(sorted(table.items(), key=lambda item: (item[0] == "all", item[0])))


def ratchet(results: Sequence[Comparison]) -> dict[str, object]:
    """What must not be lost: the exact cases by name, and the differing words of the others."""
    return {
        "exact": sorted(result.case for result in results if result.exact),
        "differing_words": {
            result.case: result.words - result.equal
            for result in sorted(results, key=lambda r: r.case)
            if not result.exact
        },
    }


def regressions(results: Sequence[Comparison], reached: Mapping[str, object]) -> list[str]:
    """Cases that are worse than the ratchet file says."""
    found = []
    exact, differing = reached["exact"], reached["differing_words"]
    assert isinstance(exact, list) and isinstance(differing, dict)
    for result in results:
        lost = result.words - result.equal
        if result.case in exact and not result.exact:
            found.append(f"{result.case}: was exact; {'; '.join([*result.faults, *result.details][:3])}")
        elif result.case in differing and lost > differing[result.case]:
            found.append(f"{result.case}: {lost} words differ, {differing[result.case]} before")
    return found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", default="", help="only cases whose name begins with this")
    parser.add_argument("--differences", action="store_true", help="every field that differs")
    parser.add_argument("--ratchet", action="store_true", help="write the ratchet file")
    arguments = parser.parse_args()
    results = list(compare_all(arguments.case))
    if arguments.case or arguments.differences:
        for result in results:
            if not result.exact:
                print(f"{result.case}: {result.words - result.equal} of {result.words} words differ")
                for line in [*result.faults, *result.details]:
                    print(f"    {line}")
    print(f"{'family':<14}{'programs':>14}{'tasks':>14}{'words equal':>16}")
    for family, row in summary(results).items():
        percent = 100 * row["equal"] / row["words"]
        programs, tasks = f"{row['exact']}/{row['programs']}", f"{row['exact_tasks']}/{row['tasks']}"
        print(f"{family:<14}{programs:>14}{tasks:>14}{percent:>14.3f} %")
    words, equal = sum(result.words for result in results), sum(result.equal for result in results)
    if words:
        print(f"words that differ against Apple's compiler: {words - equal} of {words}, ratio {1 - equal / words:.6f}")
    fields = Counter[str]()
    for result in results:
        fields.update(result.fields)
    for name, count in fields.most_common(40 if arguments.differences else 12):
        print(f"    {count:6} x {name}")
    if arguments.ratchet:
        _write_ratchet(results)


def _write_ratchet(results: Sequence[Comparison]) -> None:
    """Writes the ratchet file, unless some case is worse than it says."""
    crashed = [result.case for result in results if any(fault.startswith("crash") for fault in result.faults)]
    if crashed:
        sys.exit(f"not written: {len(crashed)} cases crash, {crashed[0]} first")
    if RATCHET.exists():
        worse = regressions(results, json.loads(RATCHET.read_text()))
        if worse:
            sys.exit("the ratchet only improves:\n" + "\n".join(worse))
    RATCHET.write_text(json.dumps(ratchet(results), indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
