"""What `--rescale` gains: the error of whole models on the simulator, without and with rescaled kernels.

    OPENANE_MODELS=FOLDER python bench/rescale.py [NAME ...]

Every model runs on inputs that were not calibrated with. The error of an output is the norm of the difference from the
model in float32, divided by the norm of that; the table has the worst output. "float32 sums" is the simulator with sums
that lose nothing: what is left then is fp16 itself, and tables.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from language_blocks import BLOCKS, hidden_states
from models import models_folder

from openane.analysis.mac_loss import Activations, gain_of
from openane.artifact.options import Options
from openane.artifact.plan import Artifact
from openane.cli._show import print_table
from openane.compiler.driver import build, load
from openane.graph import Graph, Node, TensorType, ops
from openane.runtimes.execution import Execution, fit_inputs
from openane.runtimes.host import open_host
from openane.runtimes.runtime import SessionOptions
from openane.targets.target import RunOptions

Arrays = dict[str, np.ndarray]
PRODUCTS = ((64, 256, 256), (128, 1024, 1024), (128, 4096, 4096))
"""Published sizes: rows, inner, columns; the last one has 256 rows there."""


def cases(wanted: set[str]) -> Iterator[tuple[str, Graph, Arrays, Arrays]]:
    """Name, model, calibration inputs, other inputs."""
    for rows, inner, outer in PRODUCTS:
        name = f"{rows}x{inner}x{outer}"
        if not wanted or name in wanted:
            yield name, *product(rows, inner, outer)
    for name, make in BLOCKS.items():
        if not wanted or name in wanted:
            yield name, make(), {"x": hidden_states(name, 1)}, {"x": hidden_states(name, 2)}
    with models_folder() as folder:
        for path in sorted(folder.glob("*.onnx")):
            if not wanted or path.stem in wanted:
                yield path.stem, *from_file(path)


def product(rows: int, inner: int, outer: int) -> tuple[Graph, Arrays, Arrays]:
    """A product of the published benchmark: normal values divided by the root of the inner size."""
    random, root = np.random.default_rng(0), np.float32(np.sqrt(inner))
    x = random.standard_normal((rows, inner)).astype(np.float32) / root
    weight = random.standard_normal((outer, inner)).astype(np.float32) / root
    nodes = (Node("product", ops.MatMul(transpose_b=True), ("x", "w"), ("y",)),)
    other = random.standard_normal((rows, inner)).astype(np.float32) / root
    return Graph("product", {"x": TensorType((rows, inner))}, ("y",), nodes, {"w": weight}), {"x": other}, {"x": x}


def from_file(path: Path) -> tuple[Graph, Arrays, Arrays]:
    """A model with its inputs; calibrated on those mirrored along the last axis."""
    stored = np.load(path.with_suffix(".npz"))
    inputs = {name.removeprefix("in:"): stored[name] for name in stored.files if name.startswith("in:")}
    graph = load(path)
    assert isinstance(graph, Graph)
    return graph, {name: np.ascontiguousarray(array[..., ::-1]) for name, array in inputs.items()}, inputs


def error_of(artifact: Artifact, inputs: Arrays, wanted: Arrays, fast: bool = False) -> float:
    """The error of the worst output."""
    options = SessionOptions(simulation=RunOptions(fast=fast))
    with Execution(artifact, "simulator", options) as execution:
        outputs = execution.run(inputs).outputs
    errors = [
        np.linalg.norm(outputs[name].astype(np.float64) - array) / np.linalg.norm(array)
        for name, array in wanted.items()
        if array.dtype.kind == "f"
    ]
    return float(max(errors))


def main() -> None:
    """Prints the table."""
    rows: list[tuple[object, ...]] = []
    for name, graph, calibration, inputs in cases(set(sys.argv[1:])):
        begun = time.perf_counter()
        whole = Options(host=graph.name != "product")  # the engine is measured, even where the host is faster
        plain = build(graph, whole)
        assert plain.graph is not None
        wanted = {
            key: np.asarray(array, np.float64) if array.dtype.kind == "f" else array
            for key, array in open_host(plain.graph).run(fit_inputs(plain.graph.inputs, inputs, name)).outputs.items()
        }
        proven = build(graph, replace(whole, rescale=True))
        calibrated = build(graph, replace(whole, rescale=True, calibration=calibration))
        gain = gain_of(calibrated, calibration, Activations.GIVEN)
        errors = [error_of(each, inputs, wanted) for each in (plain, proven, calibrated)]
        floor = error_of(plain, inputs, wanted, fast=True)
        worst = f"{gain.worst_error:.2g} -> {gain.worst_rescaled_error:.2g}"
        scaled = f"{gain.rescaled} of {gain.kernels}"
        rows.append((name, *(f"{error:.3g}" for error in (*errors, floor)), scaled, worst))
        print(*rows[-1], f"{time.perf_counter() - begun:.1f} s", file=sys.stderr, flush=True)
    columns = ("model", "plain", "proven", "calibrated", "float32 sums", "kernels", "worst layer, predicted")
    print_table("error of the outputs on the simulator", columns, rows)


if __name__ == "__main__":
    main()
