"""The syntax tree of MIL text to a MIL program: types, constants and weight files are resolved here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TypeGuard, TypeVar

import numpy as np

from openane.core.errors import InputError, OpenaneError, UnsupportedError
from openane.core.types import DType
from openane.frontends.mil.blob import BLOB_TYPES, BlobStore
from openane.frontends.mil.program import Argument, Constant, MilOperation, MilProgram, ValueReference, Variable
from openane.frontends.mil.syntax import (
    CallExpression,
    Expression,
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
from openane.graph.operation import TensorType

#: Element types of MIL by name. Sub-byte integers are unpacked to bytes.
DTYPES: dict[str, DType] = {
    **{name: kind.dtype for name, kind in BLOB_TYPES.items()},
    "fp64": DType.FLOAT64,
    "int64": DType.INT64,
    "uint64": DType.UINT64,
    "bool": DType.BOOL,
}
_LARGEST_ELEMENTS = 1 << 33
_STATE = "state"
Function = TypeVar("Function")


def elaborate(
    syntax: ProgramSyntax,
    source: SourceText,
    store: BlobStore,
    shapes: Mapping[str, tuple[int, ...]],
    function_name: str | None = None,
) -> MilProgram:
    """Resolves types, inline constants and weight files of a function.

    Args:
        syntax: the tree of the text.
        source: the text, for places in messages.
        store: where weight files are.
        shapes: sizes for inputs whose extents are open, by name.
        function_name: of the function; None for "main", or the only one.

    Raises:
        FormatError: a value does not fit its type, a constant is missing or damaged.
        UnsupportedError: a dynamic shape, or more than one function and none called main.
    """
    function = select_function({each.name: each for each in syntax.functions}, function_name, source.name)
    elaborator = _Elaborator(source, store)
    unknown = sorted(set(shapes) - {parameter.name for parameter in function.parameters})
    if unknown:
        names = ", ".join(parameter.name for parameter in function.parameters)
        raise InputError("the program has no such input", where=source.name, value=", ".join(unknown), limit=names)
    inputs = {}
    for parameter in function.parameters:
        kind = elaborator.input_type(parameter, shapes.get(parameter.name))
        if parameter.name in inputs:
            raise source.error(f"input {parameter.name!r} is declared twice", parameter.place)
        inputs[parameter.name] = kind
    operations = tuple(elaborator.operation(statement) for statement in function.statements)
    results = tuple(result.name for result in function.results)
    states = frozenset(each.name for each in function.parameters if each.type.name == _STATE)
    return MilProgram(function.name, inputs, operations, results, states)


def select_function(functions: Mapping[str, Function], name: str | None, where: str, default: str = "") -> Function:
    """One of the functions of a program.

    Args:
        functions: by name.
        name: of the function; None for the default, then "main", then the only one.
        where: the program, for messages.
        default: as the file declares it; empty where it does not.

    Raises:
        InputError: there is no such function, or it is not clear which one is meant.
    """
    known = ", ".join(functions) or "no function"
    if name is not None:
        if name not in functions:
            raise InputError("the program has no such function", where=where, value=name, limit=known)
        return functions[name]
    for choice in (default, "main", *(functions if len(functions) == 1 else ())):
        if choice in functions:
            return functions[choice]
    raise InputError(
        "the program has several functions, and none is the default",
        where=where,
        value=known,
        hint="Select one: --function NAME.",
    )


class _Elaborator:
    def __init__(self, source: SourceText, store: BlobStore) -> None:
        self._source = source
        self._store = store

    def tensor_type(self, kind: TypeSyntax) -> TensorType | None:
        """The type of a tensor or number; None for texts, containers and unknown extents."""
        if kind.name in DTYPES and not kind.arguments:
            return TensorType((), DTYPES[kind.name])
        if kind.name != "tensor":
            return None
        match kind.arguments:
            case (TypeSyntax(name=name, arguments=()), tuple() as extents):
                if name == "string" or None in extents:
                    return None
                if name not in DTYPES:
                    raise self._source.error(f"unknown element type {name!r}", kind.place, limit=", ".join(DTYPES))
                shape = tuple(extent for extent in extents if extent is not None)
                if math.prod(shape) > _LARGEST_ELEMENTS:
                    raise self._source.error(
                        "the tensor is too large", kind.place, value=kind, limit=f"{_LARGEST_ELEMENTS} elements"
                    )
                return TensorType(shape, DTYPES[name])
        raise self._source.error("expected tensor<TYPE, [EXTENTS]>", kind.place, value=kind)

    def input_type(self, parameter: Result, shape: tuple[int, ...] | None) -> TensorType:
        """The type of an input, with the caller's extents where its own are open."""
        kind = parameter.type
        if kind.name == _STATE and len(kind.arguments) == 1 and isinstance(kind.arguments[0], TypeSyntax):
            kind = kind.arguments[0]
        found = self.tensor_type(kind)
        where = f"{self._source.name}:{parameter.place}"
        if found is not None:
            if shape is not None and shape != found.shape:
                raise InputError(
                    f"input {parameter.name!r} has a fixed shape",
                    where=where,
                    value=list(shape),
                    limit=list(found.shape),
                )
            return found
        open_extents = next((a for a in kind.arguments if isinstance(a, tuple)), None)
        if shape is None or kind.name != "tensor" or open_extents is None:
            raise UnsupportedError(
                f"input {parameter.name!r} has no fixed shape",
                where=where,
                value=kind,
                limit="static shapes and number types",
                hint="Give its shape, or export the model for one.",
            )
        fits = len(shape) == len(open_extents) and all(
            own in (None, given) for own, given in zip(open_extents, shape, strict=True)
        )
        if not fits:
            raise InputError(
                f"the shape does not fit input {parameter.name!r}", where=where, value=list(shape), limit=kind
            )
        resolved = self.tensor_type(TypeSyntax(kind.name, (kind.arguments[0], shape), kind.place))
        assert resolved is not None, "an element type that is a number was checked above"
        return resolved

    def operation(self, statement: Statement) -> MilOperation:
        arguments = {str(i): self._argument(value) for i, value in enumerate(statement.positional)}
        arguments.update((name, self._argument(value)) for name, value in statement.arguments.items())
        if statement.operation == "const":
            if "val" not in statement.attributes:
                raise self._source.error("a constant without 'val'", statement.place)
            arguments["val"] = self._constant_of(statement.results[0], statement.attributes["val"])
        name = statement.attributes.get("name")
        text = self._argument(name) if name is not None else None
        return MilOperation(
            kind=statement.operation,
            arguments=arguments,
            results=tuple(Variable(result.name, self.tensor_type(result.type)) for result in statement.results),
            name=text if isinstance(text, str) and text else statement.results[0].name,
            where=f"{self._source.name}:{statement.place}",
        )

    def _constant_of(self, result: Result, value: Expression) -> Argument:
        """The value of a `const`, which may leave its type to the declared result."""
        if isinstance(value, (Literal, Items)):
            return self._typed(result.type, value, value.place)
        return self._argument(value)

    def _argument(self, value: Expression) -> Argument:
        match value:
            case Name(name=name):
                return ValueReference(name)
            case Literal():
                return self._literal(value)
            case Items(items=items):
                return tuple(self._argument(item) for item in items)
            case Typed(type=kind, value=inner, place=place):
                return self._typed(kind, inner, place)
        raise self._source.error(f"{value.word} is where a value is expected", value.place)

    def _literal(self, literal: Literal) -> Constant:
        """A value that says no type of its own."""
        if isinstance(literal.value, str):
            return literal.value
        if isinstance(literal.value, int) and not -(1 << 63) <= literal.value < 1 << 64:
            raise self._source.error("an integer has more than 64 bits", literal.place, value=literal.value)
        return np.asarray(literal.value)

    def _typed(self, kind: TypeSyntax, value: Expression, place: TextPosition) -> Constant:
        if kind.name == "string" or (kind.name == "tensor" and _is_text(kind)):
            return self._text(kind, value)
        if kind.name in ("dict", "tuple", "list"):
            return self._container(value)
        found = self.tensor_type(kind)
        if found is None:
            raise self._source.error("a constant needs a fixed type", place, value=kind)
        if isinstance(value, CallExpression):
            return self._blob(kind, found, value)
        elements = list(_leaves(value, found.shape, self._source))
        return self._array(elements, found, kind, place)

    def _array(self, elements: list[Literal], found: TensorType, kind: TypeSyntax, place: TextPosition) -> np.ndarray:
        if len(elements) != found.size:
            raise self._source.error(
                f"a constant of type {kind} has the wrong number of elements",
                place,
                value=len(elements),
                limit=found.size,
            )
        dtype = found.dtype.numpy
        for element in elements:
            _check_element(element, kind, found.dtype, self._source)
        values = [element.value for element in elements]
        with np.errstate(over="ignore"):
            wide = np.array(values, np.float64) if found.dtype.is_float else np.array(values, dtype)
            return wide.astype(dtype).reshape(found.shape)

    def _text(self, kind: TypeSyntax, value: Expression) -> Constant:
        if isinstance(value, Literal) and isinstance(value.value, str):
            return value.value
        if isinstance(value, Items):
            return tuple(self._text(kind, item) for item in value.items)
        raise self._source.error("expected a text in quotes", value.place)

    def _container(self, value: Expression) -> Constant:
        if isinstance(value, Items):
            return tuple(self._container(item) for item in value.items)
        found = self._argument(value)
        if isinstance(found, ValueReference):
            raise self._source.error("a constant cannot refer to another value", value.place)
        return found  # type: ignore[return-value]  # no Reference inside: Items was handled above

    def _blob(self, kind: TypeSyntax, found: TensorType, call: CallExpression) -> np.ndarray:
        path = self._argument(call.arguments["path"]) if "path" in call.arguments else None
        offset = self._argument(call.arguments["offset"]) if "offset" in call.arguments else None
        if call.word != "BLOBFILE" or not isinstance(path, str) or not _is_offset(offset):
            raise self._source.error(
                'expected BLOBFILE(path = string("..."), offset = uint64(...))', call.place, value=call.word
            )
        name = str(kind.arguments[0]) if kind.arguments else kind.name
        if name not in BLOB_TYPES:
            raise self._source.error(f"weight files cannot hold {name}", call.place, limit=", ".join(BLOB_TYPES))
        try:
            flat = self._store.read(path, int(offset.item()), BLOB_TYPES[name], found.size)
        except OpenaneError as error:
            raise error.at(f"{self._source.name}:{call.place}") from error
        return flat.reshape(found.shape)


def _is_offset(value: object) -> TypeGuard[np.ndarray]:
    return isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "iu"


def _is_text(kind: TypeSyntax) -> bool:
    return bool(kind.arguments) and str(kind.arguments[0]) == "string"


def _leaves(value: Expression, shape: tuple[int, ...], source: SourceText) -> Iterator[Literal]:
    """The elements of a nested list in order; a flat list may stand for any shape.

    Raises:
        FormatError: something else than numbers, or lists of the wrong length.
    """
    match value:
        case Literal():
            yield value
        case Items(items=items):
            nested = any(isinstance(item, Items) for item in items)
            if nested and (not shape or len(items) != shape[0]):
                limit = f"shape {list(shape)}"
                raise source.error("a list of the wrong length", value.place, value=len(items), limit=limit)
            for item in items:
                yield from _leaves(item, shape[1:], source)
        case _:
            raise source.error("expected numbers", value.place)


_INTEGERS: Mapping[str, tuple[int, int]] = {
    f"{sign}int{bits}": (-(1 << bits - 1), (1 << bits - 1) - 1) if not sign else (0, (1 << bits) - 1)
    for sign in ("", "u")
    for bits in (1, 2, 3, 4, 6, 8, 16, 32, 64)
}


def _check_element(element: Literal, kind: TypeSyntax, dtype: DType, source: SourceText) -> None:
    """Raises a FormatError for an element that its type cannot hold."""
    value = element.value
    name = str(kind.arguments[0]) if kind.arguments else kind.name
    if isinstance(value, str) or (isinstance(value, bool) and dtype is not DType.BOOL):
        raise source.error(f"expected a number of type {name}", element.place, value=repr(value))
    if name in _INTEGERS:
        low, high = _INTEGERS[name]
        if not isinstance(value, int) or not low <= value <= high:
            raise source.error(f"not a number of type {name}", element.place, value=value, limit=f"{low}..{high}")
    elif dtype is DType.BOOL and value not in (True, False):
        raise source.error("expected true or false", element.place, value=value)
    elif isinstance(value, int) and abs(value) > 1 << 1000:
        raise source.error(f"not a number of type {name}", element.place, value="an integer of over 300 digits")
