"""MIL text to tokens."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from openane.frontends.mil.syntax import SourceText, TextPosition

_TOKEN = re.compile(
    r"""
      (?P<space>\s+ | //[^\n]* | /\*.*?\*/)
    | (?P<number>[+-]?(?:0[xX][0-9a-fA-F]*\.?[0-9a-fA-F]*(?:[pP][+-]?[0-9]+)?
              | [0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)? | \.[0-9]+(?:[eE][+-]?[0-9]+)?)
              | [+-](?:inf|nan|infinity)\b)
    | (?P<word>[A-Za-z_@][A-Za-z0-9_@]*(?:[./:][A-Za-z0-9_]+)*)
    | (?P<text>"(?:[^"\\\n]|\\.)*")
    | (?P<mark>->|[(){}\[\]<>,;=?])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}


@dataclass(frozen=True, slots=True)
class MilToken:
    """One word of the text.

    Attributes:
        kind: "number", "word", "text", "mark" or "end".
        text: as written.
        offset: of its first character.
    """

    kind: str
    text: str
    offset: int


class Lexer:
    """Cuts a text into tokens and finds lines and columns."""

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self._lines = [0, *(match.end() for match in re.finditer("\n", source.text))]

    def place(self, offset: int) -> TextPosition:
        """Line and column of a character."""
        line = bisect_right(self._lines, offset)
        return TextPosition(line, offset - self._lines[line - 1] + 1)

    def tokens(self) -> Iterator[MilToken]:
        """All tokens, then one of the kind "end".

        Raises:
            FormatError: a character that begins no token.
        """
        text, offset = self.source.text, 0
        while offset < len(text):
            match = _TOKEN.match(text, offset)
            if match is None:
                what = {"/*": "comment without an end", '"': "text without an end on its line"}
                raise self.source.error(
                    what.get(text[offset : offset + 2]) or what.get(text[offset], "unexpected character"),
                    self.place(offset),
                    value=repr(text[offset : offset + 12]),
                )
            if match.lastgroup != "space":
                yield MilToken(str(match.lastgroup), match.group(), offset)
            offset = match.end()
        yield MilToken("end", "end of file", offset)


def text_value(token: MilToken) -> str:
    """The text between the quotes, escapes resolved."""

    def resolve(match: re.Match[str]) -> str:
        code = match.group(1)
        return chr(int(code[1:], 16)) if len(code) == 3 else _ESCAPES.get(code, code)

    return _ESCAPE.sub(resolve, token.text[1:-1])


def number_value(token: MilToken) -> float | int:
    """The number: an int where no fraction or exponent is written.

    Raises:
        ValueError: digits are missing, or an exponent is out of range.
    """
    text = token.text.lower()
    if "x" in text:
        return float.fromhex(text) if "." in text or "p" in text else int(text, 16)
    return int(text) if text.lstrip("+-").isdigit() else float(text)
