"""Compile time and peak memory for the development models, against coremltools on the same network in the same run.

    python bench/compile.py MODELS_FOLDER [NAME ...]

MODELS_FOLDER holds NAME.onnx, as shared/models/ref_dev.py leaves them. Both sides run in processes of their own;
imports are outside the measured time on both sides. openane: from the file to the bytes of all programs. coremltools
cannot read ONNX, so its side begins at a MIL program of the same network that is already in memory, and ends at the
package on disk: it is spared reading the model.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from openane.cli._show import print_table


def openane_side(path: str) -> float:
    """Seconds from the file to images in memory."""
    from openane.compiler.driver import build
    from openane.formats.hwx import write_hwx
    from openane.frontends.onnx import importer, read
    from openane.graph import Graph, Node, TensorType
    from openane.graph.ops import Relu
    from openane.targets import attach

    assert importer and read  # loads what a first model would load
    kind = TensorType((1, 8, 4, 4))
    build(Graph("imports", {"x": kind}, ("y",), (Node("y", Relu(), ("x",), ("y",)),), {}))
    start = time.perf_counter()
    for program in build(path).programs:
        write_hwx(attach(program))
    return time.perf_counter() - start


def coremltools_side(path: str) -> float:
    """Seconds from a MIL program to a saved ML program."""
    from openane.compiler.driver import load
    from openane.convert.coreml import coremltools, program_of, without_frameworks

    with without_frameworks():
        tools = coremltools()
    program = program_of(load(path), tools.target.iOS15)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        model = tools.convert(
            program,
            source="milinternal",
            convert_to="mlprogram",
            minimum_deployment_target=tools.target.iOS15,
            skip_model_load=True,
        )
        model.save(f"{folder}/m.mlpackage")
        return time.perf_counter() - start


SIDES: dict[str, Callable[[str], float]] = {"openane": openane_side, "coremltools": coremltools_side}


def measure(side: str, path: Path) -> tuple[float, float]:
    """Seconds, and peak memory in MiB, of one side in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--side", side, str(path)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{side}: {(done.stderr.strip().splitlines() or ['killed'])[-1]}")
    seconds, peak = json.loads(done.stdout.strip().splitlines()[-1])
    return seconds, peak


def main() -> None:
    """Prints one row per model."""
    if sys.argv[1:2] == ["--side"]:
        seconds = SIDES[sys.argv[2]](sys.argv[3])
        print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
        return
    if find_spec("coremltools") is None:
        print("passed over: the peer, coremltools, is not installed (pip install 'openane[coreml]')")
        return
    folder = Path(sys.argv[1])
    names = sys.argv[2:] or sorted(p.stem for p in folder.glob("*.onnx") if not p.stem.endswith(".raw"))
    rows: list[tuple[object, ...]] = []
    for name in names:
        try:
            ours, theirs = (measure(side, folder / f"{name}.onnx") for side in SIDES)
        except RuntimeError as error:
            print(f"{name} is passed over: {error}")
            continue
        cells = (
            (f"{a:.{digits}f}", f"{b:.{digits}f}", f"{a / b:.3f}")
            for a, b, digits in zip(ours, theirs, (2, 0), strict=True)
        )
        rows.append((name, *(cell for row in cells for cell in row)))
    columns = ("model", "openane s", "coremltools s", "ratio", "openane MiB", "coremltools MiB", "ratio of memory")
    print_table("compile time and peak memory", columns, rows, numeric=columns[1:])
    for name, *cells in rows:
        print(f"{name} against coremltools: {cells[0]} s, ratio {cells[2]}")
        print(f"{name}, peak memory, against coremltools: {cells[3]} MiB, ratio {cells[5]}")


if __name__ == "__main__":
    main()
