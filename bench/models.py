"""Networks for the benchmarks: the folder that OPENANE_MODELS names, else made here, the same every time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from openane.compiler.generated_inputs import made_up_input
from openane.graph import Graph, Node, TensorType, ops
from openane.runtimes.host.export import export_model

BLOCKS = 8


@contextmanager
def models_folder() -> Iterator[Path]:
    """A folder with NAME.onnx and NAME.npz, inputs under "in:NAME"."""
    given = os.environ.get("OPENANE_MODELS")
    if given:
        yield Path(given)
        return
    with TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(str(resources.files("openane") / "data" / "digits.onnx"), folder / "digits_cnn.onnx")
        np.savez(folder / "digits_cnn.npz", **{"in:image": np.zeros((1, 1, 28, 28), np.float32)})
        for graph in (convolutions(1, 512, 8, 4), residual(64, 28)):
            (folder / f"{graph.name}.onnx").write_bytes(export_model(graph).SerializeToString())
            inputs = {f"in:{name}": made_up_input(name, kind) for name, kind in graph.inputs.items()}
            np.savez(folder / f"{graph.name}.npz", **inputs)
        yield folder


def convolutions(batch: int, channels: int, size: int, layers: int) -> Graph:
    """Convolutions of 3x3 one after the other, with weights that half precision holds."""
    random = np.random.default_rng(0)
    shape = (channels, channels, 3, 3)
    weights = {f"w{i}": random.standard_normal(shape).astype(np.float16).astype(np.float32) for i in range(layers)}
    conv = ops.Conv(strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), groups=1)
    names = ["x", *(f"v{i}" for i in range(layers))]
    nodes = tuple(Node(f"n{i}", conv, (names[i], f"w{i}"), (names[i + 1],)) for i in range(layers))
    return Graph("convolutions", {"x": TensorType((batch, channels, size, size))}, (names[-1],), nodes, weights)


def residual(channels: int, size: int) -> Graph:
    """Blocks of convolution, activation, convolution and a way around them."""
    random = np.random.default_rng(1)
    conv = ops.Conv(strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), groups=1)
    nodes: list[Node] = []
    weights: dict[str, np.ndarray] = {}
    value = "x"
    for block in range(BLOCKS):
        for half in "ab":
            weight = random.standard_normal((channels, channels, 3, 3)) / 24
            weights[f"w{block}{half}"] = weight.astype(np.float16).astype(np.float32)
        names = [f"{kind}{block}" for kind in ("first", "active", "second", "sum", "out")]
        first, active, second, total, out = names
        nodes += [
            Node(first, conv, (value, f"w{block}a"), (first,)),
            Node(active, ops.Relu(), (first,), (active,)),
            Node(second, conv, (active, f"w{block}b"), (second,)),
            Node(total, ops.Add(), (value, second), (total,)),
            Node(out, ops.Relu(), (total,), (out,)),
        ]
        value = out
    return Graph("residual", {"x": TensorType((1, channels, size, size))}, (value,), tuple(nodes), weights)
