"""The inputs of a model with every dimension fixed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from openane.core.errors import InputError, ModelError, UnsupportedError
from openane.core.types import DType
from openane.frontends.onnx.tensors import ELEMENT_LIMIT, dtype_of
from openane.graph import TensorType

Shapes = Mapping[str, tuple[int, ...]]
Arrays = Mapping[str, np.ndarray]


def input_types(graph: onnx.GraphProto, shapes: Shapes, constants: Arrays) -> dict[str, TensorType]:
    """The types of the inputs that are not weights, in order.

    Args:
        graph: the main graph.
        shapes: whole shapes by input name; a dimension they give also fixes its symbol in other inputs.
        constants: values by input name; their shapes count like those given.

    Raises:
        InputError: a dimension stays open, or `shapes` does not fit.
        ModelError: a dimension is negative or absurd.
        UnsupportedError: an input is a map or sparse, or of an element type that openane does not know.
    """
    weights = {tensor.name for tensor in graph.initializer}
    values = [value for value in graph.input if value.name not in weights]
    names = [value.name for value in values]
    shapes = {**shapes, **{name: array.shape for name, array in constants.items()}}
    for name in shapes:
        if name not in names:
            raise InputError(
                f"a shape or value is given for {name!r}, which is not an input", limit=", ".join(map(repr, names))
            )
    if len(set(names)) != len(names):
        raise ModelError("an input is named twice", value=names)
    symbols: dict[str, int] = {}
    for value in values:
        if value.name in shapes:
            _bind(value, shapes[value.name], symbols)
    types = {value.name: _input_type(value, shapes, symbols) for value in values}
    for name, array in constants.items():
        if array.dtype != types[name].dtype.numpy:
            raise InputError(
                "a value has the wrong type", where=f"input {name!r}", value=array.dtype, limit=types[name]
            )
    return types


def _dimensions(value: onnx.ValueInfoProto) -> list[int | str] | None:
    """Extents, or symbols ("" for an unnamed one); None where not even the rank is known."""
    where = f"input {value.name!r}"
    if not value.type.tensor_type.HasField("shape"):
        return None
    result: list[int | str] = []
    for dimension in value.type.tensor_type.shape.dim:
        if dimension.HasField("dim_value"):
            if dimension.dim_value < 0:
                # Some exporters write -1 for an open dimension.
                if dimension.dim_value != -1:
                    raise ModelError("a dimension is negative", where=where, value=dimension.dim_value)
                result.append("")
            else:
                result.append(dimension.dim_value)
        else:
            # "?" is how some exporters write an unnamed dimension: two of them need not be equal.
            result.append("" if dimension.dim_param == "?" else dimension.dim_param)
    return result


def declared_shapes(graph: onnx.GraphProto) -> dict[str, str]:
    """Element type and declared shape of every input that is not a weight, as text; open dimensions by their names.

    Raises:
        UnsupportedError: an input is not a tensor.
    """
    weights = {tensor.name for tensor in graph.initializer}
    found = {}
    for value in graph.input:
        if value.name not in weights:
            dimensions = _dimensions(value)
            kind = dtype_of(value.type.tensor_type.elem_type, f"input {value.name!r}")
            found[value.name] = f"{kind.value}{'[...]' if dimensions is None else _text(dimensions)}"
    return found


def _bind(value: onnx.ValueInfoProto, shape: tuple[int, ...], symbols: dict[str, int]) -> None:
    """Checks a given shape against the declared one and notes its symbols."""
    declared = _dimensions(value)
    where = f"input {value.name!r}"
    if any(extent < 0 for extent in shape):
        raise InputError("extents of a shape must not be negative", where=where, value=list(shape))
    if declared is None:
        return
    text = _text(declared)
    if len(declared) != len(shape):
        raise InputError("the given shape has another rank than the input", where=where, value=list(shape), limit=text)
    for extent, own in zip(shape, declared, strict=True):
        expected = symbols.setdefault(own, extent) if isinstance(own, str) and own else own or extent
        if expected != extent:
            raise InputError("the given shape does not fit the input", where=where, value=list(shape), limit=text)


def _input_type(value: onnx.ValueInfoProto, shapes: Shapes, symbols: Mapping[str, int]) -> TensorType:
    where = f"input {value.name!r}"
    kind = value.type.WhichOneof("value")
    if kind in ("sequence_type", "optional_type"):  # whose extents may differ from run to run
        return TensorType((-1,), DType.OBJECT)
    if kind != "tensor_type":
        raise UnsupportedError("only tensors, sequences and optional values are supported as inputs", where=where)
    declared = _dimensions(value)
    is_text = value.type.tensor_type.elem_type == onnx.TensorProto.STRING
    dtype = DType.OBJECT if is_text else dtype_of(value.type.tensor_type.elem_type, where)
    if value.name in shapes:
        extents = shapes[value.name]
    else:
        found = None if declared is None else [symbols.get(d) if isinstance(d, str) else d for d in declared]
        if found is None or any(extent is None for extent in found):
            text = "no shape at all" if declared is None else _text(declared)
            # Open extents after the channels are most often those of a picture.
            guesses = (str(d) if isinstance(d, int) else "224" if i > 1 else "1" for i, d in enumerate(declared or ()))
            example = ",".join(guesses) or "1,3,224,224"
            raise InputError(
                "the shape has open dimensions",
                where=where,
                value=text,
                hint=f"Fix it, for example with --shape '{value.name}={example}'.",
            )
        extents = tuple(extent for extent in found if extent is not None)
    result = TensorType(extents, dtype)
    if result.size > ELEMENT_LIMIT:
        raise ModelError("an input is absurdly large", where=where, value=result, limit=f"{ELEMENT_LIMIT} elements")
    return result


def _text(dimensions: list[int | str]) -> str:
    return "[" + ",".join(str(d) if d != "" else "?" for d in dimensions) + "]"
