"""Running MIL text on a Mac, with the surfaces that the in-memory path wants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from openane.program import Program, Role, Surface
from openane.runtimes.macos.models import InMemoryModel
from openane.runtimes.macos.objc import Bridge
from openane.runtimes.macos.request import MacosSession

ROW_BYTES: Final = 64
"""Rows of a surface begin at multiples of this."""

Shape = tuple[int, int, int, int, int]


def open_mil(
    bridge: Bridge,
    text: str,
    weights: Mapping[str, bytes],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
) -> MacosSession:
    """Compiles and loads MIL text with the system's own compiler (`_ANEInMemoryModel`).

    The path has limits of its own (Orion, maderix): inputs and outputs are numbered by name, all inputs share one
    allocation size and so do all outputs, and a process may load about 120 models before it must be restarted.

    Args:
        bridge: to the system.
        text: MIL program with fp16 inputs and outputs.
        weights: file name inside the text -> bytes.
        inputs: name -> (N, D, C, H, W).
        outputs: name -> (N, D, C, H, W).

    Raises:
        UnavailableError: the framework is missing.
        FaultError: the system refused; its own words.
    """
    bridge.load("AppleNeuralEngine")
    surfaces = [dense_surface(name, Role.INPUT, shape) for name, shape in inputs.items()]
    surfaces += [dense_surface(name, Role.OUTPUT, shape) for name, shape in outputs.items()]
    names = Program("", (), (), tuple(surfaces), b"", name="MIL program")
    return MacosSession(bridge, names, InMemoryModel(bridge, text, weights), alphabetical=True, equal_sizes=True)


def dense_surface(name: str, role: Role, shape: Shape) -> Surface:
    """A fp16 surface as the system lays it out: rows padded to 64 bytes, nothing else."""
    batch, depth, channels, height, width = shape
    row = -(-2 * width // ROW_BYTES) * ROW_BYTES
    plane = row * height
    image = plane * channels
    return Surface(name, role, shape, (image, batch * image, plane, row, 2), batch * depth * image, buffer=0)
