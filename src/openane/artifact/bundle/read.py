"""Reading a bundle: everything is checked before anything is returned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from openane.artifact.artifact_format import check_plan
from openane.artifact.bundle.bundle import Bundle, Variant
from openane.artifact.bundle.manifest import Json, digest, named_tensors, parse_manifest, surface
from openane.artifact.plan import Artifact, EngineStep, HostStep, Plan, Step
from openane.core.errors import Diagnostic, FormatError, OpenaneError, UnavailableError
from openane.core.origin import Origin
from openane.core.reader import Buffer
from openane.formats.anec import read_anec
from openane.formats.bundle import MANIFEST, BundleFiles, open_bundle
from openane.formats.hwx import read_hwx
from openane.frontends.onnx import load_model
from openane.graph import Graph, TensorType
from openane.program import Program
from openane.targets import load_program


def read_bundle(path: str | Path) -> Bundle:
    """Reads a bundle from a file or an unpacked folder. Nothing in it is run, and no file outside of it is read.

    Args:
        path: of the file or folder.

    Raises:
        InputError: it cannot be read.
        FormatError: it is not a bundle, is damaged or incomplete, has a newer schema, or its parts contradict each
            other; names the part.
        UnavailableError: it has host steps, and the package onnx is not installed.
        UnsupportedError, ModelError: a host step cannot be read; see `frontends.onnx.load_model`.
    """
    files = open_bundle(Path(path))
    return _Reader(files, parse_manifest(files.read(MANIFEST), files.where)).bundle()


class _Reader:
    """Reads the parts of a bundle whose manifest has the right form."""

    def __init__(self, files: BundleFiles, manifest: Json) -> None:
        self._manifest = manifest
        self._where = files.where
        self._members = {name: self._member(files, name, facts) for name, facts in manifest["members"].items()}
        self._programs = [self._program(plain, index) for index, plain in enumerate(manifest["programs"])]
        self._graphs: dict[str, Graph] = {}

    @staticmethod
    def _member(files: BundleFiles, name: str, facts: Json) -> Buffer:
        data, where = files.read(name), f"{files.where}: {name}"
        if len(data) != facts["bytes"]:
            raise FormatError("a member has another size", where=where, value=len(data), limit=facts["bytes"])
        found = digest(data)
        if found != facts["sha256"]:
            raise FormatError(
                "a member does not have the digest of the manifest",
                where=where,
                value=f"SHA-256 {found}",
                limit=facts["sha256"],
                hint="The bundle was damaged or changed. Get it again, or compile the model again.",
            )
        return data

    def _content(self, name: str, where: str) -> Buffer:
        if name not in self._members:
            raise FormatError("the manifest does not list this member", where=where, value=name)
        return self._members[name]

    def bundle(self) -> Bundle:
        """The whole bundle."""
        plain = self._manifest["variants"]
        return Bundle(self._manifest["name"], tuple(self._variant(each, i) for i, each in enumerate(plain)))

    def _program(self, plain: Json, index: int) -> Program:
        where = f"{self._where}: program {index}"
        program = load_program(read_hwx(self._content(plain["image"], where), where))
        for name, found in (
            ("target", program.target),
            ("surfaces", [surface(each) for each in program.surfaces]),
            ("scratch_bytes", program.scratch_bytes),
        ):
            if plain[name] != found:
                raise FormatError(f"manifest and program disagree about {name}", where=where, value=found)
        if len(plain["layers"]) != len(program.tasks):
            raise FormatError(
                "manifest and program disagree about the number of tasks",
                where=where,
                value=len(plain["layers"]),
                limit=len(program.tasks),
            )
        if "anec" in plain:
            self._check_anec(plain["anec"], program, where)
        tasks = tuple(
            replace(task, origin=Origin(tuple(layers)))
            for task, layers in zip(program.tasks, plain["layers"], strict=True)
        )
        name = self._manifest["name"]
        return replace(program, tasks=tasks, dialect=plain["dialect"], notes=plain["notes"], name=name)

    def _check_anec(self, plain: Json, program: Program, where: str) -> None:
        """The same program as .anec: it has the surfaces that the manifest says."""
        image = read_anec(self._content(plain["member"], where), where).image()
        named = {surface.name: (surface.role, surface.shape) for surface in program.surfaces}
        wanted = {buffer: named.get(name) for name, buffer in plain["buffers"].items()}
        if wanted != {surface.buffer: (surface.role, surface.shape) for surface in image.surfaces}:
            raise FormatError("manifest and .anec disagree about the surfaces", where=where)

    def _variant(self, plain: Json, index: int) -> Variant:
        where = f"{self._where}: variant {index}"
        inputs, outputs = named_tensors(plain["inputs"], where), named_tensors(plain["outputs"], where)
        types = named_tensors(plain["values"], where)
        constants = {
            name: self._array(name, member, types, where) for name, member in sorted(plain["constants"].items())
        }
        steps = tuple(self._step(step, f"{where}: step {i + 1}") for i, step in enumerate(plain["steps"]))
        labels = {name: tuple(found) for name, found in plain["labels"].items()}
        plan = Plan(self._manifest["name"], inputs, outputs, steps, types, constants, plain["states"], labels)
        try:
            check_plan(plan)
        except (ValueError, KeyError) as error:
            raise FormatError("the steps do not fit together", where=where, value=error) from error
        except OpenaneError as error:
            raise error.at(where) from error
        return Variant(Artifact(plan, plain["target"], warnings=tuple(plain["warnings"])), plain["function"])

    def _array(self, name: str, member: str, types: Mapping[str, TensorType], where: str) -> np.ndarray:
        if name not in types:
            raise FormatError("a constant is not a value of the variant", where=where, value=name)
        kind, data = types[name], self._content(member, where)
        dtype = kind.dtype.numpy.newbyteorder("<")
        if len(data) != kind.size * dtype.itemsize:
            raise FormatError("a constant has another size", where=f"{where}: {name}", value=len(data), limit=kind)
        return np.frombuffer(data, dtype).astype(kind.dtype.numpy, copy=False).reshape(kind.shape)

    def _step(self, plain: Json, where: str) -> Step:
        if ("program" in plain) == ("host" in plain):
            raise FormatError("a step has either a program or a host graph", where=where)
        inputs, outputs = (self._operands(plain[role], where) for role in ("inputs", "outputs"))
        if "host" in plain:
            graph = self._graph(plain["host"], where)
            bound = {name: name for name in (*graph.inputs, *graph.outputs)}
            if {**inputs, **outputs} != bound:
                raise FormatError("the step and its ONNX model have other inputs and outputs", where=where)
            return HostStep(graph, {node: Diagnostic(**why) for node, why in plain.get("reasons", {}).items()})
        if plain["program"] >= len(self._programs):
            raise FormatError("there is no such program", where=where, value=plain["program"])
        return EngineStep(self._programs[plain["program"]], inputs, outputs)

    @staticmethod
    def _operands(plain: list[Json], where: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for each in plain:
            if each["name"] in found:
                raise FormatError("an operand is bound twice", where=where, value=each["name"])
            found[each["name"]] = each["value"]
        return found

    def _graph(self, member: str, where: str) -> Graph:
        if member not in self._graphs:
            data = self._content(member, where)
            name = f"{self._where}: {member}"
            model = _parse(bytes(data), name)
            for initializer in model.graph.initializer:
                self._embed(initializer, PurePosixPath(member).parent, name)
            self._graphs[member] = load_model(model, name=name)
        return self._graphs[member]

    def _embed(self, initializer: Any, folder: PurePosixPath, where: str) -> None:
        """Takes the weights of an initializer from the member that it names."""
        if not initializer.external_data:
            return
        entries = {entry.key: entry.value for entry in initializer.external_data}
        if entries.keys() != {"location"}:
            raise FormatError(
                "external data of a bundle is one whole member", where=where, value=", ".join(entries), limit="location"
            )
        initializer.raw_data = bytes(self._content(str(folder / entries["location"]), where))
        initializer.ClearField("external_data")
        initializer.ClearField("data_location")


def _parse(data: bytes, name: str) -> Any:
    try:
        from openane.frontends.onnx.read import parse_model
    except ImportError as error:
        raise UnavailableError(
            "a bundle with host steps needs the onnx package", hint='Install it with: pip install "openane[onnx]"'
        ) from error
    return parse_model(data, name)
