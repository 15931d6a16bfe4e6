"""The syntax tree of MIL text. Every node knows its place in the text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from openane.core.errors import FormatError


@dataclass(frozen=True, slots=True)
class TextPosition:
    """A line and a column, both counted from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class TypeSyntax:
    """A type as written: `fp16`, `tensor<fp16, [1, 3]>`, `dict<string, string>`.

    Attributes:
        name: the word in front.
        arguments: inner types, dimension lists (None means `?`) and plain numbers.
        place: of the word.
    """

    name: str
    arguments: tuple[TypeSyntax | tuple[int | None, ...] | int, ...]
    place: TextPosition

    def __str__(self) -> str:
        if not self.arguments:
            return self.name
        return f"{self.name}<{', '.join(_argument_text(argument) for argument in self.arguments)}>"


def _argument_text(argument: TypeSyntax | tuple[int | None, ...] | int) -> str:
    if isinstance(argument, tuple):
        return f"[{', '.join('?' if extent is None else str(extent) for extent in argument)}]"
    return str(argument)


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, a text or a boolean."""

    value: float | int | str | bool
    place: TextPosition


@dataclass(frozen=True, slots=True)
class Name:
    """A value by name."""

    name: str
    place: TextPosition


@dataclass(frozen=True, slots=True)
class Items:
    """A bracketed list: `( )` a tuple, `[ ]` tensor elements, `{ }` pairs of a dictionary."""

    items: tuple[Expression, ...]
    place: TextPosition


@dataclass(frozen=True, slots=True)
class Typed:
    """A constant with its type: `fp16(0x1p-1)`, `tensor<int32, [2]>([1, 1])`."""

    type: TypeSyntax
    value: Expression
    place: TextPosition


@dataclass(frozen=True, slots=True)
class CallExpression:
    """A word with named arguments: `BLOBFILE(path = ..., offset = ...)`."""

    word: str
    arguments: Mapping[str, Expression]
    place: TextPosition


Expression = Literal | Name | Items | Typed | CallExpression


@dataclass(frozen=True, slots=True)
class Result:
    """A declared result or parameter: type and name."""

    type: TypeSyntax
    name: str
    place: TextPosition


@dataclass(frozen=True, slots=True)
class Statement:
    """One operation.

    Attributes:
        results: what it defines.
        operation: the MIL name ("conv").
        arguments: named arguments.
        positional: arguments without a name, in order.
        attributes: what is in the square brackets after.
        place: of the operation's name.
    """

    results: tuple[Result, ...]
    operation: str
    arguments: Mapping[str, Expression]
    positional: tuple[Expression, ...]
    attributes: Mapping[str, Expression]
    place: TextPosition


@dataclass(frozen=True, slots=True)
class FunctionDefinition:
    """A function: `func main<ios18>(parameters) { statements } -> (results)`."""

    name: str
    opset: str
    parameters: tuple[Result, ...]
    statements: tuple[Statement, ...]
    results: tuple[Name, ...]
    place: TextPosition


@dataclass(frozen=True, slots=True)
class ProgramSyntax:
    """A whole text.

    Attributes:
        version: as written ("1.3").
        attributes: of the program (buildInfo).
        functions: in order.
    """

    version: str
    attributes: Mapping[str, Expression]
    functions: tuple[FunctionDefinition, ...]


@dataclass(frozen=True, slots=True)
class SourceText:
    """The text that places refer to, for messages.

    Attributes:
        name: of the file.
    """

    name: str
    text: str = field(repr=False)

    def error(
        self, what: str, place: TextPosition, *, value: object = "", limit: object = "", hint: str = ""
    ) -> FormatError:
        """An error at a place of this text."""
        return FormatError(what, where=f"{self.name}:{place}", value=value, limit=limit, hint=hint)
