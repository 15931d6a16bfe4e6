"""Which backends may run an operation: registered rules, each with its limit, its value and its evidence.

Two questions are kept apart: whether Core ML's segmenter lists the engine for the operation (`supported`), and whether
Apple's compiler then makes a program of it (`can`). They differ for topk on the M4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from openane.coreml_placement import families
from openane.coreml_placement.families import CATALOG, Support
from openane.coreml_placement.platforms import MEASURED_SYSTEM, core_ml
from openane.coreml_placement.program import PlacedOperation, PlacedTensor
from openane.targets.core_ml import CoreMl, CoreMlLimit, CoreMlRefusal, Platform


@dataclass(frozen=True, slots=True)
class EligibilityFinding:
    """What one rule says of one operation.

    Attributes:
        allows: whether the engine may run it; None where nobody knows.
        reason: a clause.
        limit, value: what is allowed and what the operation has; empty where there is no number.
        evidence: where that is from; empty for what the lists of the generation rest on.
        listed: whether Core ML lists the engine all the same.
    """

    allows: bool | None
    reason: str
    limit: str = ""
    value: str = ""
    evidence: str = ""
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """What a rule is asked about.

    Attributes:
        operation: in question.
        platform: that shall run it.
        system: release of macOS.
    """

    operation: PlacedOperation
    platform: Platform
    system: int

    @property
    def known(self) -> CoreMl | None:
        """What is known of the generation."""
        return core_ml(self.platform.generation)

    @property
    def follows_measurement(self) -> bool:
        """Whether the measured lists hold."""
        return self.known is not None and self.known.follows_measurement and self.system >= MEASURED_SYSTEM


Rule = Callable[[Subject], EligibilityFinding | None]
RULES: dict[str, Rule] = {}
"""By name, in the order in which they are asked; the first finding decides."""


def _rule(rule: Rule) -> Rule:
    RULES[rule.__name__] = rule
    return rule


@dataclass(frozen=True, slots=True)
class EligibilityVerdict:
    """Whether the engine may run an operation.

    Attributes:
        can: whether hardware and compiler of the generation run it; None where nobody knows.
        supported: whether Core ML lists the engine for it; None where nobody knows.
        gpu: whether Core ML lists the GPU for it.
        rule: that decided; empty where none objected.
        reason, limit, value, evidence: as in `Finding`.
    """

    can: bool | None
    supported: bool | None
    gpu: bool
    rule: str
    reason: str
    limit: str
    value: str
    evidence: str

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that Core ML lists, as far as known."""
        listed = (("CPU", True), ("GPU", self.gpu), ("ANE", self.supported))
        return tuple(name for name, there in listed if there)


def verdict(operation: PlacedOperation, platform: Platform, system: int = MEASURED_SYSTEM) -> EligibilityVerdict:
    """Whether the engine of a platform may run an operation, and by which rule.

    Args:
        operation: with the types that Core ML sees.
        platform: of which chip.
        system: release of macOS; differs for logical operations only.
    """
    subject = Subject(operation, platform, system)
    lists = subject.known.evidence if subject.known else "unknown"
    gpu = operation.kind not in families.CPU_ONLY | families.NOT_ON_GPU
    for name, rule in RULES.items():
        found = rule(subject)
        if found is not None:
            listed = found.listed or found.allows
            evidence = found.evidence or lists
            return EligibilityVerdict(found.allows, listed, gpu, name, found.reason, found.limit, found.value, evidence)
    measured = subject.follows_measurement and operation.kind in families.MEASURED_ON
    return EligibilityVerdict(True, True, gpu, "", "", "", "", lists if measured else CATALOG)


# Types -----------------------------------------------------------------------------------------------------------

_WIDE_INTEGERS = frozenset({"int32", "uint32", "int64", "uint64"})


def _typed(tensors: tuple[PlacedTensor, ...], dtypes: frozenset[str]) -> PlacedTensor | None:
    return next((tensor for tensor in tensors if tensor.dtype in dtypes), None)


@_rule
def open_dimensions(subject: Subject) -> EligibilityFinding | None:
    """The engine runs static shapes only; Core ML lists it for casts of them all the same."""
    operation = subject.operation
    if all(tensor.shape is not None for tensor in (*operation.data, *operation.results)):
        return None
    if operation.kind in families.NEVER_MEASURED_ON:
        return None  # a stronger reason follows
    what = "a dimension is not known before run time"
    return EligibilityFinding(False, what, "static shapes", "an open dimension", CATALOG, operation.kind == "cast")


@_rule
def integer_type(subject: Subject) -> EligibilityFinding | None:
    """The engine has no 32-bit integers: arithmetic, casts from and to them, and index results stay on the CPU."""
    operation = subject.operation
    found = _typed((*operation.data, *operation.results), _WIDE_INTEGERS)
    if found is None:
        return None
    allowed = "fp16, bool, 8-bit and 16-bit integers"
    return EligibilityFinding(False, f"{operation.kind} on {found.dtype}", allowed, found.dtype)


@_rule
def text(subject: Subject) -> EligibilityFinding | None:
    """Class labels and other texts stay on the CPU."""
    if any(result.dtype == "string" for result in subject.operation.results):
        return EligibilityFinding(
            False, "the result is a text", "tensors", "string", "rule: the engine has tensors only"
        )
    return None


@_rule
def cast_to_bytes(subject: Subject) -> EligibilityFinding | None:
    """A cast to 8-bit integers is not on the engine; `quantize` is."""
    operation = subject.operation
    if operation.kind == "cast" and operation.result.dtype in ("int8", "uint8"):
        return EligibilityFinding(False, "a cast to 8-bit integers", "fp16, fp32, bool", operation.result.dtype)
    return None


@_rule
def single_precision(subject: Subject) -> EligibilityFinding | None:
    """The engine computes in half precision; only casts, which coremltools inserts, touch fp32 tensors."""
    operation = subject.operation
    if operation.kind in ("cast", "identity", "read_state", "write_state"):
        return None
    found = _typed((*operation.data, *operation.results), frozenset({"fp32", "fp64"}))
    if found is None:
        return None
    return EligibilityFinding(
        False, f"{operation.kind} in single precision", "fp16", found.dtype, "Core ML documents typed execution; rule"
    )


@_rule
def rank(subject: Subject) -> EligibilityFinding | None:
    """Core ML has tensors of rank 5 at most; models with more do not convert."""
    tensors = (*subject.operation.data, *subject.operation.results)
    highest = max((len(tensor.shape) for tensor in tensors if tensor.shape is not None), default=0)
    if highest > 5:
        return EligibilityFinding(False, "a tensor has too many axes", "rank 5", f"rank {highest}")
    return None


# Kinds -----------------------------------------------------------------------------------------------------------


@_rule
def runtime_index(subject: Subject) -> EligibilityFinding | None:
    """A gather needs an index that is known at compile time."""
    operation = subject.operation
    indices = operation.input("indices")
    if operation.kind == "gather" and indices is not None and not indices.constant:
        return EligibilityFinding(
            False, "a gather with an index that is computed at run time", "a constant index", indices.name
        )
    return None


@_rule
def runtime_begin(subject: Subject) -> EligibilityFinding | None:
    """A slice needs a begin that is known at compile time."""
    operation = subject.operation
    if operation.kind not in ("slice_by_size", "slice_by_index", "dynamic_slice", "slice_update"):
        return None
    for name in ("begin", "end"):
        found = operation.input(name)
        if found is not None and not found.constant:
            return EligibilityFinding(False, f"a slice whose {name} is computed at run time", "a constant", found.name)
    return None


@_rule
def refused(subject: Subject) -> EligibilityFinding | None:
    """Core ML places this operation on later generations only."""
    known = subject.known
    return _refusal(known.refused.get(subject.operation.kind)) if known else None


@_rule
def late_compile_failure(subject: Subject) -> EligibilityFinding | None:
    """Core ML lists the engine, and the compiler then fails."""
    found = subject.known.listed_but_failing.get(subject.operation.kind) if subject.known else None
    return _refusal(found, listed=True)


def _refusal(found: CoreMlRefusal | None, *, listed: bool = False) -> EligibilityFinding | None:
    if found is None:
        return None
    return EligibilityFinding(False, found.reason, found.limit, found.value, found.evidence, listed)


@_rule
def kind(subject: Subject) -> EligibilityFinding | None:
    """The engine has no such operation."""
    name = subject.operation.kind
    never = EligibilityFinding(False, f"Core ML has no {name} on the engine")
    if subject.follows_measurement:
        if name in families.NEVER_MEASURED_ON:
            return never
        if name in families.MEASURED_ON:
            return None
    support = families.catalog(name, subject.known)
    if support is Support.IMPOSSIBLE:
        return EligibilityFinding(False, f"the engine has no {name}", evidence=CATALOG)
    if name in families.NEVER_MEASURED_ON:
        return never
    return (
        EligibilityFinding(None, f"nothing is known of {name} on this engine", evidence="unknown")
        if support is None
        else None
    )


@_rule
def pad_mode(subject: Subject) -> EligibilityFinding | None:
    """Reflected padding needs a texture unit."""
    mode = subject.operation.input("mode")
    if subject.operation.kind != "pad" or subject.known is None or mode is None or not mode.values:
        return None
    wanted = str(mode.values[0])
    evidence = subject.known.refused_pad_modes.get(wanted)
    return EligibilityFinding(False, f"{wanted} padding", "constant, replicate", wanted, evidence) if evidence else None


# Sizes -----------------------------------------------------------------------------------------------------------


def _above(what: str, value: int, limit: CoreMlLimit | None) -> EligibilityFinding | None:
    if limit is None or value <= limit.most:
        return None
    return EligibilityFinding(False, what, f"at most {limit.most}", str(value), limit.evidence)


@_rule
def dimension(subject: Subject) -> EligibilityFinding | None:
    """A dimension is larger than the engine can count."""
    known = subject.known
    if known is None:
        return None
    for tensor in (*subject.operation.data, *subject.operation.results):
        shape = tensor.shape or ()
        for place, size in enumerate(shape):
            spatial = len(shape) > 2 and place >= len(shape) - 2
            limit = known.limits.spatial if spatial else known.limits.extent
            if found := _above(f"dimension {place} of {tensor.name or 'a tensor'}", size, limit):
                return found
    return None


@_rule
def matmul_inner(subject: Subject) -> EligibilityFinding | None:
    """The inner dimension of a matrix product is too large."""
    operation = subject.operation
    x = operation.input("x")
    if operation.kind not in ("matmul", "linear") or subject.known is None or x is None or not x.shape:
        return None
    turned = operation.input("transpose_x")
    place = -2 if turned is not None and turned.values and turned.values[0] and len(x.shape) > 1 else -1
    return _above("the inner dimension", x.shape[place], subject.known.limits.matmul_inner)


def _window(operation: PlacedOperation, kinds: tuple[str, ...]) -> tuple[int, int] | None:
    """Height and width of the window of an operation of these kinds."""
    if operation.kind not in kinds:
        return None
    weight = operation.input("weight")
    window = weight.shape[2:] if weight is not None and weight.shape else operation.integers("kernel_sizes")
    return ((window[-2] if len(window) > 1 else 1), window[-1]) if window else None


_CONVOLUTIONS = ("conv", "conv_transpose")


@_rule
def kernel_width(subject: Subject) -> EligibilityFinding | None:
    """The kernel is too wide."""
    window, known = _window(subject.operation, _CONVOLUTIONS), subject.known
    if window is None or known is None:
        return None
    limit = known.limits.square_kernel_width if window[0] == window[1] else known.limits.kernel_width
    return _above("kernel width", window[1], limit)


@_rule
def kernel_height(subject: Subject) -> EligibilityFinding | None:
    """The kernel is too high."""
    window, known = _window(subject.operation, _CONVOLUTIONS), subject.known
    return _above("kernel height", window[0], known.limits.kernel_height) if window and known else None


@_rule
def dilated_window(subject: Subject) -> EligibilityFinding | None:
    """A dilated kernel that spans more than any kernel may: never measured."""
    window, known = _window(subject.operation, ("conv",)), subject.known
    dilations = subject.operation.integers("dilations")
    if window is None or known is None or not dilations or max(dilations) == 1:
        return None
    span = max((size - 1) * step + 1 for size, step in zip(window[-len(dilations) :], dilations[-2:], strict=False))
    if span <= known.limits.kernel_width.most:
        return None
    what = "a dilated kernel of this span was never measured"
    return EligibilityFinding(None, what, "5 (3x3, dilation 2) measured", str(span), "unknown")


@_rule
def runtime_weights(subject: Subject) -> EligibilityFinding | None:
    """A convolution whose weights are computed at run time needs batch 1."""
    operation = subject.operation
    weight, x = operation.input("weight"), operation.input("x")
    if operation.kind != "conv" or weight is None or weight.constant or x is None or not x.shape or x.shape[0] == 1:
        return None
    return EligibilityFinding(
        False, "run-time weights with a batch", "batch 1", str(x.shape[0]), "ANEForge's targets file"
    )


@_rule
def max_pool_window(subject: Subject) -> EligibilityFinding | None:
    """The window of a maximum is too wide."""
    window, known = _window(subject.operation, ("max_pool",)), subject.known
    return _above("max_pool window width", window[1], known.limits.max_pool_width) if window and known else None


@_rule
def average_window(subject: Subject) -> EligibilityFinding | None:
    """The window of an average is too large."""
    window, known = _window(subject.operation, ("avg_pool",)), subject.known
    return _above("avg_pool window", max(window), known.limits.average_window) if window and known else None
