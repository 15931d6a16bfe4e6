"""Numbers in texts that people and files write."""

from __future__ import annotations

LONGEST_NUMBER = 80
"""Characters; no number of any format has more. Python refuses thousands of digits, and takes long for hundreds."""


def parse_integer(text: str, base: int = 0) -> int:
    """The integer that a text is: `int(text, base)`, with ASCII characters only and not longer than LONGEST_NUMBER.

    Args:
        text: digits with an optional sign; with base 0 also "0x1f", "0b11" and "0o17".
        base: 10, or 0 for all of these forms.

    Raises:
        ValueError: it is none.
    """
    if len(text) > LONGEST_NUMBER or not text.isascii():
        raise ValueError("not a number")
    return int(text, base)
