"""Writing a bundle: its members, and the manifest that describes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from openane.artifact.bundle.bundle import Bundle, Variant, evidence_text
from openane.artifact.bundle.manifest import FORMAT, SCHEMA, Json, digest, reason, surface, tensors
from openane.artifact.plan import EngineStep, HostStep
from openane.core.errors import InputError
from openane.core.reader import Buffer
from openane.core.version import __version__
from openane.formats.anec import libane_order, write_anec
from openane.formats.bundle import MANIFEST, save_members
from openane.formats.hwx import write_hwx
from openane.graph import Graph
from openane.program import Program

SUFFIX = ".openane"
EXTERNAL_BYTES = 1024
"""Constants of host graphs from this size on are members of their own, so that variants share them."""

Export = Callable[[Graph], Any]
"""Writes a graph as an `onnx.ModelProto`."""


def write_bundle(bundle: Bundle, path: Path, export: Export, *, anec: bool = False) -> None:
    """Writes a bundle to one file, whole or not at all; the same bundle makes the same bytes.

    Args:
        bundle: what to write.
        path: of the file.
        export: writes the graph of a host step.
        anec: write each program as .anec too, for the libraries of the Linux driver.

    Raises:
        InputError: a program does not fit into a .anec, the file cannot be written, or its name does not end in
            .openane.
        UnsupportedError: a host step has no form in ONNX.
    """
    if path.suffix.lower() != SUFFIX:
        raise InputError("a bundle has another file extension", where=str(path), value=path.suffix, limit=SUFFIX)
    writer = _Writer(export, anec)
    manifest = writer.manifest(bundle)
    text = json.dumps(manifest, indent=1).encode()
    save_members(path, {MANIFEST: text, **writer.members})


class _Writer:
    """Collects the members; equal ones are kept once."""

    def __init__(self, export: Export, anec: bool) -> None:
        self.members: dict[str, Buffer] = {}
        self._export, self._anec = export, anec
        self._programs: list[Json] = []

    def manifest(self, bundle: Bundle) -> Json:
        """The manifest, after everything that it names has become a member."""
        variants = [self._variant(variant) for variant in bundle.variants]
        return {
            "format": FORMAT,
            "schema": SCHEMA,
            "producer": f"openane {__version__}",
            "name": bundle.name,
            "variants": variants,
            "programs": self._programs,
            "members": {name: {"bytes": len(data), "sha256": digest(data)} for name, data in self.members.items()},
        }

    def _variant(self, variant: Variant) -> Json:
        plan = variant.artifact.plan
        return {
            "function": variant.function,
            "target": variant.artifact.target,
            "inputs": tensors(plan.inputs),
            "outputs": tensors(plan.outputs),
            "values": tensors(plan.types),
            "constants": {name: self._array(array) for name, array in plan.constants.items()},
            "steps": [
                self._host_step(step) if isinstance(step, HostStep) else self._engine_step(step) for step in plan.steps
            ],
            "warnings": list(variant.artifact.warnings),
            "states": dict(plan.states),
            "labels": {name: list(found) for name, found in plan.labels.items()},
        }

    def _array(self, array: np.ndarray) -> str:
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        return self._add("constants", "bin", little.tobytes())

    def _add(self, folder: str, ending: str, data: Buffer) -> str:
        name = f"{folder}/{digest(data)[:32]}.{ending}"
        self.members[name] = data
        return name

    def _engine_step(self, step: EngineStep) -> Json:
        self._programs.append(self._program(step.program))
        return {
            "program": len(self._programs) - 1,
            "inputs": _operands(step.inputs.items()),
            "outputs": _operands(step.outputs.items()),
        }

    def _program(self, program: Program) -> Json:
        return {
            "image": self._add("programs", "hwx", write_hwx(program)),
            "target": program.target,
            "dialect": program.dialect,
            "evidence": evidence_text(program),
            "notes": dict(program.notes),
            "scratch_bytes": program.scratch_bytes,
            "surfaces": [surface(each) for each in program.surfaces],
            "layers": [list(task.origin.layers) for task in program.tasks],
            **({"anec": self._linux(program)} if self._anec else {}),
        }

    def _linux(self, program: Program) -> Json:
        ordered = libane_order(program)
        buffers = {surface.name: surface.buffer for surface in ordered.surfaces}
        return {"member": self._add("programs", "anec", write_anec(ordered)), "buffers": buffers}

    def _host_step(self, step: HostStep) -> Json:
        model = self._export(step.graph)
        for initializer in model.graph.initializer:
            data = bytes(initializer.raw_data)
            if len(data) >= EXTERNAL_BYTES:
                name = self._add("host", "bin", data)
                initializer.ClearField("raw_data")
                initializer.data_location = initializer.EXTERNAL
                initializer.external_data.add(key="location", value=name.removeprefix("host/"))
        graph = step.graph
        return {
            "host": self._add("host", "onnx", model.SerializeToString(deterministic=True)),
            "inputs": _operands((name, name) for name in graph.inputs),
            "outputs": _operands((name, name) for name in graph.outputs),
            "reasons": {node: reason(why) for node, why in step.reasons.items()},
        }


def _operands(pairs: Any) -> list[Json]:
    return [{"name": name, "value": value} for name, value in pairs]
