"""The form of the weights on the command line."""

from __future__ import annotations

from collections.abc import Sequence

from openane.analysis.kernel_forms import EXPANDED, LayerWeights, are_compressed
from openane.cli._say import say
from openane.cli._show import print_table, quantity


def show_weights(weights: Sequence[LayerWeights]) -> None:
    """Prints how the kernels are stored, where any is compressed or was to be; nothing otherwise."""
    if not are_compressed(weights):
        return
    rows: list[tuple[object, ...]] = [
        (
            each.layer,
            each.form,
            each.stored_bytes,
            each.dense_bytes,
            f"{each.dense_bytes / max(each.stored_bytes, 1):.2f}",
        )
        for each in weights
    ]
    columns = ("layer", "weights", "bytes", "as fp16", "ratio")
    print_table("weights", columns, rows, columns[2:])
    stored, dense = (sum(getattr(each, name) for each in weights) for name in ("stored_bytes", "dense_bytes"))
    say(f"weights: {quantity(stored, 'B')}, as fp16 {quantity(dense, 'B')}; the values are the same")
    if any(EXPANDED in each.form for each in weights):
        say(
            "expanded: the lanes of such a layer have more than 256 different weights (such as one scale per output "
            "channel), or no form takes fewer bytes"
        )
