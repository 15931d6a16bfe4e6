"""What Core ML knows of a chip: constants of its estimator, limits of the engine, and what it never places there.

Each generation declares its own in `core_ml.py` of its folder; `openane.coreml_placement` reads it by the registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType


class Backend(Enum):
    """What Core ML's segmenter chooses from; the value is its name in Core ML's analysis files."""

    ANE = "ane"
    BNNS = "bnns"
    CLASSIC_CPU = "classic_cpu"


@dataclass(frozen=True, slots=True)
class Throughput:
    """What a backend can do at most, by the estimator's file.

    Attributes:
        gflops: billions of floating-point operations per second.
        gbytes: bytes per second, in units of 2^30.
    """

    gflops: float
    gbytes: float


def throughputs(*rates: tuple[float, float]) -> Mapping[Backend, Throughput]:
    """GFLOP/s and GB/s of each backend, in order."""
    return MappingProxyType({backend: Throughput(*pair) for backend, pair in zip(Backend, rates, strict=True)})


@dataclass(frozen=True, slots=True)
class Leaf:
    """Rates of one leaf of a decision tree of the estimator, in billions of counted FLOPs per second.

    Attributes:
        least: the leaf holds for features from here on; which feature, the cost model says by kind of operation.
        ane, bnns, classic: rates by backend; None where nothing was read out.
    """

    least: float
    ane: float | None
    bnns: float | None
    classic: float | None

    def rate(self, backend: Backend) -> float | None:
        """The rate on a backend."""
        return {Backend.ANE: self.ane, Backend.BNNS: self.bnns, Backend.CLASSIC_CPU: self.classic}[backend]


Leaves = Mapping[str, tuple[Leaf, ...]]
"""Leaves by kind of operation, the highest first."""

ESTIMATOR_FILE = "constants of Core ML's estimator file (placement.md#constants)"
NO_FILE = "no constants are known for this chip"


@dataclass(frozen=True, slots=True)
class Platform:
    """A chip as Core ML sees it.

    Attributes:
        name: of the estimator's file, or of the chip where no file is known.
        chips: that it represents.
        names: that people use for it, in lower case and without spaces.
        generation: of the engine, which sets the limits.
        throughput: constants of the estimator's file by backend; empty where they are not known.
        leaves: rates of its decision trees that were read out.
        measured: whether placements were measured on this chip.
        evidence: where the constants are from.
    """

    name: str
    chips: str
    names: tuple[str, ...]
    generation: str
    throughput: Mapping[Backend, Throughput] = field(default_factory=dict)
    leaves: Leaves = field(default_factory=dict)
    measured: bool = False
    evidence: str = NO_FILE


@dataclass(frozen=True, slots=True)
class CoreMlRefusal:
    """Why the engine of a generation does not run a kind of operation.

    Attributes:
        reason: a clause.
        limit, value: what is allowed and what this generation is; may be empty.
        evidence: where that is from.
    """

    reason: str
    limit: str
    value: str
    evidence: str


@dataclass(frozen=True, slots=True)
class CoreMlLimit:
    """The largest value that a generation allows, and where that is from."""

    most: int
    evidence: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes that the engine of a generation can handle.

    Attributes:
        spatial, extent: largest height and width, largest other dimension.
        matmul_inner: largest inner dimension of a matrix product.
        kernel_width, kernel_height: of a convolution.
        square_kernel_width: of a convolution whose kernel is as high as wide.
        max_pool_width, average_window: of pooling; None where nothing is known.
    """

    spatial: CoreMlLimit
    extent: CoreMlLimit
    matmul_inner: CoreMlLimit
    kernel_width: CoreMlLimit
    kernel_height: CoreMlLimit
    square_kernel_width: CoreMlLimit
    max_pool_width: CoreMlLimit | None
    average_window: CoreMlLimit


@dataclass(frozen=True, slots=True)
class CoreMl:
    """What Core ML does with the engine of a generation.

    Attributes:
        platforms: its chips.
        evidence: of lists and types.
        rule: what the decision rule rests on.
        follows_measurement: whether the lists measured on the newest system hold, and not the older catalog alone.
        limits: of sizes.
        refused: kinds that Core ML never places here, before every list.
        listed_but_failing: kinds that Core ML lists and the compiler then refuses.
        refused_pad_modes: modes of padding, with the evidence.
        impossible, decomposed: kinds that the catalog has so here and otherwise in general.
        long_chain: operations of a segment that are too many, and what then happens.
        wide_offset: first offset of a slice of the width that overflows, and what then happens.
        late: kinds that run late when they are placed, and what then happens.
        slow_kernels: height and width of kernels that take long to compile, and how long.
    """

    platforms: tuple[Platform, ...]
    evidence: str
    rule: str
    follows_measurement: bool
    limits: Limits
    refused: Mapping[str, CoreMlRefusal] = field(default_factory=dict)
    listed_but_failing: Mapping[str, CoreMlRefusal] = field(default_factory=dict)
    refused_pad_modes: Mapping[str, str] = field(default_factory=dict)
    impossible: frozenset[str] = frozenset()
    decomposed: frozenset[str] = frozenset()
    long_chain: tuple[int, str] | None = None
    wide_offset: tuple[int, str] | None = None
    late: Mapping[str, str] = field(default_factory=dict)
    slow_kernels: Mapping[tuple[int, int], str] = field(default_factory=dict)
