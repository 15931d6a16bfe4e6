"""How good our programs are: tasks, DRAM traffic and estimated time against Apple's, and compile time by size.

    python bench/quality.py [MODELS_FOLDER]

For every record and pair the same model of the machine is applied to Apple's program and to ours; the peer is Apple's
compiler. For development models (MODELS_FOLDER/NAME.onnx) the traffic is set against the least possible: weights,
inputs and outputs once. The last table compiles chains of 10 to 5,000 layers; time a layer should stay the same.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from apple_records import records, shared_folder
from parity import compile_pair, compile_record

import openane
from openane.cli._show import print_table
from openane.cost.chips import chip
from openane.cost.program import cost_of_program, works_of
from openane.formats.hwx import read_hwx
from openane.graph import Graph, Node, TensorType, ops
from openane.program import Program
from openane.targets import load_program

CHIP = chip("m1")
LAYERS = (10, 50, 200, 1000, 5000)


def figures(program: Program) -> tuple[int, int, float]:
    """Tasks, DRAM bytes, and estimated microseconds on an M1."""
    works = works_of(program)
    moved = sum(work.input_bytes + work.output_bytes + work.scratch_bytes + work.weight_bytes for work in works)
    return len(program.tasks), moved, cost_of_program(program, CHIP).time_us


def against_apple() -> None:
    """Every record and pair: how often ours needs more of each."""
    cases = []
    for record in records():
        ours = compile_record(record)
        cases.append((record.case, figures(ours), figures(replace(ours, tasks=record.tasks))))
    for folder in sorted((shared_folder() / "goldens" / "pairs").iterdir()):
        theirs = load_program(read_hwx(folder / "model.hwx"))
        cases.append((folder.name, figures(compile_pair(folder)), figures(theirs)))
    rows: list[tuple[object, ...]] = []
    for index, name in enumerate(("tasks", "DRAM bytes", "estimated time")):
        ratios = [ours[index] / theirs[index] for _, ours, theirs in cases]
        worse = [case for (case, _, _), ratio in zip(cases, ratios, strict=True) if ratio > 1.0001]
        rows.append((name, f"{max(ratios):.3f}", f"{float(np.mean(ratios)):.3f}", len(worse), ", ".join(worse[:3])))
    columns = ("figure", "worst ratio to Apple's", "mean ratio", "cases above", "which")
    print_table(f"{len(cases)} programs against Apple's", columns, rows, columns[1:4])
    for name, worst, mean, *_ in rows:
        print(f"{name} against Apple's compiler: {worst} at worst, ratio {mean}")


def against_the_least(folder: Path) -> None:
    """Development models: traffic against weights, inputs and outputs once."""
    rows: list[tuple[object, ...]] = []
    for path in sorted(folder.glob("*.onnx")):
        if path.name.endswith(".raw.onnx"):
            continue
        artifact = openane.compile(path)
        moved = sum(figures(program)[1] for program in artifact.programs)
        least = sum(
            len(program.constants) + sum(surface.size_bytes for surface in program.surfaces)
            for program in artifact.programs
        )
        tasks = sum(len(program.tasks) for program in artifact.programs)
        places = "; ".join(program.notes.get("intermediates", "") for program in artifact.programs)
        rows.append((path.stem, tasks, f"{moved / 2**20:.2f}", f"{moved / least:.2f}", places))
    columns = ("model", "tasks", "DRAM MiB", "ratio to the least", "intermediates")
    print_table("traffic of the development models", columns, rows, columns[1:4])


def chain(layers: int) -> Graph:
    """Convolutions and tables, one after the other."""
    kernel = (np.eye(16, dtype=np.float32) * 0.5)[:, :, None, None]
    nodes, value = [], "x"
    for index in range(layers):
        result = f"v{index}"
        if index % 2:
            nodes.append(Node(f"n{index}", ops.Tanh(), (value,), (result,)))
        else:
            operation = ops.Conv(strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1), groups=1)
            nodes.append(Node(f"n{index}", operation, (value, "kernel"), (result,)))
        value = result
    return Graph("chain", {"x": TensorType((1, 16, 8, 8))}, (value,), tuple(nodes), {"kernel": kernel})


def growth() -> None:
    """Compile time a layer for chains of growing length."""
    openane.compile(chain(2))
    rows: list[tuple[object, ...]] = []
    first = 0.0
    for layers in LAYERS:
        graph = chain(layers)
        start = time.process_time()
        artifact = openane.compile(graph)
        each = (time.process_time() - start) / layers
        first = first or each
        rows.append((layers, len(artifact.program.tasks), f"{1e3 * each:.2f}", f"{each / first:.2f}"))
    columns = ("layers", "tasks", "CPU ms a layer", "ratio to the shortest")
    print_table("compile time by size", columns, rows, columns)


def main() -> None:
    """All three tables."""
    if (shared_folder() / "oracles").is_dir():
        against_apple()
    else:
        print("the folder shared/ with Apple's records is missing")
    if len(sys.argv) > 1:
        against_the_least(Path(sys.argv[1]))
    growth()


if __name__ == "__main__":
    main()
