"""Compiled models that belong together: one per function and per set of input shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from openane.artifact.options import Shapes
from openane.artifact.plan import Artifact
from openane.core.errors import InputError
from openane.program import Program
from openane.program.evidence import levels_text
from openane.targets import attach

MAIN = "main"
"""Name of the only function of a model that names none."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One compiled model of a bundle.

    Attributes:
        artifact: the compiled model.
        function: its name among the functions of the bundle.
    """

    artifact: Artifact
    function: str = MAIN

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every input, by name."""
        return {name: kind.shape for name, kind in self.artifact.plan.inputs.items()}


@dataclass(frozen=True)
class Bundle:
    """Compiled models of one file.

    Attributes:
        name: of the model.
        variants: at least one; no two have the same function and the same input shapes. The function of the first one
            is the default function, and the first variant of a function has its default shapes.
    """

    name: str
    variants: tuple[Variant, ...]

    def __post_init__(self) -> None:
        """Checks the variants.

        Raises:
            InputError: the list is empty, or two of them have the same function and shapes.
        """
        if not self.variants:
            raise InputError("a bundle has at least one compiled model", where=self.name)
        known = set()
        for variant in self.variants:
            key = (variant.function, tuple(sorted(variant.shapes.items())))
            if key in known:
                raise InputError(
                    "two compiled models of a bundle have the same function and input shapes",
                    where=self.name,
                    value=f"{variant.function}({shape_text(variant.shapes)})",
                    hint="Give each function its own name, or each variant other shapes.",
                )
            known.add(key)

    @property
    def functions(self) -> tuple[str, ...]:
        """The names of the functions, the default first."""
        return tuple(dict.fromkeys(variant.function for variant in self.variants))

    def of_function(self, function: str | None = None) -> tuple[Variant, ...]:
        """The variants of a function, the one with the default shapes first.

        Args:
            function: its name; None for the default function.

        Raises:
            InputError: there is no such function.
        """
        wanted = self.functions[0] if function is None else function
        if wanted not in self.functions:
            raise InputError(
                "the model has no such function", where=self.name, value=wanted, limit=", ".join(self.functions)
            )
        return tuple(variant for variant in self.variants if variant.function == wanted)

    def select(self, shapes: Shapes | None = None, function: str | None = None) -> Artifact:
        """The compiled model for the shapes of some inputs; the first one that fits.

        Args:
            shapes: by input name; inputs that are not named fit any variant. Names that no input has fit none.
            function: its name; None for the default function.

        Raises:
            InputError: there is no such function, or no variant has these shapes.
        """
        candidates = self.of_function(function)
        wanted = dict(shapes or {})
        for variant in candidates:
            if all(variant.shapes.get(name) == tuple(shape) for name, shape in wanted.items()):
                return variant.artifact
        compiled = " or ".join(shape_text(variant.shapes) for variant in candidates[:8])
        raise InputError(
            "the bundle is not compiled for these input shapes",
            where=self.name,
            value=shape_text(wanted),
            limit=compiled if len(candidates) <= 8 else f"{compiled} and {len(candidates) - 8} more",
            hint="Compile the model again with a --shape for each shape that is needed.",
        )

    def save(self, path: str | Path, *, anec: bool = False) -> None:
        """Writes the bundle to one file.

        Args:
            path: of the file.
            anec: write each program as .anec too, for the libraries of the Linux driver.

        Raises:
            InputError: the file cannot be written, or its name does not end in .openane.
            UnsupportedError: a host step has no form in ONNX.
            UnavailableError: there are host steps, and the package onnx is not installed.
        """
        # The writer of host graphs is in a package above this one.
        import_module("openane.runtimes.bundles").save_bundle(self, Path(path), anec=anec)


def shape_text(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Shapes by name as one line: "x 1x3x224x224, y scalar"."""
    return ", ".join(f"{name} {'x'.join(map(str, shape)) or 'scalar'}" for name, shape in shapes.items())


def evidence_text(program: Program) -> str:
    """How the encoding of the tasks is backed, as `levels_text` says it; empty without records of the generation."""
    codec = attach(program).codec
    assert codec is not None
    found = [codec.evidence_of(task) for task in program.tasks]
    known = [evidence.level for evidence in found if evidence is not None]
    return levels_text(known) if len(known) == len(found) else ""
