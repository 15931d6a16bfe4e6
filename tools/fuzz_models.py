"""Models of one operation each, for every operation that a front end knows by name; many are refused, and should be."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

SHAPE = (1, 3, 4, 4)
EXTERNAL = "external.bin"
"""The weight file of a model that has one."""
_MIL = """program(1.0)
{{
    func main<ios16>(tensor<fp32, [1, 3, 4, 4]> x, tensor<fp32, [1, 3, 4, 4]> z) {{
        tensor<fp32, [1, 3, 4, 4]> y = {operation}({arguments})[name = string("y")];
    }} -> (y);
}}
"""
_MIL_VALUES = {
    "x": "x",
    "y": "z",
    "axis": "int32(1)",
    "axes": "tensor<int32, [1]>([1])",
    "keep_dims": "bool(true)",
    "shape": "tensor<int32, [4]>([1, 3, 16, 1])",
    "perm": "tensor<int32, [4]>([0, 1, 3, 2])",
    "pad_type": 'string("valid")',
    "mode": 'string("constant")',
    "values": "(x, z)",
    "epsilon": "fp32(0.001)",
    "alpha": "fp32(0.5)",
    "beta": "fp32(0.5)",
    "begin": "tensor<int32, [4]>([0, 0, 0, 0])",
    "end": "tensor<int32, [4]>([1, 2, 3, 4])",
    "size": "tensor<int32, [4]>([1, 2, 3, 4])",
    "kernel_sizes": "tensor<int32, [2]>([2, 2])",
    "strides": "tensor<int32, [2]>([1, 1])",
    "dilations": "tensor<int32, [2]>([1, 1])",
    "pad": "tensor<int32, [4]>([0, 0, 1, 1])",
    "weight": "tensor<fp32, [3, 3, 1, 1]>([1, 2, 3, 4, 5, 6, 7, 8, 9])",
    "bias": "tensor<fp32, [3]>([1, 2, 3])",
    "indices": "tensor<int32, [2]>([0, 1])",
    "value": "fp32(1)",
    "dtype": 'string("fp16")',
    "groups": "int32(1)",
}
"""What arguments of that name are given; a small number elsewhere."""


@cache
def mil_models() -> tuple[bytes, ...]:
    """A text for every operation of MIL."""
    from openane.frontends.mil.operations import OPERATIONS

    texts = []
    for name, entry in OPERATIONS.items():
        given = [f"{each} = {_MIL_VALUES.get(each, 'int32(2)')}" for each in entry.parameters]
        texts.append(_MIL.format(operation=name, arguments=", ".join(given)).encode())
    return tuple(texts)


@cache
def onnx_models() -> tuple[bytes, ...]:
    """A model for every operator of ONNX; inputs are tensors of one shape, the second one a constant of integers."""
    import onnx
    from onnx import TensorProto, defs, helper, numpy_helper

    models = []
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in ("x", "y"))
    constant = numpy_helper.from_array(np.array([1, 2], np.int64), "i")
    for schema in sorted(defs.get_all_schemas(), key=lambda schema: (schema.domain, schema.name)):
        if schema.domain:
            continue
        inputs = [("x", "i", "x")[i % 3] for i in range(min(schema.min_input + 1, schema.max_input, 6))]
        attributes = {name: _attribute(each.type.name) for name, each in sorted(schema.attributes.items())}
        given = {name: value for name, value in attributes.items() if value is not None}
        node = helper.make_node(schema.name, inputs, ["y"], **given)
        graph = helper.make_graph([node], "g", [x], [y], [constant])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", schema.since_version)], ir_version=8)
        models.append(model.SerializeToString())
    models.append(_external())
    assert onnx is not None
    return tuple(models)


def _external() -> bytes:
    """A convolution whose weights lie in a file next to the model."""
    from onnx import TensorProto, helper

    weight = TensorProto(name="w", data_type=TensorProto.FLOAT16, dims=[3, 3, 1, 1])
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", EXTERNAL), ("offset", "0"), ("length", "18")):
        weight.external_data.add(key=key, value=value)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT16, SHAPE) for name in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _attribute(kind: str) -> Any:
    return {"INT": 1, "INTS": [1, 1], "FLOAT": 0.5, "FLOATS": [0.5, 0.5], "STRING": "constant"}.get(kind)


@cache
def coreml_models() -> tuple[bytes, ...]:
    """A model for every kind of layer of Core ML's neural networks; every field of the layer has a small value."""
    from openane.frontends.coreml.network import _LAYERS
    from openane.frontends.coreml.proto import module

    models = []
    for kind in _LAYERS:
        model = module("Model_pb2").Model(specificationVersion=5)
        for name, features in (("x", model.description.input), ("y", model.description.output)):
            feature = features.add(name=name)
            feature.type.multiArrayType.shape.extend(SHAPE)
            feature.type.multiArrayType.dataType = 65568
        network = model.neuralNetwork
        network.arrayInputShapeMapping = 1
        layer = network.layers.add(name="l", input=["x"], output=["y"])
        message = getattr(layer, kind)
        message.SetInParent()
        _fill(message, 0)
        models.append(model.SerializeToString(deterministic=True))
    return tuple(models)


def _fill(message: Any, depth: int) -> None:
    for field in message.DESCRIPTOR.fields:
        if field.containing_oneof is not None and field.containing_oneof.fields[0] is not field:
            continue
        value = getattr(message, field.name)
        if field.message_type is not None:
            if depth < 2 and not hasattr(value, "append"):
                value.SetInParent()
                _fill(value, depth + 1)
        elif hasattr(value, "append"):
            value.extend([1, 1] if field.cpp_type != field.CPPTYPE_STRING else ["x"])
        elif isinstance(value, bool) or field.enum_type is not None:
            continue
        elif isinstance(value, (int, float)):
            setattr(message, field.name, 1)
