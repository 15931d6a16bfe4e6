"""Writing a Net as a net.plist and one weight file."""

from __future__ import annotations

import os
import plistlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openane.core.errors import InputError, UnsupportedError
from openane.core.files import staged, write_atomically
from openane.core.types import DType
from openane.net.net import Net, TensorShape, Unit
from openane.net.plist.reading import NOTES_KEY, surface_strides_bytes
from openane.net.plist.units import UNITS
from openane.net.schema.parameters import write_unit
from openane.net.schema.weights import WeightWriter

_VERSION = "1.0.9"
_RESERVED = ("Inputs", "Outputs", "Units", "Weights")
_TYPE_NAMES: Mapping[DType, str] = {
    DType.FLOAT16: "Float16",
    DType.FLOAT32: "Float32",
    DType.UINT8: "UInt8",
    DType.INT8: "Int8",
}


def write_net(net: Net, path: str | os.PathLike[str], *, binary: bool = False) -> tuple[Path, ...]:
    """Writes OUT.plist, and OUT.weights next to it where there are weights; both or nothing.

    Scalars of GOC and ElementWise become half precision, the only form the format has; arrays keep half and single
    precision and 8-bit integers, and become single precision otherwise. Logical shapes (`Net.bindings`) have no place
    in the format.

    Args:
        net: the network.
        path: of the plist.
        binary: the binary form of property lists in place of XML.

    Returns:
        The files written, the plist last.

    Raises:
        InputError: a file cannot be written.
        UnsupportedError: a unit or a name has no form in a net.plist.
    """
    path = Path(path)
    weights_path = path.with_suffix(".weights")
    if weights_path == path:
        raise InputError("the plist and its weights would be one file", where=str(path), hint="Use .plist.")
    root, weights = describe_net(net, weights_path.name)
    try:
        text = plistlib.dumps(root, fmt=plistlib.FMT_BINARY if binary else plistlib.FMT_XML)
    except (ValueError, TypeError, OverflowError) as error:
        raise UnsupportedError(
            f"a name or number cannot be written in a property list: {error}",
            where=net.name,
            hint="Rename the layer in the model.",
        ) from error
    if not weights:
        write_atomically(path, text)
        return (path,)
    with staged(path) as place:
        write_atomically(place.with_name(weights_path.name), weights)
        write_atomically(place, text)
    return (weights_path, path)


def describe_net(net: Net, weights_name: str) -> tuple[dict[str, Any], list[bytes]]:
    """The property list of a network, and the pieces of its weight file.

    Args:
        net: the network.
        weights_name: name of the weight file, as the plist is to spell it.

    Raises:
        UnsupportedError: a unit or a name has no form in a net.plist.
    """
    writer = WeightWriter()
    keys = {*_RESERVED, *net.inputs, *(unit.name for unit in net.units)}
    clashes = [name for name in (*net.inputs, *(unit.name for unit in net.units)) if name in _RESERVED]
    clashes += [f"{name}@output" for name in net.outputs if f"{name}@output" in keys]
    if clashes or "" in keys or net.name in ("", "Networks", "Version"):
        raise UnsupportedError(
            "a name has another meaning in a net.plist",
            where=net.name,
            value=repr((clashes or [""])[0]),
            hint="Rename the layer in the model.",
        )
    content: dict[str, Any] = {
        "Inputs": list(net.inputs),
        "Outputs": [f"{name}@output" for name in net.outputs],
        "Units": [unit.name for unit in net.units],
    }
    for name, shape in net.inputs.items():
        content[name] = _describe_input(shape, net.input_dtypes.get(name, DType.FLOAT16), f"input {name!r}")
    dtypes = {unit.name: unit.dtype for unit in net.units} | dict(net.input_dtypes)
    for unit in net.units:
        content[unit.name] = _describe_unit(unit, net.shapes[unit.name], writer)
    for name, source in net.outputs.items():
        dtype = dtypes.get(source, DType.FLOAT16)
        content[f"{name}@output"] = {
            "Bottom": source,
            "OutputType": _type_name(dtype, f"output {name!r}"),
        } | _surface("Output", net.shapes[source], dtype)
    if writer.pieces:
        content["Weights"] = [weights_name]
    root = {"Networks": [net.name], "Version": _VERSION, net.name: content}
    if net.notes and net.name != NOTES_KEY:
        root[NOTES_KEY] = dict(net.notes)
    return root, writer.pieces


def _type_name(dtype: DType, where: str) -> str:
    if dtype not in _TYPE_NAMES:
        raise UnsupportedError(
            "the element type has no name in a net.plist", where=where, value=dtype.value, limit="fp16, 8 bits"
        )
    return _TYPE_NAMES[dtype]


def _surface(prefix: str, shape: TensorShape, dtype: DType) -> dict[str, Any]:
    strides = surface_strides_bytes(shape, dtype)
    if shape.depth == 1:
        # Apple's files leave out what depth alone decides, and with it the batch stride.
        strides = {key: strides[key] for key in ("RowStride", "PlaneStride")}
    return {f"{prefix}Interleave": 1} | {f"{prefix}{key}": stride for key, stride in strides.items()}


def _describe_input(shape: TensorShape, dtype: DType, where: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "BatchSize": shape.batch,
        "InputChannels": shape.channels,
        "InputHeight": shape.height,
        "InputWidth": shape.width,
        "InputType": _type_name(dtype, where),
    }
    if shape.depth != 1:
        entry["InputDepth"] = shape.depth
    return entry | _surface("Input", shape, dtype)


def _describe_unit(unit: Unit, shape: TensorShape, writer: WeightWriter) -> dict[str, Any]:
    where = f"unit {unit.name!r}"
    if UNITS.get(unit.params.plist_type) is not type(unit.params):
        raise UnsupportedError(
            f"{unit.params.label} has no form in a net.plist", where=where, limit="the units of openane.net"
        )
    params = write_unit(unit.params, writer)
    entry: dict[str, Any] = {
        "Name": unit.name,
        "Type": unit.params.plist_name,
        "OutputType": _type_name(unit.dtype, where),
    }
    if len(unit.bottoms) == 1:
        entry["Bottom"] = unit.bottoms[0]
    elif unit.bottoms:
        entry["Bottom"] = list(unit.bottoms)
    if unit.params.states_channels:
        entry["OutputChannels"] = shape.channels
    if params:
        entry["Params"] = params
    return entry
