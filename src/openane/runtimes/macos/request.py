"""What the model paths share: surfaces bound to a request, and a session around one evaluation call."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Final, Protocol

import numpy as np

from openane.program import Program, Surface
from openane.program.layout import read_surface, write_surface
from openane.runtimes.macos.foundation import array_of, to_object
from openane.runtimes.macos.objc import Bridge, autorelease_pool
from openane.runtimes.macos.surface import SharedSurface
from openane.runtimes.runtime import Session

UNIFORM_BYTES: Final = 0xC000
"""Allocations of equal size are reported to be safe from about 49 KB on."""
QOS: Final = 21
"""Quality of service that published clients use (0x15, "default")."""


class LoadedModel(Protocol):
    """A model that the engine can evaluate."""

    def evaluate(self, request: int) -> None:
        """Runs a request and waits for it. Raises OpenaneError with the system's words."""
        ...

    def unload(self) -> None:
        """Takes the model off the engine."""
        ...


class MacosSession(Session):
    """A loaded model with its surfaces.

    Args:
        bridge: to the system.
        program: names and layouts of inputs and outputs.
        model: loaded; belongs to the session from now on.
        alphabetical: whether the system numbers inputs and outputs by name (MIL models) or as the program does.
        equal_sizes: whether all inputs must have one size, and all outputs too (in-memory models, error 0x1d).
    """

    def __init__(
        self,
        bridge: Bridge,
        program: Program,
        model: LoadedModel,
        *,
        alphabetical: bool = False,
        equal_sizes: bool = False,
    ) -> None:
        super().__init__(program)
        self._bridge = bridge
        self._model = model
        self._resources = ExitStack()
        self._resources.callback(model.unload)
        try:
            self._surfaces: dict[str, SharedSurface] = {}
            groups = [_ordered(surfaces, alphabetical) for surfaces in (self.inputs, self.outputs)]
            with autorelease_pool(bridge):
                for group in groups:
                    self._allocate(group, equal_sizes)
                self._request = self._resources.enter_context(
                    _Retained(bridge, make_request(bridge, [self._numbered(group) for group in groups]))
                ).reference
        except BaseException:
            self._resources.close()
            raise

    def _allocate(self, surfaces: Sequence[Surface], equal_sizes: bool) -> None:
        sizes = (UNIFORM_BYTES, *(surface.size_bytes for surface in surfaces))
        largest = max(sizes) if equal_sizes else 0
        for surface in surfaces:
            shared = SharedSurface(self._bridge, surface, largest)
            self._resources.callback(shared.close)
            self._surfaces[surface.name] = shared

    def _numbered(self, surfaces: Sequence[Surface]) -> list[int]:
        return [self._surfaces[surface.name].reference for surface in surfaces]

    def _execute(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        for surface in self.inputs:
            with self._surfaces[surface.name].locked(read_only=False) as memory:
                write_surface(surface, memory, inputs[surface.name])
        with autorelease_pool(self._bridge):
            self._model.evaluate(self._request)
        outputs = {}
        for surface in self.outputs:
            with self._surfaces[surface.name].locked(read_only=True) as memory:
                outputs[surface.name] = read_surface(surface, memory)
        return outputs

    def _release(self) -> None:
        with autorelease_pool(self._bridge):
            self._resources.close()


def make_request(bridge: Bridge, groups: Sequence[Sequence[int]]) -> int:
    """An `_ANERequest` that binds inputs and outputs, numbered from 0 in each group.

    Args:
        bridge: to the system.
        groups: IOSurface references of the inputs, then of the outputs.
    """
    arrays = []
    wrapper = bridge.class_named("_ANEIOSurfaceObject")
    for references in groups:
        objects = [bridge.send(wrapper, "objectWithIOSurface:", reference) for reference in references]
        arrays += [array_of(bridge, objects), to_object(bridge, list(range(len(objects))))]
    request: int = bridge.send(
        bridge.class_named("_ANERequest"),
        "requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:perfStats:procedureIndex:",
        *arrays,
        0,
        0,
        to_object(bridge, 0),
    )
    return request


def qos() -> ctypes.c_uint32:
    """The quality of service as an argument."""
    return ctypes.c_uint32(QOS)


def options_object(bridge: Bridge, options: Mapping[str, str] | None = None) -> int:
    """A dictionary of options, empty by default; nil is refused by some calls."""
    return to_object(bridge, dict(options or {}))


class _Retained:
    """An object kept beyond the pool it was made in."""

    def __init__(self, bridge: Bridge, reference: int) -> None:
        self._bridge = bridge
        self.reference: int = bridge.send(reference, "retain")

    def __enter__(self) -> _Retained:
        return self

    def __exit__(self, *error: object) -> None:
        self._bridge.send(self.reference, "release", result=None)


def retained(bridge: Bridge, reference: int) -> int:
    """The same object, to be given back with `release`."""
    result: int = bridge.send(reference, "retain")
    return result


def _ordered(surfaces: Sequence[Surface], alphabetical: bool) -> list[Surface]:
    return sorted(surfaces, key=lambda surface: surface.name) if alphabetical else list(surfaces)
