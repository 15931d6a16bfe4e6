"""An ML program as MIL text, the way Core ML's own compiler lays out a .mlmodelc: model.mil and weights/weight.bin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

WEIGHT_FILE = "weights/weight.bin"


def program_text(specification: Any) -> str:
    """The text of the ML program of a Core ML specification.

    Args:
        specification: a `coremltools.proto.Model_pb2.Model` with an `mlProgram`.

    Returns:
        MIL text of version 1.0 whose large constants point into `WEIGHT_FILE`.
    """
    return "\n".join(_lines(specification.mlProgram)) + "\n"


def _lines(program: Any) -> Iterator[str]:
    yield "program(1.0)"
    yield '[buildInfo = dict<tensor<string, []>, tensor<string, []>>({{"producer", "openane"}})]'
    yield "{"
    for name, function in program.functions.items():
        opset = function.opset
        inputs = ", ".join(f"{_type(each.type)} {each.name}" for each in function.inputs)
        yield f"    func {name}<{_opset_name(opset)}>({inputs}) {{"
        block = function.block_specializations[opset]
        for operation in block.operations:
            yield f"            {_statement(operation)}"
        yield f"        }} -> ({', '.join(block.outputs)});"
    yield "}"


def _opset_name(opset: str) -> str:
    """The name of the operation set in text: CoreML5 is ios15."""
    return f"ios{int(opset.removeprefix('CoreML')) + 10}"


def _statement(operation: Any) -> str:
    results = ", ".join(f"{_type(each.type)} {each.name}" for each in operation.outputs)
    arguments = ", ".join(f"{name} = {_argument(operation.inputs[name])}" for name in sorted(operation.inputs))
    attributes = ", ".join(f"{name} = {_value(operation.attributes[name])}" for name in sorted(operation.attributes))
    return f"{results} = {operation.type}({arguments})[{attributes}];"


def _argument(argument: Any) -> str:
    bindings = [
        each.name if each.WhichOneof("binding") == "name" else _value(each.value) for each in argument.arguments
    ]
    return bindings[0] if len(bindings) == 1 else f"({', '.join(bindings)})"


_ELEMENTS: Mapping[str, str] = {
    "FLOAT16": "fp16",
    "FLOAT32": "fp32",
    "FLOAT64": "fp64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "BOOL": "bool",
    "STRING": "string",
}
_NUMPY = {"fp16": np.float16, "int8": np.int8, "int16": np.int16, "uint8": np.uint8, "uint16": np.uint16}


def _element(tensor_type: Any) -> str:
    field = tensor_type.DESCRIPTOR.fields_by_name["dataType"]
    return _ELEMENTS[field.enum_type.values_by_number[tensor_type.dataType].name]


def _type(value_type: Any) -> str:
    tensor = value_type.tensorType
    extents = ", ".join(str(each.constant.size) for each in tensor.dimensions)
    return f"tensor<{_element(tensor)}, [{extents}]>"


def _value(value: Any) -> str:
    kind = _type(value.type)
    if value.WhichOneof("value") == "blobFileValue":
        blob = value.blobFileValue
        path = 'tensor<string, []>("@model_path/weights/weight.bin")'
        return f"{kind}(BLOBFILE(path = {path}, offset = tensor<uint64, []>({blob.offset})))"
    tensor = value.type.tensorType
    shape = [each.constant.size for each in tensor.dimensions]
    elements = [_literal(each) for each in _elements(value.immediateValue.tensor, _element(tensor))]
    return f"{kind}({_nested(elements, shape) if shape else elements[0]})"


def _elements(tensor: Any, element: str) -> list[Any]:
    which = tensor.WhichOneof("value")
    if which == "bytes":
        return list(np.frombuffer(tensor.bytes.values, _NUMPY[element]))
    return list(getattr(tensor, which).values)


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (float, np.floating)):
        return float(value).hex()
    return str(int(value))


def _nested(elements: list[str], shape: list[int]) -> str:
    if len(shape) == 1:
        return f"[{', '.join(elements)}]"
    step = len(elements) // shape[0] if shape[0] else 0
    rows = (_nested(elements[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0]))
    return f"[{', '.join(rows)}]"
