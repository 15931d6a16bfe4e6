"""Task descriptors as text: what differs from the defaults, by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from openane.core.errors import OpenaneError
from openane.core.origin import Origin
from openane.core.suggestions import suggest
from openane.formats.assembly.syntax import AssemblyLine, AssemblyToken, commented, indent, quote
from openane.program import Burst, Task
from openane.program.fields import Field, Register
from openane.program.program import StreamCodec
from openane.program.registers import RegisterMap

_ARRAY = re.compile(r"(.+)\[(\d+)(?:\.\.(\d+))?\]$")
_LARGEST_BURST = 1 << 16
_WIDTH = 112


def task_lines(
    codec: StreamCodec, tasks: Sequence[Task], offsets: Sequence[int], index: int, names: Mapping[int, str]
) -> Iterator[str]:
    """The text of one task.

    Args:
        codec: of the generation.
        tasks, offsets: the whole chain.
        index: which task.
        names: of buffers, for the comment.
    """
    task = tasks[index]
    expected = codec.next_offset(offsets[index - 1] + tasks[index - 1].size_bytes if index else None)
    place = "" if offsets[index] == expected else f" at={offsets[index]:#x}"
    yield commented(f".task {index}{place}", codec.summarize(task).text(names))
    if task.origin.layers:
        yield from indent([" ".join(["layers", *map(quote, task.origin.layers)])])
    yield from indent(_wrapped("header", _header_words(codec, tasks, offsets, index)))
    if task.extra:
        yield from indent([" ".join(["extra", *(f"{word:#x}" for word in task.extra)])])
    for burst in task.bursts:
        yield from indent(_burst_lines(codec.registers, burst))


def _wrapped(word: str, tokens: Sequence[str]) -> Iterator[str]:
    """Tokens after a word, on as many lines as they need."""
    line = word
    for token in tokens:
        if len(line) + len(token) >= _WIDTH:
            yield line
            line = word
        line += f" {token}"
    yield line


def _token(field: Field, value: int, name: str = "") -> str:
    name = name or field.name
    return name if field.width == 1 and value == 1 and not field.values else f"{name}={field.show(value)}"


def _header_words(codec: StreamCodec, tasks: Sequence[Task], offsets: Sequence[int], index: int) -> list[str]:
    """The header fields that do not follow from the chain and are not at their default."""
    expected = codec.registers.header.encode(codec.chain_fields(tasks, offsets, index))
    known = codec.registers.header.field_paths
    return [
        _token(field, field.get(word), field.name if field.name in known else f"{register.name}.{field.name}")
        for register, word, base in zip(codec.registers.header.registers, tasks[index].header, expected, strict=True)
        if word != base
        for field in register.fields
        if field.get(word) != field.get(base)
    ]


def _burst_lines(registers: RegisterMap, burst: Burst) -> Iterator[str]:
    extras = "".join(
        [
            f" tag={burst.tag:#x}" if burst.tag else "",
            f" mask={burst.mask:#x}" if burst.mask is not None else "",
        ]
    )
    block = registers.register_at(burst.address).block
    yield commented(f"burst {burst.address:#x} {len(burst.words)}{extras}", block or "not declared")
    changed: list[tuple[Register, int]] = []
    for address, word in zip(burst.addresses(), burst.words, strict=True):
        register = registers.register_at(address)
        if word != register.default:
            changed.append((register, word))
    yield from indent(_register_lines(changed, block))


def _register_lines(changed: Sequence[tuple[Register, int]], block: str) -> Iterator[str]:
    """One line a register; members of an array with equal fields, or one that grows evenly, share a line."""
    for _, group in groupby(changed, key=lambda pair: _array_name(pair[0], block)):
        members = list(group)
        for run in _runs(members):
            first, word = run[0]
            name = first.name if first.block == block and block else f"{first.address:#x}"
            array = _ARRAY.match(name)
            if len(run) > 1 and array:
                name = f"{array.group(1)}[{array.group(2)}..{int(array.group(2)) + len(run) - 1}]"
            yield " ".join([name, *_field_tokens(first, [each for _, each in run], word)])


def _array_name(register: Register, block: str) -> tuple[str, int]:
    match = _ARRAY.match(register.name)
    return (match.group(1), 0) if match and register.block == block else (register.name, register.address)


def _steps(run: Sequence[tuple[Register, int]]) -> tuple[int, ...]:
    """How far each field moves from the first word of a run to the second."""
    (first, one), (_, two) = run[0], run[1]
    return tuple(field.get(two) - field.get(one) for field in first.fields)


def _runs(members: Sequence[tuple[Register, int]]) -> Iterator[list[tuple[Register, int]]]:
    """Splits array members into runs with neighboring indices whose fields change by the same steps."""
    run: list[tuple[Register, int]] = []
    for member in members:
        if len(run) == 1 and member[0].address == run[0][0].address + 4:
            if sum(map(bool, _steps([run[0], member]))) <= 1:
                run.append(member)
                continue
        elif (
            len(run) > 1
            and member[0].address == run[-1][0].address + 4
            and _steps([run[-1], member]) == _steps([run[0], run[1]])
        ):
            run.append(member)
            continue
        if run:
            yield run
        run = [member]
    if run:
        yield run


def _field_tokens(register: Register, words: Sequence[int], first: int) -> list[str]:
    tokens = []
    for field in register.fields:
        value = field.get(first)
        step = field.get(words[1]) - value if len(words) > 1 else 0
        if step:
            tokens.append(f"{field.name}={value:#x}{step:+#x}")
        elif value != field.default:
            tokens.append(_token(field, value))
    return tokens


class TaskReader:
    """Builds one task from the lines of its block.

    Args:
        codec: of the generation.
        line: the `.task` line.
    """

    def __init__(self, codec: StreamCodec, line: AssemblyLine) -> None:
        self._registers = codec.registers
        self.line = line
        self._header: dict[str, tuple[AssemblyLine, AssemblyToken, int]] = {}
        self._extra: tuple[int, ...] = ()
        self._origin = Origin()
        self._bursts: list[Burst] = []
        self._words: list[dict[int, int]] = []
        self.offset: int | None = None
        if len(line.tokens) < 2:
            raise line.error(".task needs its number")
        self.index = line.number_of(line.tokens[1])
        pairs = line.pairs(("at",), 2)
        if "at" in pairs:
            self.offset = line.number_of(pairs["at"])

    def add(self, line: AssemblyLine) -> None:
        """Takes one line of the block.

        Raises:
            FormatError: unknown names, values that do not fit, a register outside its burst.
        """
        if line.word == "header":
            for token in line.tokens[1:]:
                name, value = self._field(line, token, self._registers.header.field_paths)
                self._header[name] = (line, token, value)
        elif line.word == "layers":
            self._origin = Origin(tuple(line.string_of(token) for token in line.tokens[1:]))
        elif line.word == "extra":
            self._extra = tuple(self._word(line, token) for token in line.tokens[1:])
        elif line.word == "burst":
            self._begin_burst(line)
        else:
            self._add_register(line)

    def _word(self, line: AssemblyLine, token: AssemblyToken) -> int:
        value = line.number_of(token)
        if not 0 <= value < 1 << 32:
            raise line.error("a word of 32 bits is needed", token, value=token.text)
        return value

    def _field(
        self, line: AssemblyLine, token: AssemblyToken, known: Mapping[str, tuple[Register, Field]]
    ) -> tuple[str, int]:
        """Name and value of a token "Name" or "Name=value"."""
        name, sign, text = token.text.partition("=")
        if name not in known:
            raise line.error(f"there is no field {name!r}", token, hint=suggest(name, known))
        field = known[name][1]
        try:
            return name, field.get(field.put(0, text if sign else 1))
        except OpenaneError as error:
            raise line.wrap(error, token) from None

    def _begin_burst(self, line: AssemblyLine) -> None:
        if len(line.tokens) < 3:
            raise line.error("burst needs an address and a count, like burst 0x8800 4")
        address, count = (line.number_of(token) for token in line.tokens[1:3])
        pairs = line.pairs(("tag", "mask"), 3)
        tag = line.number_of(pairs["tag"]) if "tag" in pairs else 0
        mask = line.number_of(pairs["mask"]) if "mask" in pairs else None
        if not 0 <= address < 1 << 32 or not 0 < count <= _LARGEST_BURST:
            raise line.error("an impossible burst", value=f"{count} words at {address:#x}")
        burst = Burst(address, (0,) * count, tag, mask)
        addresses = burst.addresses()
        if len(addresses) != count:
            raise line.error("the mask has another number of registers", value=count, limit=len(addresses))
        self._bursts.append(burst)
        self._words.append({each: self._registers.register_at(each).default for each in addresses})

    def _add_register(self, line: AssemblyLine) -> None:
        if not self._bursts:
            raise line.error(
                f"unknown word {line.word!r} in a task", limit="layers, header, extra, burst, or registers of a burst"
            )
        registers = self._members(line)
        words = self._words[-1]
        for index, register in enumerate(registers):
            if register.address not in words:
                raise line.error(f"{register.path} is not written by this burst", value=f"{register.address:#x}")
            word = words[register.address]
            for token in line.tokens[1:]:
                word = self._changed(line, token, register, word, index)
            words[register.address] = word

    def _members(self, line: AssemblyLine) -> list[Register]:
        """The register that a line names, or all of "Name[0..3]"."""
        name = line.word
        if name[:1].isdigit():
            return [self._registers.register_at(line.number_of(line.tokens[0]))]
        block = self._registers.register_at(self._bursts[-1].address).block
        try:
            declared = self._registers.block(block)
            match = _ARRAY.match(name)
            if not match or match.group(3) is None:
                return [declared[name]]
            first, last = (line.number_of(line.tokens[0], match.group(i)) for i in (2, 3))
            if last - first >= len(declared.registers):
                raise line.error("a range of more registers than there are", value=name)
            return [declared[f"{match.group(1)}[{i}]"] for i in range(first, last + 1)]
        except OpenaneError as error:
            if error.diagnostic.where.startswith(line.where):
                raise
            raise line.wrap(error, line.tokens[0]) from None

    def _changed(self, line: AssemblyLine, token: AssemblyToken, register: Register, word: int, index: int) -> int:
        name, sign, text = token.text.partition("=")
        try:
            field = register[name]
            step = re.fullmatch(r"(0x[0-9a-fA-F]+|\d+)([+-](?:0x[0-9a-fA-F]+|\d+))", text)
            if step:
                value = line.number_of(token, step.group(1)) + index * line.number_of(token, step.group(2))
                return field.put(word, value)
            return field.put(word, text if sign else 1)
        except OpenaneError as error:
            raise line.wrap(error, token) from None

    def task(self) -> Task:
        """The task, with header fields that were not given at their defaults."""
        registers = self._registers
        values = {name: value for name, (_, _, value) in self._header.items()}
        bursts = tuple(
            replace(burst, words=tuple(words.values())) for burst, words in zip(self._bursts, self._words, strict=True)
        )
        return Task(registers.header.encode(values), bursts, self._extra, self._origin, registers)

    def linked(self, codec: StreamCodec, tasks: Sequence[Task], offsets: Sequence[int], index: int) -> Task:
        """The task with the header fields that follow from the chain, where the text does not give them."""
        chain = codec.chain_fields(tasks, offsets, index)
        values = {name: value for name, value in chain.items() if name not in self._header}
        header = list(tasks[index].header)
        for name, value in values.items():
            register, field = self._registers.header.field_paths[name]
            place = self._registers.header.registers.index(register)
            header[place] = field.put(header[place], value)
        return replace(tasks[index], header=tuple(header))
