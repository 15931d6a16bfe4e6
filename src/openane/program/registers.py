"""All registers of a generation, and how people name them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from openane.core.errors import Diagnostic, InputError
from openane.core.parsing import parse_integer
from openane.core.suggestions import suggest
from openane.program.fields import WORD_BITS, Block, Field, Register, Value


class WordSpace(Enum):
    """Which words of a task descriptor a name is about."""

    HEADER = "header"
    EXTRA = "extra"
    REGISTER = "register"


@dataclass(frozen=True, slots=True)
class RegisterPath:
    """What a path names.

    Attributes:
        space: header words, extra words, or registers.
        register: the word.
        field: the field in it, None for the whole word.
        index: position among the header or extra words; 0 for registers.
    """

    space: WordSpace
    register: Register
    field: Field | None
    index: int = 0

    def change(self, word: int, value: Value) -> int:
        """The word with the named field, or all of it, set to `value` (also given as text).

        Raises:
            InputError: the value does not fit, or an integer for a floating-point field.
        """
        where = f"{self.register.path}.{self.field.name}" if self.field else self.register.path
        field = self.field or Field(self.register.path, 0, WORD_BITS)
        if field.kind.is_float and type(value) is int:
            raise InputError(
                "an integer could be meant as a number or as bits",
                where=where,
                value=value,
                hint=f"Write {float(value)} for the number or '{value:#x}' for the bits.",
            )
        try:
            return field.put(word, value)
        except InputError as error:
            raise error.at(self.register.path) from None


@dataclass(frozen=True, slots=True)
class RegisterMap:
    """All registers of a generation.

    Attributes:
        name: of the generation ("h13").
        header: the header words of a task descriptor, addresses are byte offsets.
        blocks: register blocks, in the order of the stream.
        extra: header words that only some tasks have, after the fixed ones.
        note: what the map rests on, one paragraph.
    """

    name: str
    header: Block = field(repr=False)
    blocks: tuple[Block, ...] = field(repr=False)
    extra: Block | None = field(default=None, repr=False)
    note: str = ""
    by_address: Mapping[int, Register] = field(init=False, repr=False, compare=False)
    by_path: Mapping[str, Register] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        registers = [register for block in self.blocks for register in block.registers]
        by_address = {register.address: register for register in registers}
        assert len(by_address) == len(registers), f"{self.name}: two registers at one address"
        object.__setattr__(self, "by_address", by_address)
        everything = [register for block in self.all_blocks for register in block.registers]
        object.__setattr__(self, "by_path", {register.path: register for register in everything})

    @property
    def all_blocks(self) -> tuple[Block, ...]:
        """Header, extra words, and register blocks."""
        return (self.header, *([self.extra] if self.extra else []), *self.blocks)

    def block(self, name: str) -> Block:
        """The block of that name, or the header.

        Raises:
            InputError: there is none.
        """
        known = {block.name: block for block in self.all_blocks}
        if name not in known:
            raise InputError(f"{self.name} has no register block {name!r}", hint=suggest(name, known))
        return known[name]

    def __getitem__(self, path: str) -> Register:
        """The register at "Block.Register".

        Raises:
            InputError: there is none.
        """
        try:
            return self.by_path[path]
        except KeyError:
            raise InputError(f"{self.name} has no register {path!r}", hint=suggest(path, self.by_path)) from None

    def register_at(self, address: int) -> Register:
        """The register at a byte address; an undeclared one is a register with 32 unknown bits."""
        return self.by_address.get(address) or Register(f"{address:#x}", address, (), "not declared")

    def resolve(self, path: str) -> RegisterPath:
        """What a path written by a person names.

        Case does not matter, a name may be cut short where it stays unique ("PE.Cfg.Op"), the register may be left
        out where the field is unique in its block ("Header.TID"), and a register may be given by its byte address
        ("0x8800").

        Raises:
            InputError: nothing or several things have that name.
        """
        if path[:1].isdigit():
            return self._resolve_address(path)
        head, _, rest = path.partition(".")
        block = _pick(head, {block.name: block for block in self.all_blocks}, self.name)
        if not rest:
            raise InputError(
                "names a whole block", where=path, hint=f"Say which register: {_first(block.by_name)}, ..."
            )
        name, _, tail = rest.partition(".")
        if tail:
            register = _pick(name, block.by_name, block.name)
            return self._place(block, register, _pick(tail, register.by_name, register.path))
        found = _find(rest, block.by_name)
        if found is not None:
            return self._place(block, found, None)
        register, chosen = _pick(rest, block.field_paths, block.name)
        return self._place(block, register, chosen)

    def _resolve_address(self, path: str) -> RegisterPath:
        digits, _, name = path.partition(".")
        try:
            address = parse_integer(digits)
        except ValueError:
            raise InputError("not a register address", value=path, limit="a name, or a number like 0x8800") from None
        register = self.register_at(address)
        return RegisterPath(
            WordSpace.REGISTER, register, _pick(name, register.by_name, register.path) if name else None
        )

    def _place(self, block: Block, register: Register, chosen: Field | None) -> RegisterPath:
        if block is self.header or block is self.extra:
            space = WordSpace.HEADER if block is self.header else WordSpace.EXTRA
            return RegisterPath(space, register, chosen, block.registers.index(register))
        return RegisterPath(WordSpace.REGISTER, register, chosen)

    def validate(self, words: Mapping[int, int]) -> tuple[Diagnostic, ...]:
        """What a task writes that no program seen does: undeclared registers, reserved bits, unnamed values."""
        findings = []
        for address, word in words.items():
            register = self.by_address.get(address)
            if register is None:
                findings.append(Diagnostic("undeclared register", f"{address:#x}", value=f"{word:#x}"))
                continue
            if word & register.reserved:
                findings += (
                    Diagnostic("reserved bits are set", f"{register.path}.{each.name}", value=f"{each.get(word):#x}")
                    for each in register.fields
                    if each.reserved and each.get(word)
                )
            for each in register.named:
                value = each.get(word)
                if value not in each.values:
                    names = ", ".join(f"{number}={name}" for number, name in each.values.items())
                    where = f"{register.path}.{each.name}"
                    findings.append(Diagnostic("no name for this value", where, limit=names, value=str(value)))
        return tuple(findings)


Named = TypeVar("Named")


def _first(names: Iterable[str]) -> str:
    return next(iter(names))


def _find(name: str, known: Mapping[str, Named]) -> Named | None:
    """The thing of that name, whatever its case."""
    if name in known:
        return known[name]
    folded = [candidate for candidate in known if candidate.lower() == name.lower()]
    return known[folded[0]] if len(folded) == 1 else None


def _pick(name: str, known: Mapping[str, Named], owner: str) -> Named:
    """The thing of that name, whatever its case, or the only one whose name begins so.

    Raises:
        InputError: nothing or several things have that name.
    """
    found = _find(name, known)
    if found is not None:
        return found
    longer = [candidate for candidate in known if name and candidate.lower().startswith(name.lower())]
    if len(longer) == 1:
        return known[longer[0]]
    raise InputError(
        f"{owner} has " + (f"several names that begin with {name!r}" if longer else f"nothing called {name!r}"),
        limit=", ".join(longer[:6]),
        hint=suggest(name, known),
    )
