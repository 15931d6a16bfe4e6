"""Tokens to the syntax tree of MIL text, by recursive descent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from openane.frontends.mil.lexer import Lexer, MilToken, number_value, text_value
from openane.frontends.mil.syntax import (
    CallExpression,
    Expression,
    FunctionDefinition,
    Items,
    Literal,
    Name,
    ProgramSyntax,
    Result,
    SourceText,
    Statement,
    TextPosition,
    Typed,
    TypeSyntax,
)

_ENDS = {"(": ")", "[": "]", "{": "}"}
_TRUTH = {"true": True, "false": False}
_BUFFER = "tensor_buffer"
_DEEPEST = 64  # brackets in brackets: a tensor of rank 8 in a dictionary needs 12
_LONGEST_INTEGER = 40  # digits; int() of a longer text takes quadratic time

T = TypeVar("T")


def parse(source: SourceText) -> ProgramSyntax:
    """The syntax tree of a MIL text.

    Raises:
        FormatError: the text is not MIL; says line and column and what was expected.
    """
    return _Parser(Lexer(source)).program()


class _Parser:
    def __init__(self, lexer: Lexer) -> None:
        self._lexer = lexer
        self._tokens = lexer.tokens()
        self._token = next(self._tokens)
        self._depth = 0

    # Tokens ------------------------------------------------------------------------------------------

    def _place(self) -> TextPosition:
        return self._lexer.place(self._token.offset)

    def _next(self) -> MilToken:
        token = self._token
        if token.kind != "end":
            self._token = next(self._tokens)
        return token

    def _accept(self, text: str) -> bool:
        if self._token.text == text and self._token.kind in ("mark", "word"):
            self._next()
            return True
        return False

    def _fail(self, expected: str) -> Exception:
        found = self._token.text if len(self._token.text) <= 40 else self._token.text[:40] + "..."
        return self._lexer.source.error(f"expected {expected}", self._place(), value=repr(found))

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise self._fail(repr(text))

    def _word(self, what: str) -> str:
        if self._token.kind != "word":
            raise self._fail(what)
        return self._next().text

    def _list(self, end: str, item: Callable[[], T]) -> tuple[T, ...]:
        """Items with commas between them up to `end`, which is taken."""
        items: list[T] = []
        if self._accept(end):
            return ()
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._lexer.source.error("brackets are nested too deep", self._place(), limit=_DEEPEST)
        while True:
            items.append(item())
            if self._accept(end):
                self._depth -= 1
                return tuple(items)
            if not self._accept(","):
                raise self._fail(f"',' or {end!r}")

    # Program and functions ---------------------------------------------------------------------------

    def program(self) -> ProgramSyntax:
        if not self._accept("program"):
            raise self._fail("'program(VERSION)' at the start")
        self._expect("(")
        if self._token.kind != "number":
            raise self._fail("the version of the program")
        version = self._next().text
        self._expect(")")
        attributes = self._attributes()
        self._expect("{")
        functions = []
        while not self._accept("}"):
            functions.append(self._function())
        if self._token.kind != "end":
            raise self._fail("the end of the file")
        return ProgramSyntax(version, attributes, tuple(functions))

    def _function(self) -> FunctionDefinition:
        place = self._place()
        if not self._accept("func"):
            raise self._fail("'func'")
        name = self._word("the name of a function")
        opset = ""
        if self._accept("<"):
            opset = self._word("an opset such as ios18")
            self._expect(">")
        self._expect("(")
        parameters = self._list(")", self._declaration)
        self._attributes()
        self._expect("{")
        statements = []
        while not self._accept("}"):
            statements.append(self._statement())
        self._expect("->")
        self._expect("(")
        results = self._list(")", self._result_name)
        self._expect(";")
        return FunctionDefinition(name, opset, parameters, tuple(statements), results, place)

    def _result_name(self) -> Name:
        place = self._place()
        return Name(self._word("the name of a result"), place)

    def _declaration(self) -> Result:
        kind = self._type()
        place = self._place()
        return Result(kind, self._word("a name"), place)

    def _statement(self) -> Statement:
        results = [self._declaration()]
        while self._accept(","):
            results.append(self._declaration())
        self._expect("=")
        place = self._place()
        operation = self._word("an operation")
        if self._accept("<"):  # the operation set of an operation that Core ML's compiler added
            self._word("an opset such as ios17")
            self._expect(">")
        self._expect("(")
        named: dict[str, Expression] = {}
        positional: list[Expression] = []
        for place_of, name, value in self._list(")", self._argument):
            if name is None:
                if named:
                    raise self._lexer.source.error("an argument without a name after a named one", place_of)
                positional.append(value)
            elif name in named:
                raise self._lexer.source.error(f"argument {name!r} is given twice", place_of)
            else:
                named[name] = value
        if self._token.text == "{":
            raise self._lexer.source.error(
                f"operation {operation!r} has a block of its own",
                self._place(),
                hint="Control flow cannot run on the engine; export the model without it.",
            )
        attributes = self._attributes()
        self._expect(";")
        return Statement(tuple(results), operation, named, tuple(positional), attributes, place)

    def _argument(self) -> tuple[TextPosition, str | None, Expression]:
        place = self._place()
        value = self._expression()
        if isinstance(value, Name) and self._accept("="):
            return place, value.name, self._expression()
        return place, None, value

    def _attributes(self) -> dict[str, Expression]:
        if not self._accept("["):
            return {}
        attributes: dict[str, Expression] = {}
        for place, name, value in self._list("]", self._argument):
            if name is None:
                raise self._lexer.source.error("expected NAME = VALUE", place)
            attributes[name] = value
        return attributes

    # Types and values --------------------------------------------------------------------------------

    def _type(self) -> TypeSyntax:
        place = self._place()
        name = self._word("a type")
        if name == _BUFFER:
            return self._buffer(place)
        return TypeSyntax(name, self._list(">", self._type_argument) if self._accept("<") else (), place)

    def _buffer(self, place: TextPosition) -> TypeSyntax:
        """`tensor_buffer<fp16, shape=[1, 3], strides=[...], ...>`: a tensor whose layout in memory is fixed."""
        self._expect("<")
        element, parts = self._type(), dict[str, tuple[int | None, ...]]()
        while self._accept(","):
            name = self._word("a property of the buffer")
            self._expect("=")
            self._expect("[")
            parts[name] = self._list("]", self._extent)
        self._expect(">")
        if "shape" not in parts:
            raise self._lexer.source.error("a tensor buffer without 'shape'", place)
        return TypeSyntax("tensor", (element, parts["shape"]), place)

    def _type_argument(self) -> TypeSyntax | tuple[int | None, ...] | int:
        if self._accept("["):
            return self._list("]", self._extent)
        if self._token.kind == "number" or self._token.text == "?":
            return self._extent() or 0
        return self._type()

    def _extent(self) -> int | None:
        if self._accept("?"):
            return None
        place = self._place()
        value = self._number() if self._token.kind == "number" else None
        if not isinstance(value, int) or value < 0:
            raise self._lexer.source.error("expected an extent: an integer from 0 or '?'", place)
        return value

    def _number(self) -> float | int:
        place, token = self._place(), self._next()
        try:
            if len(token.text) > _LONGEST_INTEGER and token.text.lstrip("+-").isdigit():
                raise ValueError
            return number_value(token)
        except (ValueError, OverflowError):
            raise self._lexer.source.error("not a number", place, value=repr(token.text[:40])) from None

    def _expression(self) -> Expression:
        place, token = self._place(), self._token
        if token.kind == "number":
            return Literal(self._number(), place)
        if token.kind == "text":
            return Literal(text_value(self._next()), place)
        if token.kind == "mark" and token.text in _ENDS:
            self._next()
            return Items(self._list(_ENDS[token.text], self._expression), place)
        if token.kind != "word":
            raise self._fail("a value")
        return self._expression_of_word(place)

    def _expression_of_word(self, place: TextPosition) -> Expression:
        word = self._next().text
        if word in _TRUTH:
            return Literal(_TRUTH[word], place)
        if self._token.text == "<":
            self._next()
            kind = TypeSyntax(word, self._list(">", self._type_argument), place)
            self._expect("(")
            return self._typed(kind, place)
        if not self._accept("("):
            if word.lower() in ("inf", "nan", "infinity"):
                return Literal(float(word), place)
            return Name(word, place)
        if word.isupper():
            arguments = self._list(")", self._argument)
            return CallExpression(word, {name or str(i): value for i, (_, name, value) in enumerate(arguments)}, place)
        return self._typed(TypeSyntax(word, (), place), place)

    def _typed(self, kind: TypeSyntax, place: TextPosition) -> Typed:
        """A constant whose type and opening bracket are read."""
        values = self._list(")", self._expression)
        if len(values) != 1:
            raise self._lexer.source.error(f"expected one value of type {kind}", place, value=f"{len(values)}")
        return Typed(kind, values[0], place)
