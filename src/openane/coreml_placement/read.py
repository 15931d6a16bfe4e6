"""Reads the program that Core ML sees from .mlpackage, .mlmodelc and MIL text, without the weights.

Only types, shapes and small constants matter to the segmenter, so a file whose weights are missing can be asked about,
and operations that openane cannot run are not an obstacle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from openane.core.errors import FormatError, InputError, valid
from openane.coreml_placement.program import BYTES, INPUT_OUTPUT, PlacedOperation, PlacedProgram, PlacedTensor
from openane.frontends.coreml.load import model_file
from openane.frontends.coreml.load import sniff as is_core_ml
from openane.frontends.coreml.proto import module, parse_model
from openane.frontends.mil.elaborate import select_function
from openane.frontends.mil.load import sniff as is_mil
from openane.frontends.mil.parser import parse
from openane.frontends.mil.syntax import (
    CallExpression,
    Expression,
    FunctionDefinition,
    Items,
    Literal,
    Name,
    SourceText,
    Typed,
    TypeSyntax,
)

_MOST_VALUES = 64
"""Elements of the largest constant whose values are kept: shapes, strides, axes and pads have fewer."""
_LARGEST_TEXT_BYTES = 1 << 30
_CONSTANT = "const"
_COMPRESSED = "constexpr_"


def read_program(path: Path, function: str | None = None) -> PlacedProgram | None:
    """The program of a file that Core ML takes as it is.

    Args:
        path: a .mlpackage, a .mlmodelc, a .mlmodel with an ML program, or MIL text.
        function: name of one of several functions; None for the default.

    Returns:
        None for every other kind of file: Core ML sees those only after a conversion.

    Raises:
        FormatError: the file is damaged.
        UnsupportedError: control flow.
        InputError: there is no such function.
        UnavailableError: a protocol buffer, and coremltools is not installed.
    """
    if is_mil(path):
        return _read_text(path / "model.mil" if path.is_dir() else path, function)
    if not is_core_ml(path):
        return None
    file = model_file(path) if path.is_dir() else path
    try:
        model = parse_model(file.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=str(path)) from error
    if model.WhichOneof("Type") != "mlProgram":
        return None
    functions = dict(model.mlProgram.functions)
    default = model.description.defaultFunctionName
    return _from_message(select_function(functions, function, valid(path.name), default), valid(path.name))


# MIL text --------------------------------------------------------------------------------------------------------


def _read_text(path: Path, function: str | None) -> PlacedProgram:
    try:
        if path.stat().st_size > _LARGEST_TEXT_BYTES:
            raise FormatError("the text is too long", where=str(path), limit=f"{_LARGEST_TEXT_BYTES} bytes")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise FormatError("not UTF-8 text", where=f"{path}: offset {error.start:#x}") from error
    return read_text(text, valid(path.name), function)


def read_text(text: str, name: str = "model.mil", function_name: str | None = None) -> PlacedProgram:
    """The program of MIL text.

    Raises:
        FormatError, UnsupportedError: see `read_program`.
    """
    syntax = parse(SourceText(name, text))
    functions = {function.name: function for function in syntax.functions}
    function = select_function(functions, function_name, name)
    return PlacedProgram(name, *_operations(function), source="the MIL text of the file")


def _operations(function: FunctionDefinition) -> tuple[tuple[PlacedOperation, ...], tuple[str, ...]]:
    known = {each.name: _tensor(each.name, each.type) for each in function.parameters}
    renamed: dict[str, str] = {}
    operations = []
    for statement in function.statements:
        results = tuple(_tensor(each.name, each.type) for each in statement.results)
        if statement.operation == _CONSTANT or statement.operation.startswith(_COMPRESSED):
            value = statement.attributes.get("val", statement.arguments.get("val"))
            values = _values(value) if value is not None else None
            for each in results:
                known[each.name] = PlacedTensor(each.name, each.dtype, each.shape, True, values)
            continue
        known.update((each.name, each) for each in results)
        inputs = {key: _operand(value, known) for key, value in statement.arguments.items()}
        inputs |= {str(i): _operand(value, known) for i, value in enumerate(statement.positional)}
        if statement.operation in INPUT_OUTPUT:
            renamed.update((results[0].name, each.name) for each in inputs.get("input", ()))
            continue
        label = statement.attributes.get("name")
        named = label.value if isinstance(label, Typed) else label
        text = named.value if isinstance(named, Literal) and isinstance(named.value, str) else ""
        operations.append(PlacedOperation(statement.operation, text or results[0].name, inputs, results))
    outputs = tuple(renamed.get(result.name, result.name) for result in function.results)
    return tuple(operations), outputs


def _tensor(name: str, kind: TypeSyntax) -> PlacedTensor:
    """A declared value; containers and texts have no size."""
    match kind.arguments:
        case (TypeSyntax(name=element), tuple() as extents) if kind.name == "tensor":
            shape = None if None in extents else tuple(extent for extent in extents if extent is not None)
            return PlacedTensor(name, element, shape)
    return PlacedTensor(name, kind.name if kind.name in BYTES else "string", ())


def _operand(value: Expression, known: Mapping[str, PlacedTensor]) -> tuple[PlacedTensor, ...]:
    match value:
        case Name(name=name):
            return (known.get(name, PlacedTensor(name, "fp16", None)),)
        case Items(items=items):
            return tuple(tensor for item in items for tensor in _operand(item, known))
        case Typed(type=kind):
            found = _tensor("", kind)
            return (PlacedTensor("", found.dtype, found.shape, True, _values(value)),)
        case Literal(value=plain):
            return (PlacedTensor("", "string" if isinstance(plain, str) else "int32", (), True, (plain,)),)
    return ()


def _values(value: Expression) -> tuple[float | int | bool | str, ...] | None:
    """The elements of a small constant."""
    found: list[float | int | bool | str] = []
    stack: list[Expression] = [value]
    while stack:
        match stack.pop():
            case Typed(value=inner):
                stack.append(inner)
            case Items(items=items):
                stack.extend(reversed(items))
            case Literal(value=plain):
                found.append(plain)
            case CallExpression() | Name():
                return None
        if len(found) + len(stack) > _MOST_VALUES:
            return None
    return tuple(found)


# Protocol buffers ------------------------------------------------------------------------------------------------

_ELEMENTS: Mapping[str, str] = {
    "FLOAT16": "fp16", "FLOAT32": "fp32", "FLOAT64": "fp64", "BFLOAT16": "bf16", "BOOL": "bool", "STRING": "string",
}  # fmt: skip


def _from_message(function: Any, name: str) -> PlacedProgram:
    blocks = function.block_specializations
    if function.opset not in blocks and len(blocks) != 1:
        raise FormatError("the main function has no block of its own opset", where=name, value=function.opset)
    block = blocks[function.opset] if function.opset in blocks else next(iter(blocks.values()))
    reader = _Messages(module("MIL_pb2").DataType.Name)
    known = {each.name: reader.tensor(each.name, each.type) for each in function.inputs}
    operations = tuple(reader.operations(block.operations, known))
    return PlacedProgram(name, operations, tuple(block.outputs), source="the ML program of the file")


class _Messages:
    def __init__(self, type_name: Any) -> None:
        self._type_name = type_name

    def tensor(self, name: str, kind: Any) -> PlacedTensor:
        if kind.WhichOneof("type") == "stateType":
            kind = kind.stateType.wrappedType
        if kind.WhichOneof("type") != "tensorType":
            return PlacedTensor(name, "string", ())
        tensor = kind.tensorType
        open_dimension = any(each.WhichOneof("dimension") != "constant" for each in tensor.dimensions)
        shape = None if open_dimension else tuple(each.constant.size for each in tensor.dimensions)
        try:
            element = self._type_name(tensor.dataType)
        except ValueError:
            element = str(tensor.dataType)
        return PlacedTensor(name, _ELEMENTS.get(element, element.lower()), shape)

    def operations(self, messages: Iterable[Any], known: dict[str, PlacedTensor]) -> Iterable[PlacedOperation]:
        for message in messages:
            results = tuple(self.tensor(each.name, each.type) for each in message.outputs)
            if message.type == _CONSTANT or message.type.startswith(_COMPRESSED):
                values = self._values(message.attributes["val"]) if "val" in message.attributes else None
                for each in results:
                    known[each.name] = PlacedTensor(each.name, each.dtype, each.shape, True, values)
                continue
            if not results:
                continue
            known.update((each.name, each) for each in results)
            inputs = {
                key: tuple(self._operand(each, known) for each in message.inputs[key].arguments)
                for key in sorted(message.inputs)
            }
            name = results[0].name
            if "name" in message.attributes:
                found = self._values(message.attributes["name"])
                name = str(found[0]) if found and found[0] else name
            yield PlacedOperation(message.type, name, inputs, results)

    def _operand(self, binding: Any, known: Mapping[str, PlacedTensor]) -> PlacedTensor:
        if binding.WhichOneof("binding") == "name":
            return known.get(binding.name, PlacedTensor(binding.name, "fp16", None))
        found = self.tensor("", binding.value.type)
        return PlacedTensor("", found.dtype, found.shape, True, self._values(binding.value))

    def _values(self, value: Any) -> tuple[float | int | bool | str, ...] | None:
        if value.WhichOneof("value") != "immediateValue" or value.immediateValue.WhichOneof("value") != "tensor":
            return None
        tensor = value.immediateValue.tensor
        field = tensor.WhichOneof("value")
        if field is None or field == "bytes":
            return None
        values = getattr(tensor, field).values
        return tuple(values) if len(values) <= _MOST_VALUES else None


def with_shapes(program: PlacedProgram, shapes: Mapping[str, tuple[int, ...]]) -> PlacedProgram:
    """The program with the shapes of values that the file leaves open.

    Args:
        program: to complete.
        shapes: by name of the value, as the caller knows them from elsewhere.
    """

    def closed(tensor: PlacedTensor) -> PlacedTensor:
        shape = shapes.get(tensor.name) if tensor.shape is None else None
        return tensor if shape is None else replace(tensor, shape=shape)

    operations = tuple(
        replace(
            each,
            inputs={key: tuple(map(closed, tensors)) for key, tensors in each.inputs.items()},
            results=tuple(map(closed, each.results)),
        )
        for each in program.operations
    )
    return replace(program, operations=operations)


def is_open(program: PlacedProgram) -> bool:
    """Whether the file leaves the shape of a value open."""
    return any(tensor.shape is None for each in program.operations for tensor in (*each.data, *each.results))


__all__ = ["is_open", "read_program", "read_text", "with_shapes"]
