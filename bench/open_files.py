"""Opening and disassembling a large compiled program, against reading an ONNX model of the same weights with onnx."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from openane.compiler.driver import build, save
from openane.formats.hwx import read_hwx
from openane.graph import Graph, Node, TensorType, ops
from openane.runtimes.host.export import export_model
from openane.targets import load_program
from openane.targets.assembly import disassemble, open_container

ROUNDS = 7
LAYERS = 4
CHANNELS = 512


def network() -> Graph:
    """Convolutions with some 19 MB of weights in half precision."""
    random = np.random.default_rng(0)
    shape = (CHANNELS, CHANNELS, 3, 3)
    weights = {f"w{i}": random.standard_normal(shape).astype(np.float16).astype(np.float32) for i in range(LAYERS)}
    conv = ops.Conv(strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), groups=1)
    names = ["x", *(f"v{i}" for i in range(LAYERS))]
    nodes = tuple(Node(f"n{i}", conv, (names[i], f"w{i}"), (names[i + 1],)) for i in range(LAYERS))
    return Graph("large", {"x": TensorType((1, CHANNELS, 8, 8))}, (names[-1],), nodes, weights)


def median(use: Callable[[], object]) -> float:
    """Seconds of the middle of several calls."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        use()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    """Prints seconds and the ratio to the peer."""
    with tempfile.TemporaryDirectory() as name:
        model, program = Path(name) / "large.onnx", Path(name) / "large.hwx"
        graph = network()
        model.write_bytes(export_model(graph).SerializeToString())
        save(build(graph), program)
        container = open_container(program)
        assert container is not None
        rows = {
            "onnx.load (peer)": lambda: onnx.load(model),
            "open .hwx": lambda: read_hwx(program),
            "open .hwx, all tasks": lambda: load_program(read_hwx(program)),
            "disassemble .hwx": lambda: disassemble(container),
        }
        print(f"{model.stat().st_size / 1e6:.1f} MB of ONNX, {program.stat().st_size / 1e6:.1f} MB of .hwx")
        times = {label: median(use) for label, use in rows.items()}
    for label, value in times.items():
        print(f"{label}: {value * 1e3:.2f} ms, ratio {value / times['onnx.load (peer)']:.3f}")


if __name__ == "__main__":
    main()
