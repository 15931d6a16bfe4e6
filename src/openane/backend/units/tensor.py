"""Rules that hold for every tensor, whatever unit makes it."""

from __future__ import annotations

import numpy as np

from openane.backend.alloc.surfaces import dram_bytes
from openane.backend.rules import Query, RuleKind, rule
from openane.net.units import NeuronKind, NeuronParams
from openane.numerics.limits import HALF_LARGEST

_HINT = "Split the long axis into two by a Reshape, or tile the layer outside of the engine."


@rule(
    "tensor-width",
    family="every tensor",
    kind=RuleKind.ENGINE,
    limit=lambda machine: f"1 to {machine.max_width}",
    hint=_HINT,
    evidence="limits.md#sizes: measured, one more is refused",
)
def width(query: Query) -> object | None:
    """The tensor is wider than the engine supports."""
    return query.result.width if query.result.width > query.machine.max_width else None


@rule(
    "tensor-height",
    family="every tensor",
    kind=RuleKind.ENGINE,
    limit=lambda machine: f"1 to {machine.max_height}",
    hint=_HINT,
    evidence="limits.md#sizes: measured, one more is refused",
)
def height(query: Query) -> object | None:
    """The tensor is higher than the engine supports."""
    return query.result.height if query.result.height > query.machine.max_height else None


@rule(
    "tensor-channels",
    family="every tensor",
    kind=RuleKind.ENGINE,
    limit=lambda machine: f"1 to {machine.max_channels}",
    hint=_HINT,
    evidence="limits.md#sizes",
)
def channels(query: Query) -> object | None:
    """The tensor has more channels than the engine supports."""
    return query.result.channels if query.result.channels > query.machine.max_channels else None


@rule(
    "tensor-batch",
    family="every tensor",
    kind=RuleKind.ENGINE,
    limit=lambda machine: f"1 to {machine.max_batch}",
    hint=_HINT,
    evidence="limits.md#sizes",
)
def batch(query: Query) -> object | None:
    """The tensor has a larger batch than the engine supports."""
    return query.result.batch if query.result.batch > query.machine.max_batch else None


@rule(
    "tensor-bytes",
    family="every tensor",
    kind=RuleKind.ENGINE,
    limit=lambda machine: f"at most {machine.max_dma_stride_bytes} bytes",
    hint=_HINT,
    evidence="execution.md#dram-layout: rows are padded to 64 bytes; the stride fields end at bit 31",
)
def size(query: Query) -> object | None:
    """The tensor, with its rows padded, is larger than a DMA stride can express."""
    total = dram_bytes(query.machine, query.result)
    return f"{total} bytes" if total > query.machine.max_dma_stride_bytes else None


@rule(
    "weight-range",
    family="every unit",
    kind=RuleKind.ENGINE,
    limit=f"finite values up to {HALF_LARGEST:g} in size",
    hint="Scale the layer down, or keep it on the host with --keep-on-host.",
    evidence="encoding.md#dense-packing: kernels are stored in fp16",
)
def weight_range(query: Query) -> object | None:
    """A weight, a bias or a constant of a function is outside the range of fp16."""
    for params in (query.params, getattr(query.params, "main", None)):
        limits = (
            isinstance(params, NeuronParams) and params.kind is NeuronKind.CLAMP
        )  # infinite where there is no limit
        for name in ("kernel", "weight", "scale", "bias", "slopes", "epsilon", *(() if limits else ("alpha", "beta"))):
            values = getattr(params, name, None)
            if isinstance(values, (np.ndarray, float)) and np.size(values) and np.asarray(values).dtype.kind == "f":
                largest = float(np.abs(values).max())
                if not largest <= HALF_LARGEST:
                    return f"{name} of {largest:g}"
    return None


SIZE_RULES = (width, height, channels, batch)
"""Those that hold for each dimension by itself."""

TENSOR_RULES = (*SIZE_RULES, size, weight_range)
