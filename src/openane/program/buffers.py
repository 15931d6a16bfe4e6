"""Buffer indices of a program, as task headers and containers use them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffers:
    """Buffer indices by what they hold, as task headers use them.

    Attributes:
        constants: the constant (kernel) section.
        second_scratch: a second intermediate buffer; no program that is known to us uses it.
        scratch: intermediate tensors in DRAM.
        first_surface: the first input or output; the others follow. Lower indices that are not named hold the tasks.
        count: number of indices that the header's fields can express.
    """

    constants: int
    second_scratch: int
    scratch: int
    first_surface: int
    count: int

    @property
    def surface_count(self) -> int:
        """How many inputs and outputs a program can have."""
        return self.count - self.first_surface


BUFFERS = Buffers(constants=1, second_scratch=2, scratch=3, first_surface=4, count=32)
"""The numbering of every .hwx and .anec that is known; index 0 holds the tasks."""
