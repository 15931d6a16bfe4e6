"""Rules that hold for every tensor, whatever unit makes it."""

from __future__ import annotations

import numpy as np

from openane.backend.alloc.surfaces import dram_bytes
from openane.backend.rules import Query, rule
from openane.net.units import Neuron, NeuronKind
from openane.numerics.limits import HALF_LARGEST

_HINT = "Split the long axis into two by a Reshape, or tile the layer outside of the engine."


@rule(
    "tensor-width", lambda machine: f"1 to {machine.max_width}", _HINT, "limits.md#sizes: 16385 is rejected on hardware"
)
def width(query: Query) -> object | None:
    """A tensor is too wide for the engine."""
    return query.result.width if query.result.width > query.machine.max_width else None


@rule(
    "tensor-height",
    lambda machine: f"1 to {machine.max_height}",
    _HINT,
    "limits.md#sizes: 16385 is rejected on hardware",
)
def height(query: Query) -> object | None:
    """A tensor is too high for the engine."""
    return query.result.height if query.result.height > query.machine.max_height else None


@rule("tensor-channels", lambda machine: f"1 to {machine.max_channels}", _HINT, "limits.md#sizes")
def channels(query: Query) -> object | None:
    """A tensor has too many channels for the engine."""
    return query.result.channels if query.result.channels > query.machine.max_channels else None


@rule("tensor-batch", lambda machine: f"1 to {machine.max_batch}", _HINT, "limits.md#sizes")
def batch(query: Query) -> object | None:
    """A tensor has too many batches for the engine."""
    return query.result.batch if query.result.batch > query.machine.max_batch else None


@rule(
    "tensor-bytes",
    lambda machine: f"at most {machine.max_dma_stride_bytes} bytes",
    _HINT,
    "stride fields end at bit 31",
)
def size(query: Query) -> object | None:
    """A tensor, with its rows padded to 64 bytes, is larger than a DMA stride can express."""
    total = dram_bytes(query.machine, query.result)
    return f"{total} bytes" if total > query.machine.max_dma_stride_bytes else None


@rule(
    "weight-range",
    f"finite values up to {HALF_LARGEST} in size",
    "Scale the layer down, or keep it on the host with --keep-on-host.",
    "kernels are stored as fp16",
)
def weight_range(query: Query) -> object | None:
    """A weight, bias or constant of a function does not fit half precision."""
    for params in (query.params, getattr(query.params, "main", None)):
        limits = isinstance(params, Neuron) and params.kind is NeuronKind.CLAMP  # infinite where there is no limit
        for name in ("kernel", "weight", "scale", "bias", "slopes", "epsilon", *(() if limits else ("alpha", "beta"))):
            values = getattr(params, name, None)
            if isinstance(values, (np.ndarray, float)) and np.size(values) and np.asarray(values).dtype.kind == "f":
                largest = float(np.abs(values).max())
                if not largest <= HALF_LARGEST:
                    return f"{name} of {largest:g}"
    return None


TENSOR_RULES = (width, height, channels, batch, size, weight_range)
