"""How the kernels of a compiled model are stored and streamed, layer by layer, and what that saves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from openane.backend.task_cost import FP16_KERNEL
from openane.core.errors import UnsupportedError
from openane.cost.program import works_of
from openane.program import Program

EXPANDED = "fp16, expanded"
"""The form of a layer that no compressed form fits, in a program whose kernels were to be compressed."""
_NAMELESS = "(program)"


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """The kernels of a layer, or of layers that were fused.

    Attributes:
        layer: the user's layers.
        form: "fp16", "4-bit palette", "without zeros", ...; several where tasks differ; EXPANDED where the program's
            kernels were to be compressed, and this one takes fewest bytes as fp16.
        stored_bytes: what its tasks stream, biases and tables included.
        dense_bytes: what they would stream as fp16.
    """

    layer: str
    form: str
    stored_bytes: int
    dense_bytes: int

    @property
    def saved_bytes(self) -> int:
        """What the form saves."""
        return self.dense_bytes - self.stored_bytes

    def values(self) -> dict[str, str | int]:
        """The layer as plain values."""
        sizes = {"stored_bytes": self.stored_bytes, "dense_bytes": self.dense_bytes, "saved_bytes": self.saved_bytes}
        return {"layer": self.layer, "form": self.form, **sizes}


def layer_weights(programs: Iterable[Program]) -> tuple[LayerWeights, ...]:
    """The kernels of each layer with weights, in order of first use; none for generations that are only read."""
    forms: dict[str, dict[str, None]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for program in programs:
        try:
            works = works_of(program)
        except UnsupportedError:
            continue
        plain = EXPANDED if program.notes.get("weights") else FP16_KERNEL
        for work in works:
            if not work.kernel_form:
                continue
            layer = work.name or _NAMELESS
            form = plain if work.kernel_form == FP16_KERNEL else work.kernel_form
            forms.setdefault(layer, {})[form] = None
            stored, dense = sizes.get(layer, (0, 0))
            sizes[layer] = (stored + work.kernel_bytes, dense + work.dense_kernel_bytes)
    return tuple(LayerWeights(layer, ", ".join(found), *sizes[layer]) for layer, found in forms.items())


def are_compressed(weights: Iterable[LayerWeights]) -> bool:
    """Whether there is something to say: a kernel is compressed, or was to be."""
    return any(each.form != FP16_KERNEL for each in weights)
