"""A task descriptor as the engine reads it: header words and bursts of register writes.

Nothing is interpreted here. Field names, bits and meanings are declarations of a target
(`openane.targets`); this module only keeps the words, all of them, in the order of the file. A task that
carries its register map can show and change fields by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

from openane.core.errors import InputError
from openane.core.origin import Origin
from openane.program.fields import Value
from openane.program.registers import RegisterMap, RegisterPath, WordSpace


@dataclass(frozen=True, slots=True)
class Burst:
    """Consecutive register writes by one stream command.

    Attributes:
        address: byte address of the first register.
        words: 32-bit values, one per register, +4 bytes each.
        tag: bits of the command word next to address and count that a generation uses.
        mask: for sparse commands (H14 on), the 16-bit mask of written registers after the first; None when dense.
    """

    address: int
    words: tuple[int, ...]
    tag: int = 0
    mask: int | None = None

    def addresses(self) -> tuple[int, ...]:
        """The byte address of each word."""
        if self.mask is None:
            return _consecutive(self.address, len(self.words))
        later = tuple(self.address + 4 * (i + 1) for i in range(16) if self.mask >> i & 1)
        return (self.address, *later)


@lru_cache(4096)
def _consecutive(address: int, count: int) -> tuple[int, ...]:
    """The addresses of registers in a row; tasks of a program have the same rows again and again."""
    return tuple(range(address, address + 4 * count, 4))


@dataclass(frozen=True, slots=True)
class Task:
    """One task descriptor.

    Attributes:
        header: the fixed header words of the generation.
        bursts: register writes in stream order.
        extra: header words beyond the fixed ones (such as one when the kernel comes from a task's result).
        origin: the user's layers this task computes; empty for a file read from outside.
        map: the declarations that name the words; None when nobody has attached them (see `targets.attach`).
    """

    header: tuple[int, ...]
    bursts: tuple[Burst, ...]
    extra: tuple[int, ...] = ()
    origin: Origin = field(default=Origin(), compare=False)
    map: RegisterMap | None = field(default=None, compare=False, repr=False)

    def registers(self) -> dict[int, int]:
        """Address -> word of every register that the stream writes, and nothing else. Later writes win."""
        found: dict[int, int] = {}
        for burst in self.bursts:
            addresses = _consecutive(burst.address, len(burst.words)) if burst.mask is None else burst.addresses()
            found.update(zip(addresses, burst.words, strict=True))
        return found

    @property
    def size_words(self) -> int:
        """Length of the descriptor in 32-bit words: header, extra words, commands and values."""
        return len(self.header) + len(self.extra) + sum(1 + len(burst.words) for burst in self.bursts)

    @property
    def size_bytes(self) -> int:
        """Length of the descriptor in bytes."""
        return 4 * self.size_words

    def with_registers(self, changes: dict[int, int]) -> Task:
        """The same task with other words in registers that it writes.

        Raises:
            KeyError: the task does not write one of the addresses.
        """
        left = set(changes)
        bursts = []
        for burst in self.bursts:
            addresses = burst.addresses()
            if left.isdisjoint(addresses) and not any(address in changes for address in addresses):
                bursts.append(burst)
                continue
            left.difference_update(addresses)
            words = tuple(changes.get(address, word) for address, word in zip(addresses, burst.words, strict=True))
            bursts.append(replace(burst, words=words))
        if left:
            raise KeyError(f"registers not written by this task: {[hex(address) for address in sorted(left)]}")
        return replace(self, bursts=tuple(bursts))

    def word(self, path: str) -> int:
        """The word of a register, header word or extra word by name or address, e.g. "PE.Cfg" or "0x8800".

        Raises:
            InputError: no such name, or the task has no such word.
        """
        return self._word(self._resolve(path), path)

    def get(self, path: str) -> int:
        """The value of a field ("PE.Cfg.OpMode") or whole word ("PE.Cfg"), see `openane.program.fields`.

        Raises:
            InputError: no such name, or the task does not write the register.
        """
        place = self._resolve(path)
        word = self._word(place, path)
        return place.field.get(word) if place.field else word

    def set(self, path: str, value: Value) -> Task:
        """The same task with one field or word changed.

        Args:
            path: "PE.Cfg.OpMode" for a field, "PE.Cfg" or "0x8800" for a word, "Header.TID" for a header field.
            value: an int, a name of the field's enumeration, a float for floating-point fields, or any of them as text.

        Raises:
            InputError: no such name, a value that does not fit, or the task does not write the register.
        """
        place = self._resolve(path)
        word = place.change(self._word(place, path), value)
        if place.space is WordSpace.REGISTER:
            return self.with_registers({place.register.address: word})
        if place.space is WordSpace.HEADER:
            return replace(self, header=_replaced(self.header, place.index, word))
        return replace(self, extra=_replaced(self.extra, place.index, word))

    def _resolve(self, path: str) -> RegisterPath:
        if self.map is None:
            raise InputError(
                "this task has no register names", hint="Attach them with openane.targets.attach(program)."
            )
        return self.map.resolve(path)

    def _word(self, place: RegisterPath, path: str) -> int:
        if place.space is WordSpace.REGISTER:
            for burst in reversed(self.bursts):
                addresses = burst.addresses()
                if place.register.address in addresses:
                    return burst.words[addresses.index(place.register.address)]
            raise InputError(
                "the task does not write this register",
                where=path,
                hint="Only registers that the stream writes can be read or changed; edit the assembly text to add one.",
            )
        words = self.header if place.space is WordSpace.HEADER else self.extra
        if place.index >= len(words):
            raise InputError("the task has no such header word", where=path, value=place.register.path)
        return words[place.index]


def _replaced(words: tuple[int, ...], index: int, word: int) -> tuple[int, ...]:
    return (*words[:index], word, *words[index + 1 :])
