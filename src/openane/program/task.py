"""A task descriptor as the engine reads it: header words and bursts of register writes.

Nothing is interpreted here. Field names, bits and meanings are declarations of a target
(`openane.targets`); this module only keeps the words, all of them, in the order of the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from openane.core.origin import Origin


@dataclass(frozen=True, slots=True)
class Burst:
    """Consecutive register writes by one stream command.

    Attributes:
        address: byte address of the first register.
        words: 32-bit values, one per register, +4 bytes each.
        tag: bits of the command word beside address and count that a generation uses (0 on H13).
        mask: for sparse commands (H14 on), the 16-bit mask of written registers after the first; None when dense.
    """

    address: int
    words: tuple[int, ...]
    tag: int = 0
    mask: int | None = None

    def addresses(self) -> tuple[int, ...]:
        """The byte address of each word."""
        if self.mask is None:
            return tuple(self.address + 4 * i for i in range(len(self.words)))
        later = tuple(self.address + 4 * (i + 1) for i in range(16) if self.mask >> i & 1)
        return (self.address, *later)


@dataclass(frozen=True, slots=True)
class Task:
    """One task descriptor.

    Attributes:
        header: the fixed header words of the generation (10 on H13).
        bursts: register writes in stream order.
        extra: header words beyond the fixed ones (one when the kernel comes from a task's result on H13).
        origin: the user's layers this task computes; empty for a file read from outside.
    """

    header: tuple[int, ...]
    bursts: tuple[Burst, ...]
    extra: tuple[int, ...] = ()
    origin: Origin = field(default=Origin(), compare=False)

    def registers(self) -> dict[int, int]:
        """Address -> word of every register that the stream writes, and nothing else. Later writes win."""
        written: dict[int, int] = {}
        for burst in self.bursts:
            written.update(zip(burst.addresses(), burst.words, strict=True))
        return written

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
        left = dict(changes)
        bursts = []
        for burst in self.bursts:
            words = tuple(
                left.pop(address, word) if address in changes else word
                for address, word in zip(burst.addresses(), burst.words, strict=True)
            )
            bursts.append(replace(burst, words=words))
        if left:
            raise KeyError(f"registers not written by this task: {[hex(address) for address in left]}")
        return replace(self, bursts=tuple(bursts))
