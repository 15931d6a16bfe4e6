"""Choices of a compilation: one type for the Python interface, the command line and the cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from openane.core.choices import AllowedEncodings, NamedChoice
from openane.core.deprecation import renamed_keyword, warn_of_old_name
from openane.core.passes import Stage
from openane.targets.registry import DEFAULT_TARGET

if TYPE_CHECKING:
    import numpy as np

Shapes = Mapping[str, tuple[int, ...]]


class Functions(NamedChoice, subject="form of functions"):
    """Which form a function of one element takes when a Graph becomes a Net."""

    ACCURATE = "accurate"
    """The most accurate form whose encodings are on record."""
    APPLE = "apple"
    """One unit per function: the table that Apple's compiler writes. Where none is known, which no other choice
    uses, a table fitted here, or a composition of the back end."""


class Weights(NamedChoice, subject="form of weights"):
    """How kernels are stored and streamed; every form has the same weights, bit by bit."""

    AUTO = "auto"
    """Compressed where the file of the model compresses weights, else as fp16."""
    SMALLEST = "smallest"
    """Each kernel in the form that takes the fewest bytes."""
    DENSE = "dense"
    """As fp16."""


@renamed_keyword("wide", "keep_on_host")
@dataclass(frozen=True, slots=True)
class Options:
    """Choices of a compilation.

    Attributes:
        target: chip generation by name.
        dialect: whose layout habits to follow; None takes the target's default.
        shapes: sizes for inputs whose dimensions the model leaves open.
        constants: values for inputs that decide shapes or branches; they stop being inputs (ONNX only).
        function: name of one of several functions of a Core ML model or bundle; None for the default.
        model: number of one model of a Core ML pipeline, from 0 on; None for all of them in a row.
        states: inputs that take the value of an output of the last run, by name, in addition to those of the model.
        host: whether the host may run what the engine cannot; if not, such a model is refused.
        functions: which form functions of one element take when a Graph becomes a Net; a Net keeps its units.
        keep_on_host: names of layers (or nodes) to keep on the host, in the model's own precision.
        evidence: which encodings may be used; the recorded ones alone cost tasks and time (docs/evidence.md).
        weights: how kernels are stored and streamed.
        rescale: multiply kernels by powers of two, undone after the sum, so that the MAC array loses less; as far as
            proven bounds on the sums or `calibration` allow (docs/how-to/rescale.md).
        calibration: typical inputs for `rescale`, one array per input; none for proven bounds only.
        observe: called with every stage of the compilation, for dumps.
        time_limit_seconds: wall-clock time after which compiling stops; None for no limit.
    """

    target: str = DEFAULT_TARGET
    dialect: str | None = None
    shapes: Shapes = field(default_factory=dict)
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    function: str | None = None
    model: int | None = None
    states: Mapping[str, str] = field(default_factory=dict)
    host: bool = True
    keep_on_host: frozenset[str] = frozenset()
    functions: Functions = Functions.ACCURATE
    evidence: AllowedEncodings = AllowedEncodings.ANY
    weights: Weights = Weights.AUTO
    rescale: bool = False
    calibration: Mapping[str, np.ndarray] = field(default_factory=dict)
    observe: Callable[[Stage], None] | None = field(default=None, compare=False)
    time_limit_seconds: float | None = field(default=600.0, compare=False)

    def of_part(
        self,
        *,
        host: bool,
        keep_on_host: frozenset[str] = frozenset(),
        calibration: Mapping[str, np.ndarray] = MappingProxyType({}),
    ) -> Options:
        """The same choices for a part of the model, with known shapes and without an observer.

        Args:
            host: as the field.
            keep_on_host: as the field.
            calibration: the inputs of the part, if the whole model is calibrated.
        """
        calibration = calibration if self.calibration else {}
        part = replace(self, shapes={}, constants={}, states={}, host=host, keep_on_host=keep_on_host)
        return replace(part, calibration=calibration, observe=None)

    def identity(self) -> dict[str, Any]:
        """What a compiled model depends on, as values that JSON can hold; arrays are left out."""
        from openane.core.serialization import to_plain

        arrays = ("constants", "calibration")
        names = (each.name for each in fields(self) if each.compare and each.name not in arrays)
        return {name: to_plain(getattr(self, name)) for name in names}

    @property
    def wide(self) -> frozenset[str]:
        """The old name of `keep_on_host`."""
        warn_of_old_name("Options.wide", "Options.keep_on_host")
        return self.keep_on_host


LIKE_APPLE: Mapping[str, Any] = MappingProxyType({"functions": Functions.APPLE, "rescale": False})
"""Fields of `Options` that together stand for Apple's compiler, for comparisons with what it writes."""
