"""What is known about the arithmetic of a chip generation, and the choices where sources contradict each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import Enum

from openane.core.errors import InputError


class Accumulate(Enum):
    """How the MAC engine adds products."""

    WIDE = "wide"
    """One fp32 addition per product, in the order of the kernel stream."""
    TILE4 = "tile4"
    """Four consecutive products are added in a 12-bit significand that cuts off what does not fit; then wide."""


class Denormals(Enum):
    """What becomes of sums below the smallest normal fp16 (2^-14) in the MAC engine."""

    FLUSH = "flush"
    KEEP = "keep"


class Ties(Enum):
    """Where a result goes that lies exactly between two fp16 values."""

    EVEN = "even"
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class Profile:
    """The arithmetic of one generation. Not options, because nothing contradicts them: storage in fp16; exponent 31
    is 2^16 inside the data path; NaN enters as +2^16; one rounding per task; two-step rounding in tables.

    Attributes:
        accumulate: order and width of MAC sums. Default wide: conv errors published for five chips stay at the fp16
            floor for up to 4,608 products; `tile4` is what the ones-and-cancellation probes of an M1 show. The GEMM
            errors published for K up to 6,144 fit neither.
        denormals: of MAC sums. H13 flushes, an M5 keeps [measured].
        output_limit: sums of two products or more that round to this magnitude or above leave the MAC engine as
            infinity [measured on six chips: the last finite output is 32752]; 0 for no limit.
        reduction_ties: rounding of PE reductions [measured on six chips: a sum of 2049 reads 2050].
    """

    accumulate: Accumulate = Accumulate.WIDE
    denormals: Denormals = Denormals.FLUSH
    output_limit: float = 32768.0
    reduction_ties: Ties = Ties.AWAY

    def with_options(self, options: Mapping[str, str]) -> Profile:
        """This profile with options by name, values as text.

        Raises:
            InputError: an unknown option or value.
        """
        known = {field.name: field for field in fields(self)}
        changes: dict[str, object] = {}
        for name, text in options.items():
            if name not in known:
                raise InputError("unknown option of the numerics profile", value=name, limit=", ".join(known))
            default = getattr(self, name)
            try:
                changes[name] = type(default)(text)
            except ValueError:
                kinds = [member.value for member in type(default)] if isinstance(default, Enum) else ["a number"]
                raise InputError(
                    f"unknown value of the option {name!r}", value=text, limit=", ".join(map(str, kinds))
                ) from None
        return replace(self, **changes)  # type: ignore[arg-type]
