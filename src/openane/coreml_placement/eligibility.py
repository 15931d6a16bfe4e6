"""Which backends may run an operation: registered rules, each with its limit, its value and its evidence.

Two questions are kept apart: whether Core ML's segmenter lists the engine for the operation (`supported`), and whether
Apple's compiler then makes a program of it (`can`). They differ for topk on the M4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from openane.coreml_placement import families
from openane.coreml_placement.families import CATALOG, MEASURED, Support
from openane.coreml_placement.platforms import MEASURED_SYSTEM, Platform
from openane.coreml_placement.program import Operation, Tensor


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says of one operation.

    Attributes:
        allows: whether the engine may run it; None where nobody knows.
        reason: a clause.
        limit, value: what is allowed and what the operation has; empty where there is no number.
        evidence: where that is from.
        listed: whether Core ML lists the engine all the same.
    """

    allows: bool | None
    reason: str
    limit: str = ""
    value: str = ""
    evidence: str = MEASURED
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """What a rule is asked about.

    Attributes:
        operation: in question.
        platform: that shall run it.
        system: release of macOS.
    """

    operation: Operation
    platform: Platform
    system: int

    @property
    def new(self) -> bool:
        """Whether the limits measured on M4 and M6 apply (H16 and newer)."""
        return self.platform.generation >= "h16"


Rule = Callable[[Subject], Finding | None]
RULES: dict[str, Rule] = {}
"""By name, in the order in which they are asked; the first finding decides."""


def _rule(rule: Rule) -> Rule:
    RULES[rule.__name__] = rule
    return rule


@dataclass(frozen=True, slots=True)
class Verdict:
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


def verdict(operation: Operation, platform: Platform, system: int = MEASURED_SYSTEM) -> Verdict:
    """Whether the engine of a platform may run an operation, and by which rule.

    Args:
        operation: with the types that Core ML sees.
        platform: of which chip.
        system: release of macOS; differs for logical operations only.
    """
    subject = Subject(operation, platform, system)
    gpu = operation.kind not in families.CPU_ONLY | families.NOT_ON_GPU
    for name, rule in RULES.items():
        found = rule(subject)
        if found is not None:
            listed = found.listed or found.allows
            return Verdict(found.allows, listed, gpu, name, found.reason, found.limit, found.value, found.evidence)
    measured = subject.new and operation.kind in families.MEASURED_ON
    evidence = MEASURED if measured and platform.measured else f"assumed as on M4 and M6; {CATALOG}"
    return Verdict(True, True, gpu, "", "", "", "", evidence if subject.new else CATALOG)


# Types -----------------------------------------------------------------------------------------------------------

_WIDE_INTEGERS = frozenset({"int32", "uint32", "int64", "uint64"})


def _typed(tensors: tuple[Tensor, ...], dtypes: frozenset[str]) -> Tensor | None:
    return next((tensor for tensor in tensors if tensor.dtype in dtypes), None)


@_rule
def open_dimensions(subject: Subject) -> Finding | None:
    """The engine runs static shapes only; Core ML lists it for casts of them all the same."""
    operation = subject.operation
    if all(tensor.shape is not None for tensor in (*operation.data, *operation.results)):
        return None
    if operation.kind in families.NEVER_MEASURED_ON:
        return None  # a stronger reason follows
    what = "a dimension is not known before run time"
    return Finding(False, what, "static shapes", "an open dimension", CATALOG, operation.kind == "cast")


@_rule
def integer_type(subject: Subject) -> Finding | None:
    """The engine has no 32-bit integers: arithmetic, casts from and to them, and index results stay on the CPU."""
    operation = subject.operation
    found = _typed((*operation.data, *operation.results), _WIDE_INTEGERS)
    if found is None:
        return None
    evidence = MEASURED if subject.new else f"{MEASURED}; assumed for this chip"
    return Finding(
        False, f"{operation.kind} on {found.dtype}", "fp16, bool, 8-bit and 16-bit integers", found.dtype, evidence
    )


@_rule
def cast_to_bytes(subject: Subject) -> Finding | None:
    """A cast to 8-bit integers is not on the engine; `quantize` is."""
    operation = subject.operation
    if operation.kind == "cast" and operation.result.dtype in ("int8", "uint8"):
        return Finding(False, "a cast to 8-bit integers", "fp16, fp32, bool", operation.result.dtype)
    return None


@_rule
def single_precision(subject: Subject) -> Finding | None:
    """The engine computes in half precision; only casts, which coremltools inserts, touch fp32 tensors."""
    operation = subject.operation
    if operation.kind in ("cast", "identity", "read_state", "write_state"):
        return None
    found = _typed((*operation.data, *operation.results), frozenset({"fp32", "fp64"}))
    if found is None:
        return None
    return Finding(
        False, f"{operation.kind} in single precision", "fp16", found.dtype, "Core ML documents typed execution; rule"
    )


@_rule
def rank(subject: Subject) -> Finding | None:
    """Core ML has tensors of rank 5 at most; models with more do not convert."""
    tensors = (*subject.operation.data, *subject.operation.results)
    highest = max((len(tensor.shape) for tensor in tensors if tensor.shape is not None), default=0)
    if highest > 5:
        return Finding(False, "a tensor has too many axes", "rank 5", f"rank {highest}")
    return None


# Kinds -----------------------------------------------------------------------------------------------------------


@_rule
def runtime_index(subject: Subject) -> Finding | None:
    """A gather needs an index that is known at compile time."""
    operation = subject.operation
    indices = operation.input("indices")
    if operation.kind == "gather" and indices is not None and not indices.constant:
        return Finding(False, "a gather with an index that is computed at run time", "a constant index", indices.name)
    return None


@_rule
def runtime_begin(subject: Subject) -> Finding | None:
    """A slice needs a begin that is known at compile time."""
    operation = subject.operation
    if operation.kind not in ("slice_by_size", "slice_by_index", "dynamic_slice", "slice_update"):
        return None
    for name in ("begin", "end"):
        found = operation.input(name)
        if found is not None and not found.constant:
            return Finding(False, f"a slice whose {name} is computed at run time", "a constant", found.name)
    return None


@_rule
def old_gather(subject: Subject) -> Finding | None:
    """H13 has no gather: Core ML's estimator file lists it from H14 on."""
    if subject.operation.kind == "gather" and subject.platform.generation == "h13":
        return Finding(False, "gather", "H14 and newer", "h13", "Core ML's estimator file of h13g")
    return None


@_rule
def old_topk(subject: Subject) -> Finding | None:
    """Core ML lists topk for the engine from H16 on."""
    if subject.operation.kind == "topk" and not subject.new:
        evidence = "Core ML's estimator files of h13g and h14g" + (
            "; assumed" if subject.platform.generation == "h15" else ""
        )
        return Finding(False, "topk", "H16 and newer", subject.platform.generation, evidence)
    return None


@_rule
def late_compile_failure(subject: Subject) -> Finding | None:
    """Core ML lists topk for the engine of the M4, and the compiler then fails: it runs 6 to 10 ms late."""
    if subject.operation.kind == "topk" and subject.platform.generation == "h16":
        what = "Core ML lists topk for the engine, the compiler fails with status 22"
        return Finding(False, what, "H18", "h16", listed=True)
    return None


@_rule
def kind(subject: Subject) -> Finding | None:
    """The engine has no such operation."""
    name, generation = subject.operation.kind, subject.platform.generation
    if subject.new and subject.system >= MEASURED_SYSTEM:
        if name in families.NEVER_MEASURED_ON:
            evidence = MEASURED if subject.platform.measured else f"{MEASURED}; assumed for this chip"
            return Finding(False, f"Core ML has no {name} on the engine", evidence=evidence)
        if name in families.MEASURED_ON:
            return None
    if name in families.NEVER_MEASURED_ON and families.catalog(name, generation) is not Support.IMPOSSIBLE:
        return Finding(False, f"Core ML has no {name} on the engine", evidence=f"{MEASURED}; assumed for this chip")
    if not subject.new and name in ("sin", "cos") and generation != "h15":
        return Finding(False, f"the engine has no {name}", "H15 and newer", generation, CATALOG)
    support = families.catalog(name, generation)
    if support is Support.IMPOSSIBLE:
        return Finding(False, f"the engine has no {name}", evidence=CATALOG)
    if support is None:
        return Finding(None, f"nothing is known of {name}", evidence="unknown")
    return None


@_rule
def old_reflection(subject: Subject) -> Finding | None:
    """Reflected padding needs the texture unit, which H13 has not."""
    mode = subject.operation.input("mode")
    if subject.operation.kind != "pad" or subject.platform.generation != "h13" or mode is None or not mode.values:
        return None
    if mode.values[0] in ("reflect", "symmetric"):
        return Finding(
            False, f"{mode.values[0]} padding", "constant and replicate on H13", str(mode.values[0]), CATALOG
        )
    return None


# Sizes -----------------------------------------------------------------------------------------------------------


def _above(what: str, value: int, limit: int, evidence: str = MEASURED) -> Finding | None:
    return Finding(False, what, f"at most {limit}", str(value), evidence) if value > limit else None


def _size_evidence(subject: Subject) -> str:
    if subject.platform.measured:
        return MEASURED
    return (
        f"{MEASURED}; assumed for this chip"
        if subject.new
        else "probed by ANEForge on H13 and H14 (placement.md#limits)"
    )


@_rule
def dimension(subject: Subject) -> Finding | None:
    """A dimension is larger than the engine can count."""
    evidence = _size_evidence(subject)
    for tensor in (*subject.operation.data, *subject.operation.results):
        shape = tensor.shape or ()
        for place, extent in enumerate(shape):
            spatial = place >= max(1, len(shape) - 2)
            limit = 16384 if spatial and not subject.new and len(shape) > 2 else 65536
            if found := _above(f"dimension {place} of {tensor.name or 'a tensor'}", extent, limit, evidence):
                return found
    return None


@_rule
def matmul_inner(subject: Subject) -> Finding | None:
    """The inner dimension of a matrix product is too large."""
    operation = subject.operation
    x = operation.input("x")
    if operation.kind not in ("matmul", "linear") or x is None or not x.shape:
        return None
    turned = operation.input("transpose_x")
    place = -2 if turned is not None and turned.values and turned.values[0] and len(x.shape) > 1 else -1
    return _above("the inner dimension", x.shape[place], 32768 if subject.new else 16384, _size_evidence(subject))


def _windowed(operation: Operation, kinds: tuple[str, ...]) -> tuple[int, int] | None:
    """Height and width of the window."""
    if operation.kind not in kinds:
        return None
    weight = operation.input("weight")
    window = weight.shape[2:] if weight is not None and weight.shape else operation.integers("kernel_sizes")
    if not window:
        return None
    return (window[-2] if len(window) > 1 else 1), window[-1]


@_rule
def kernel_width(subject: Subject) -> Finding | None:
    """The kernel is too wide."""
    window = _windowed(subject.operation, ("conv", "conv_transpose"))
    if window is None:
        return None
    height, width = window
    if not subject.new:
        evidence = "ANEForge's targets file: 13 on H13" + ("" if subject.platform.generation == "h13" else "; assumed")
        return _above("kernel width", width, 13, f"{evidence} (placement.md#limits)")
    return _above("kernel width", width, 16 if height == width else 15, _size_evidence(subject))


@_rule
def kernel_height(subject: Subject) -> Finding | None:
    """The kernel is too high."""
    window = _windowed(subject.operation, ("conv", "conv_transpose"))
    if window is None:
        return None
    evidence = _size_evidence(subject) if subject.new else f"{CATALOG}: 29 on H13; assumed to H15"
    return _above("kernel height", window[0], 31 if subject.new else 29, evidence)


@_rule
def dilated_window(subject: Subject) -> Finding | None:
    """A dilated kernel that spans more than any kernel may: never measured."""
    window = _windowed(subject.operation, ("conv",))
    dilations = subject.operation.integers("dilations")
    if window is None or not dilations or max(dilations) == 1:
        return None
    span = max((size - 1) * step + 1 for size, step in zip(window[-len(dilations) :], dilations[-2:], strict=False))
    if span > (15 if subject.new else 13):
        return Finding(
            None,
            "a dilated kernel of this span was never measured",
            "5 (3x3, dilation 2) measured",
            str(span),
            "unknown",
        )
    return None


@_rule
def runtime_weights(subject: Subject) -> Finding | None:
    """A convolution whose weights are computed at run time needs batch 1."""
    operation = subject.operation
    weight, x = operation.input("weight"), operation.input("x")
    if operation.kind != "conv" or weight is None or weight.constant or x is None or not x.shape or x.shape[0] == 1:
        return None
    return Finding(False, "run-time weights with a batch", "batch 1", str(x.shape[0]), "ANEForge's targets file")


@_rule
def max_pool_window(subject: Subject) -> Finding | None:
    """The window of a maximum is too wide."""
    window = _windowed(subject.operation, ("max_pool",))
    if window is None or not subject.new:
        return None
    return _above("max_pool window width", window[1], 8, _size_evidence(subject))


@_rule
def average_window(subject: Subject) -> Finding | None:
    """The window of an average is too large."""
    window = _windowed(subject.operation, ("avg_pool",))
    if window is None:
        return None
    old = subject.platform.generation == "h13"
    return _above("avg_pool window", max(window), 29 if old else 31, "ANEForge's targets file; measured to 14")
