"""A compiled model as bytes, and back: a line of JSON that says how it is made up, then images and arrays.

The line is checked against declared types, and the bytes against a digest, so that what is read is either a compiled
model or an error. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from openane.artifact.plan import Artifact, EngineStep, HostStep, Plan, Step
from openane.core.errors import Diagnostic
from openane.core.origin import Origin
from openane.core.reader import Buffer
from openane.core.serialization import from_plain, to_plain
from openane.core.types import DType
from openane.formats.hwx import read_hwx, write_hwx
from openane.graph import Graph, Node, Operation, TensorType, ops
from openane.targets import load_program


@dataclass(frozen=True, slots=True)
class StoredArray:
    """Where an array is: its type, and the offset of its bytes."""

    type: TensorType
    offset: int


@dataclass(frozen=True, slots=True)
class StoredEngineStep:
    """An EngineStep; its image is at `offset`, and `layers` are the origins of the tasks."""

    offset: int
    size_bytes: int
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    dialect: str
    notes: Mapping[str, str]
    layers: tuple[Origin, ...]


@dataclass(frozen=True, slots=True)
class StoredHostStep:
    """A HostStep."""

    name: str
    inputs: Mapping[str, TensorType]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, StoredArray]
    rows: bool
    reasons: Mapping[str, Diagnostic]


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """An Artifact without graph and nets.

    Attributes:
        key: what it was made from.
        sidecars: sidecar files that it was made from as well -> SHA-256 of each, empty where there was none.
        sha256: of the bytes after the line.
    """

    key: str
    sha256: str
    target: str
    name: str
    inputs: Mapping[str, TensorType]
    outputs: Mapping[str, TensorType]
    types: Mapping[str, TensorType]
    steps: tuple[StoredEngineStep | StoredHostStep, ...]
    constants: Mapping[str, StoredArray]
    warnings: tuple[str, ...]
    states: Mapping[str, str]
    labels: Mapping[str, tuple[str, ...]]
    sidecars: Mapping[str, str]


class _Payload:
    """The bytes after the line, as they are put together."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size_bytes = 0

    def add(self, piece: bytes) -> int:
        """Appends a piece; returns its offset."""
        offset = self.size_bytes
        self.pieces.append(piece)
        self.size_bytes += len(piece)
        return offset

    def places(self, arrays: Mapping[str, np.ndarray]) -> dict[str, StoredArray]:
        """Appends arrays; returns where they are."""
        return {
            name: StoredArray(TensorType(array.shape, DType.of(array)), self.add(np.ascontiguousarray(array).tobytes()))
            for name, array in arrays.items()
        }


def encode(artifact: Artifact, key: str, sidecars: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a compiled model; the graph and the nets it was made from are left out.

    Args:
        artifact: to keep.
        key: what it was made from.
        sidecars: see `StoredArtifact`.

    Raises:
        TypeError: it holds something that has no plain form.
    """
    plan, payload = artifact.plan, _Payload()
    steps = tuple(_stored(step, payload) for step in plan.steps)
    constants = payload.places(plan.constants)
    data = b"".join(payload.pieces)
    entry = StoredArtifact(
        key,
        hashlib.sha256(data).hexdigest(),
        artifact.target,
        plan.name,
        plan.inputs,
        plan.outputs,
        plan.types,
        steps,
        constants,
        artifact.warnings,
        plan.states,
        plan.labels,
        sidecars or {},
    )
    return json.dumps(to_plain(entry)).encode() + b"\n" + data


def _stored(step: Step, payload: _Payload) -> StoredEngineStep | StoredHostStep:
    if isinstance(step, HostStep):
        graph = step.graph
        places = payload.places(graph.constants)
        return StoredHostStep(graph.name, graph.inputs, graph.outputs, graph.nodes, places, graph.rows, step.reasons)
    image = write_hwx(step.program)
    origins = tuple(task.origin for task in step.program.tasks)
    return StoredEngineStep(
        payload.add(image), len(image), step.inputs, step.outputs, step.program.dialect, step.program.notes, origins
    )


def decode(data: bytes, key: str, unchanged: Callable[[Mapping[str, str]], bool]) -> Artifact:
    """The compiled model that bytes hold.

    Args:
        data: of the entry.
        key: what it must have been made from.
        unchanged: whether the sidecar files still have these digests; asked when there are any.

    Raises:
        ValueError, RecursionError: they are not an entry, or the entry of another key.
        OpenaneError: a program in them is damaged, or the parts contradict each other.
    """
    line, _, rest = data.partition(b"\n")
    entry: StoredArtifact = from_plain(StoredArtifact, json.loads(line), _choose)
    payload = memoryview(rest)
    if entry.key != key or entry.sha256 != hashlib.sha256(payload).hexdigest():
        raise ValueError("the entry does not verify")
    if entry.sidecars and not unchanged(entry.sidecars):
        raise ValueError("a sidecar file has changed")
    steps = tuple(_step(each, payload, entry) for each in entry.steps)
    constants = _arrays(entry.constants, payload)
    plan = Plan(entry.name, entry.inputs, entry.outputs, steps, entry.types, constants, entry.states, entry.labels)
    check_plan(plan)
    return Artifact(plan, entry.target, warnings=entry.warnings)


def _choose(declared: type, name: str) -> type:
    """The operation of a name; every other class is the declared one."""
    if declared is Operation or issubclass(declared, Operation):
        found = getattr(ops, name, None)
        return found if isinstance(found, type) else declared
    if declared.__name__ != name:
        raise ValueError(f"{name!r} instead of {declared.__name__}")
    return declared


def _step(entry: StoredEngineStep | StoredHostStep, payload: memoryview, whole: StoredArtifact) -> Step:
    if isinstance(entry, StoredHostStep):
        graph = Graph(
            entry.name, entry.inputs, entry.outputs, entry.nodes, _arrays(entry.constants, payload), entry.rows
        )
        return HostStep(graph, entry.reasons)
    program = load_program(read_hwx(_piece(payload, entry.offset, entry.size_bytes), name=whole.name))
    if len(program.tasks) != len(entry.layers):
        raise ValueError("another number of tasks")
    tasks = tuple(replace(task, origin=origin) for task, origin in zip(program.tasks, entry.layers, strict=True))
    program = replace(program, tasks=tasks, dialect=entry.dialect, notes=entry.notes)
    return EngineStep(program, entry.inputs, entry.outputs)


def _arrays(places: Mapping[str, StoredArray], payload: memoryview) -> dict[str, np.ndarray]:
    found = {}
    for name, place in places.items():
        dtype, shape = place.type.dtype.numpy, place.type.shape
        if min(shape, default=0) < 0:
            raise ValueError("a negative extent")
        piece = _piece(payload, place.offset, place.type.size * dtype.itemsize)
        found[name] = np.frombuffer(piece, dtype).reshape(shape)
    return found


def _piece(payload: memoryview, offset: int, size_bytes: int) -> Buffer:
    if not 0 <= offset <= offset + size_bytes <= len(payload):
        raise ValueError("bytes beyond the end")
    return payload[offset : offset + size_bytes]


def check_plan(plan: Plan) -> None:
    """Whether the steps fit together: every value is there before it is read, in the size that its reader takes.

    Raises:
        ValueError: they do not.
        OpenaneError: the graph of a host step contradicts itself.
    """
    known = {**plan.inputs, **{name: plan.types.get(name) for name in plan.constants}}
    for step in plan.steps:
        if isinstance(step, HostStep):
            read: Mapping[str, TensorType] = step.graph.inputs
            made = {name: step.graph.types[name] for name in step.graph.outputs}
            fits = all(plan.types.get(name) == kind for name, kind in {**read, **made}.items())
        else:
            inputs = {surface.name: surface for surface in step.program.inputs}
            outputs = {surface.name: surface for surface in step.program.outputs}
            if inputs.keys() != step.inputs.keys() or not outputs.keys() >= step.outputs.keys():
                raise ValueError("other surfaces than the program has")
            read = {value: plan.types[value] for value in step.inputs.values()}
            made = {value: plan.types[value] for value in step.outputs.values()}
            pairs = [(inputs[name], read[value]) for name, value in step.inputs.items()]
            pairs += [(outputs[name], made[value]) for name, value in step.outputs.items()]
            fits = all(TensorType(surface.shape).size == kind.size for surface, kind in pairs)
        if not fits or not read.keys() <= known.keys():
            raise ValueError("steps that do not fit together")
        known.update(made)
    if any(known.get(name) != kind for name, kind in plan.outputs.items()):
        raise ValueError("outputs that no step makes")
    if any(plan.inputs.get(name) != plan.outputs.get(kept, 0) for name, kept in plan.states.items()):
        raise ValueError("states that are not an input and an output of one type")
    if any(name not in plan.outputs for name in plan.labels):
        raise ValueError("labels of something that is not an output")
