"""Reading a net.plist and its weight files into a Net."""

from __future__ import annotations

import heapq
import os
import plistlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from openane.core.errors import FormatError, InputError, ModelError, OpenaneError, UnsupportedError
from openane.core.reader import Buffer
from openane.core.types import DType
from openane.net.net import Net, TensorShape, Unit
from openane.net.plist.units import UNITS
from openane.net.schema.fields import Fields, describe
from openane.net.schema.parameters import ReadContext, read_unit
from openane.net.schema.weights import WeightFiles

#: A description holds no weights; the largest real ones are a few megabytes.
_PLIST_LIMIT_BYTES = 256 << 20
_UNIT_LIMIT = 1 << 20
_EXTENT_LIMIT = 1 << 24
_TENSOR_LIMIT = 1 << 31
_OUTPUT_SUFFIX = "@output"
#: Next to the networks: how they came to be (`Net.notes`); an addition of openane.
NOTES_KEY = "Notes"

_ELEMENT_TYPES: Mapping[str, DType] = {
    "Float16": DType.FLOAT16,
    "Float32": DType.FLOAT32,
    "UInt8": DType.UINT8,
    "Int8": DType.INT8,
}


def read_net(
    path: str | os.PathLike[str], *, network: str | None = None, weights: Mapping[str, Buffer] | None = None
) -> Net:
    """Reads a net.plist, XML or binary, with the weight files next to it.

    Args:
        path: of the plist. Weight files are looked up in its folder by the last part of their names.
        network: which of several networks; None takes the only one.
        weights: contents of weight files by file name, used in place of files.

    Returns:
        The network. Names of outputs lose the suffix "@output"; inputs and outputs keep their order.

    Raises:
        InputError: a file cannot be read or a weight file is missing.
        FormatError: the file is not a net.plist, or damaged.
        ModelError: the units do not fit together.
        UnsupportedError: it asks for something openane does not know.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise InputError("not a file" if path.exists() else "no such file", where=str(path))
        if path.stat().st_size > _PLIST_LIMIT_BYTES:
            raise FormatError("too large for a network description", where=str(path), limit=_PLIST_LIMIT_BYTES)
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read: {error}", where=str(path)) from error
    return parse_net(data, path.parent, network=network, weights=weights or {}, where=str(path))


def parse_net(
    data: bytes,
    folder: Path | None = None,
    *,
    network: str | None = None,
    weights: Mapping[str, Buffer] | None = None,
    where: str = "net.plist",
) -> Net:
    """Like :func:`read_net`, from bytes; `folder` is where weight files are looked up, None for nowhere."""
    try:
        parsed = plistlib.loads(data)
    except Exception as error:  # the library's parsers fail in many ways on damaged input
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise FormatError(f"not a property list: {reason}", where=where) from error
    root = Fields(parsed, where)
    if root.has("ProcedureList"):
        raise UnsupportedError("the schema with ProcedureList is not supported", where=where)
    names = root.texts("Networks", single=True)
    if not names:
        raise FormatError("not a network description: it has no Networks", where=where)
    if network is None and len(names) > 1:
        raise UnsupportedError(
            "the file holds several networks", where=where, value=", ".join(map(describe, names[:5]))
        )
    chosen = network or names[0]
    if chosen not in names:
        raise InputError(f"there is no network {describe(chosen)}", where=where)
    fields = Fields(root.get(chosen), f"{where}: network {describe(chosen)}")
    return replace(_NetReader(chosen, fields, folder, weights or {}).read(), notes=_notes(root, names))


def _notes(root: Fields, networks: Sequence[str]) -> dict[str, str]:
    """What the file says of how it came to be; anything but texts is another program's business."""
    found = root.get(NOTES_KEY) if root.has(NOTES_KEY) and NOTES_KEY not in networks else {}
    pairs = found.items() if isinstance(found, dict) else ()
    return {key: text for key, text in pairs if isinstance(key, str) and isinstance(text, str)}


class _NetReader:
    def __init__(self, name: str, fields: Fields, folder: Path | None, given: Mapping[str, Buffer]) -> None:
        self.name = name
        self.fields = fields
        self.where = fields.where
        self.weights = WeightFiles(fields.texts("Weights", single=True), folder, given)
        self.shapes: dict[str, TensorShape] = {}

    def read(self) -> Net:
        inputs: dict[str, TensorShape] = {}
        dtypes: dict[str, DType] = {}
        for name in self._unique("Inputs"):
            inputs[name], dtype = self._input(name)
            if dtype is not DType.FLOAT16:
                dtypes[name] = dtype
        self.shapes.update(inputs)
        units = tuple(self._unit(name, fields) for name, fields in self._sorted_units(inputs))
        outputs: dict[str, str] = {}
        for key in self._unique("Outputs"):
            name = key.removesuffix(_OUTPUT_SUFFIX) or key
            if name in outputs:
                raise FormatError(f"output {describe(name)} is listed twice", where=self.where)
            outputs[name] = self._output(key)
        if not inputs or not outputs:
            raise FormatError("a network needs inputs and outputs", where=self.where)
        net = Net(self.name, inputs, outputs, units, dtypes)
        assert net.shapes.keys() == self.shapes.keys()
        return net

    def _unique(self, key: str) -> list[str]:
        names = self.fields.texts(key, single=True)
        if len(names) > _UNIT_LIMIT:
            raise FormatError(f"{key} lists too many names", where=self.where, value=len(names))
        if len(set(names)) != len(names):
            seen: set[str] = set()
            twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            raise FormatError(f"{key} lists {describe(twice)} twice", where=self.where)
        return names

    def _input(self, name: str) -> tuple[TensorShape, DType]:
        fields = Fields(self.fields.get(name), f"{self.where}: input {describe(name)}")
        shape = TensorShape(
            fields.integer("BatchSize", 1, least=1, most=_EXTENT_LIMIT),
            fields.integer("InputChannels", least=1, most=_EXTENT_LIMIT),
            fields.integer("InputHeight", least=1, most=_EXTENT_LIMIT),
            fields.integer("InputWidth", least=1, most=_EXTENT_LIMIT),
            fields.integer("InputDepth", 1, least=1, most=_EXTENT_LIMIT),
        )
        self._check_size(shape, fields.where)
        dtype = self._element_type(fields, "InputType")
        self._check_strides(fields, "Input", shape, dtype)
        fields.finish()
        return shape, dtype

    def _output(self, key: str) -> str:
        fields = Fields(self.fields.get(key), f"{self.where}: output {describe(key)}")
        source = fields.texts("Bottom", single=True)
        if len(source) != 1 or source[0] not in self.shapes:
            raise ModelError(
                "an output shows one unit or input",
                where=fields.where,
                value=describe(source[0]) if source else "",
            )
        self._check_strides(fields, "Output", self.shapes[source[0]], self._element_type(fields, "OutputType"))
        fields.finish()
        return source[0]

    def _element_type(self, fields: Fields, key: str) -> DType:
        name = fields.text(key, "Float16")
        if name not in _ELEMENT_TYPES:
            raise UnsupportedError(
                f"{key} is not supported",
                where=fields.where,
                value=describe(name),
                limit=", ".join(_ELEMENT_TYPES),
            )
        return _ELEMENT_TYPES[name]

    def _check_strides(self, fields: Fields, prefix: str, shape: TensorShape, dtype: DType) -> None:
        if fields.integer(f"{prefix}Interleave", 1) != 1:
            raise UnsupportedError("interleaved surfaces are not supported", where=fields.where)
        strides = surface_strides_bytes(shape, dtype)
        extents = (shape.height, shape.channels, shape.batch, shape.depth)
        for (key, stride), extent in zip(strides.items(), extents, strict=True):
            found = fields.integer(f"{prefix}{key}", stride)
            # The distance of elements that do not exist means nothing, and files differ there.
            if extent > 1 and found != stride:
                raise UnsupportedError(
                    f"{prefix}{key} is not the engine's own",
                    where=fields.where,
                    value=found,
                    limit=stride,
                )

    def _check_size(self, shape: TensorShape, where: str) -> None:
        if shape.size > _TENSOR_LIMIT:
            raise ModelError("a tensor is too large", where=where, value=f"{shape.size} elements", limit=_TENSOR_LIMIT)

    def _sorted_units(self, inputs: Mapping[str, TensorShape]) -> list[tuple[str, Fields]]:
        """Units in the order listed, moved after what they read where the list is not in order."""
        names = self._unique("Units")
        units = {name: Fields(self.fields.get(name), f"{self.where}: unit {describe(name)}") for name in names}
        waiting: dict[str, int] = {}
        readers: dict[str, list[str]] = {}
        for name, fields in units.items():
            if name in inputs:
                raise ModelError(f"{describe(name)} is an input and a unit", where=self.where)
            bottoms = fields.texts("Bottom", single=True)
            for bottom in bottoms:
                if bottom not in units and bottom not in inputs:
                    raise ModelError(f"reads {describe(bottom)}, which nothing defines", where=fields.where)
            sources = {bottom for bottom in bottoms if bottom in units}
            waiting[name] = len(sources)
            for source in sources:
                readers.setdefault(source, []).append(name)
        position = {name: i for i, name in enumerate(names)}
        return [(name, units[name]) for name in self._order(waiting, readers, position)]

    def _order(
        self, waiting: dict[str, int], readers: Mapping[str, list[str]], position: Mapping[str, int]
    ) -> list[str]:
        ready = [position[name] for name, count in waiting.items() if not count]
        heapq.heapify(ready)
        names = list(position)
        order: list[str] = []
        while ready:
            name = names[heapq.heappop(ready)]
            order.append(name)
            for reader in readers.get(name, ()):
                waiting[reader] -= 1
                if not waiting[reader]:
                    heapq.heappush(ready, position[reader])
        if len(order) < len(names):
            stuck = [describe(name) for name in names if waiting[name]]
            raise ModelError("units read each other in a circle", where=self.where, value=", ".join(stuck[:5]))
        return order

    def _unit(self, name: str, fields: Fields) -> Unit:
        kind = fields.text("Type")
        if kind not in UNITS:
            raise UnsupportedError(
                f"units of Type {describe(kind)} are not known",
                where=fields.where,
                limit=", ".join(sorted(UNITS)),
            )
        if fields.text("Name", name) != name:
            raise FormatError("Name and key differ", where=fields.where, value=describe(fields.get("Name")))
        fields.skip("UnescapedBottom", "UnescapedName")
        bottoms = tuple(fields.texts("Bottom", single=True))
        shapes = [self.shapes[bottom] for bottom in bottoms]
        params = fields.fields("Params") if fields.has("Params") else Fields({}, f"{fields.where}: Params")
        dtype = self._element_type(fields, "OutputType")
        try:
            unit = Unit(
                name,
                read_unit(UNITS[kind], ReadContext(fields, params, shapes, self.weights)),
                bottoms,
                dtype=dtype,
            )
            shape = unit.params.infer(shapes)
        except OpenaneError as error:
            if error.diagnostic.where.startswith(fields.where):
                raise
            raise error.at(fields.where) from error
        self._check_size(shape, fields.where)
        channels = fields.integer("OutputChannels", shape.channels)
        if channels != shape.channels:
            raise ModelError("OutputChannels is wrong", where=fields.where, value=channels, limit=shape.channels)
        params.finish()
        fields.finish()
        self.shapes[name] = shape
        return unit


def surface_strides_bytes(shape: TensorShape, dtype: DType) -> dict[str, int]:
    """The engine's distances in bytes by plist key, from the innermost out: rows, channels, batch, depth.

    Rows are padded to 64 bytes, nothing else is (formats.md section 9).
    """
    row = -(-shape.width * dtype.numpy.itemsize // 64) * 64
    plane = row * shape.height
    batch = plane * shape.channels
    depth = batch * shape.batch
    return {"RowStride": row, "PlaneStride": plane, "BatchStride": batch, "DepthStride": depth}
