"""Lines of assembly text: words, `name=value` pairs, quoted strings, comments after a semicolon."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from openane.core.errors import FormatError, OpenaneError, printable
from openane.core.parsing import parse_integer
from openane.core.suggestions import suggest

_TOKEN = re.compile(r'(?:[^\s;"]|"(?:[^"\\]|\\.)*")+')
_COMMENT = re.compile(r"\s*(?:;.*)?$")
_ESCAPE = re.compile(r'\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[nrt"\\])|\\(.?)')
_PLAIN_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
INDENT = "    "


@dataclass(frozen=True, slots=True)
class AssemblyToken:
    """A word of a line with its column, from 1."""

    text: str
    column: int


@dataclass(frozen=True, slots=True)
class AssemblyLine:
    """A line that says something.

    Attributes:
        where: name of the text.
        number: from 1.
        tokens: at least one.
    """

    where: str
    number: int
    tokens: tuple[AssemblyToken, ...]

    @property
    def word(self) -> str:
        """The first token."""
        return self.tokens[0].text

    def error(self, what: str, token: AssemblyToken | None = None, **details: object) -> FormatError:
        """An error that points at a token of this line (the first one by default)."""
        column = (token or self.tokens[0]).column
        return FormatError(what, where=f"{self.where}: line {self.number}, column {column}", **details)  # type: ignore[arg-type]

    def wrap(self, error: OpenaneError, token: AssemblyToken) -> FormatError:
        """Another error, pointing at a token of this line."""
        own = error.diagnostic
        what = f"{own.where}: {own.what}" if own.where else own.what
        return self.error(what, token, limit=own.limit, value=own.value, hint=own.hint)

    def number_of(self, token: AssemblyToken, text: str | None = None) -> int:
        """The integer that a token (or a part of it) is.

        Raises:
            FormatError: it is none.
        """
        try:
            return parse_integer(token.text if text is None else text)
        except ValueError:
            raise self.error("a number is needed", token, value=repr(token.text if text is None else text)) from None

    def string_of(self, token: AssemblyToken, text: str | None = None) -> str:
        """The text of a quoted token (or of a part of it).

        Raises:
            FormatError: it is not quoted, or has an unknown escape.
        """
        raw = token.text if text is None else text
        if len(raw) < 2 or raw[0] != '"' or raw[-1] != '"' or '"' in re.sub(r"\\.", "", raw[1:-1]):
            raise self.error("a quoted text is needed", token, value=raw)
        return _ESCAPE.sub(lambda match: self._unescaped(match, token), raw[1:-1])

    def _unescaped(self, match: re.Match[str], token: AssemblyToken) -> str:
        code = match.group(1)
        if code is None:
            raise self.error("an unknown escape", token, value=match.group(0), limit=r"\n \r \t \" \\ \xNN \uNNNN")
        return _PLAIN_ESCAPES.get(code) or self._character(int(code[1:], 16), token)

    def _character(self, code: int, token: AssemblyToken) -> str:
        if code > sys.maxunicode or 0xD800 <= code < 0xE000:
            raise self.error("an escape that is not a character", token, value=f"{code:#x}")
        return chr(code)

    def pairs(self, known: Sequence[str], start: int = 1) -> dict[str, AssemblyToken]:
        """The `name=value` tokens from the given position on; tokens hold the value with its column.

        Raises:
            FormatError: a token is not a pair, its name is unknown, or comes twice.
        """
        found: dict[str, AssemblyToken] = {}
        for token in self.tokens[start:]:
            name, sign, value = token.text.partition("=")
            if not sign or name not in known:
                raise self.error(
                    f"{self.word} does not take {name!r}", token, limit=", ".join(known), hint=suggest(name, known)
                )
            if name in found:
                raise self.error(f"{name} is given twice", token)
            found[name] = AssemblyToken(value, token.column + len(name) + 1)
        return found

    def need(self, count: int, form: str) -> None:
        """Checks the number of words after the first.

        Raises:
            FormatError: too few or too many.
        """
        if len(self.tokens) - 1 != count:
            raise self.error(f"{self.word} has another number of words", limit=form, value=len(self.tokens) - 1)


def lines_of(text: str, where: str) -> Iterator[AssemblyLine]:
    """The lines that are not empty.

    Raises:
        FormatError: a text without closing quote, or other things that are not words.
    """
    for number, raw in enumerate(text.splitlines(), 1):
        tokens = []
        position = 0
        while not _COMMENT.match(raw, position):
            match = _TOKEN.search(raw, position)
            between = raw[position : match.start() if match else len(raw)]
            if match is None or between.strip():
                column = position + len(between) - len(between.lstrip()) + 1
                raise FormatError(
                    "a quoted text without end",
                    where=f"{where}: line {number}, column {column}",
                    value=raw.strip()[:40],
                )
            tokens.append(AssemblyToken(match.group(), match.start() + 1))
            position = match.end()
        if tokens:
            yield AssemblyLine(where, number, tuple(tokens))


def quote(text: str) -> str:
    """A text in quotes, with escapes for what would break the line."""
    result = []
    for character in text:
        code = ord(character)
        if character in '"\\':
            result.append("\\" + character)
        elif character in "\n\r\t":
            result.append({"\n": "\\n", "\r": "\\r", "\t": "\\t"}[character])
        elif character.isprintable():
            result.append(character)
        else:
            result.append(
                f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
            )
    return '"' + "".join(result) + '"'


def indent(lines: Iterable[str], depth: int = 1) -> Iterator[str]:
    """Lines moved to the right."""
    return (INDENT * depth + line for line in lines)


def commented(line: str, comment: str, column: int = 40) -> str:
    """A line with a comment after it, on its own where the line is empty.

    Line breaks in the comment become spaces, other control characters escapes: it holds names of untrusted sources.
    """
    text = f"; {printable(' '.join(comment.split()))}"
    return f"{line:<{column}} {text}" if line else text
