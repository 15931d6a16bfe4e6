"""What happens to a sum of the MAC array: PostScale, the function, and the only rounding to fp16."""

from __future__ import annotations

from fractions import Fraction

from openane.numerics.definition.fp16 import nearest, rounded
from openane.numerics.definition.lookup import look_up
from openane.numerics.profile import PostScale, Profile, TableIndex
from openane.numerics.tables import LookupTable


def scaled(total: Fraction, post_scale: Fraction, profile: Profile) -> Fraction:
    """The sum times PostScale; nothing is rounded unless the profile rounds the sum first."""
    if profile.post_scale is PostScale.FP16_SUM and post_scale != 1:
        total = rounded(total)
    return total * post_scale


def linear(total: Fraction) -> int:
    """The word of a result without a function."""
    return nearest(total)


def relu(total: Fraction) -> int:
    """The word of a result after ReLU."""
    return nearest(max(total, Fraction(0)))


def tabulated(total: Fraction, table: LookupTable, profile: Profile) -> int:
    """The word of a result that a table gives."""
    argument = rounded(total) if profile.table_index is TableIndex.FP16 else total
    return nearest(look_up(table, argument))
