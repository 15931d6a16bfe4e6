"""Speed of the simulator: exact and fast mode against onnxruntime, on the same machine and threads in the same run.

    python bench/simulator.py MODELS             the folder with the development models (NAME.onnx, NAME.npz)
    python bench/simulator.py MODELS squeezenet  those whose name contains a word
    python bench/simulator.py --threads 1 --json MODELS

The folder is what `ref_dev.py --work MODELS` leaves after (shared/models/README.md). The contestants take turns for
several rounds, because the speed of a shared machine changes by the second: a time is the smallest of all rounds, a
ratio the median of the ratios of the rounds. Compiling and loading are counted apart; memory is the peak of what is
allocated while loading and running the exact mode, measured in a process of its own (next to the compiled model itself,
which holds the constants once).
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from openane.api import compile
from openane.artifact.plan import HostStep
from openane.runtimes.execution import Execution
from openane.runtimes.runtime import SessionOptions
from openane.targets.target import RunOptions

NAMES = (
    "digits_cnn",
    "light_squeezenet",
    "torch_mobilenet_v3s",
    "keras_mobilenet_v2",
    "light_resnet50",
    "light_densenet121",
    "minilm",
)
ROUNDS = 9
_TURN_SECONDS = 0.15


@dataclass(frozen=True, slots=True)
class Row:
    """Times in milliseconds, memory in MB.

    Attributes:
        name: of the model.
        engine_tasks: task descriptors.
        compile_ms, load_ms: once; load is of the exact mode, kernels of the simulator already compiled.
        exact_ms, fast_ms, onnxruntime_ms: per inference.
        exact_ratio, fast_ratio: to onnxruntime.
        many_ms: exact, per inference of 8 inputs through one loaded program.
        weights_mb: constant sections and constants of the steps that the processor runs.
        most_mb: what the simulator should stay below: three times the weights and the two largest results.
        peak_mb: of the allocations of loading and running.
        difference: largest difference of fast from exact, relative to the largest output.
    """

    name: str
    engine_tasks: int
    compile_ms: float
    load_ms: float
    exact_ms: float
    fast_ms: float
    onnxruntime_ms: float
    exact_ratio: float
    fast_ratio: float
    many_ms: float
    weights_mb: float
    most_mb: float
    peak_mb: float
    difference: float


def best_ms(function: Callable[[], object]) -> float:
    """Smallest wall time of the calls of one turn."""
    times: list[float] = []
    time.sleep(0.02)  # threads of the one before go to sleep
    while len(times) < 3 or sum(times) < _TURN_SECONDS:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def options(threads: int, fast: bool) -> SessionOptions:
    """Of a simulator session."""
    return SessionOptions(simulation=RunOptions(threads=threads, fast=fast))


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """The stored inputs of a model."""
    with np.load(path.with_suffix(".npz")) as stored:
        return {name.removeprefix("in:"): stored[name] for name in stored.files if name.startswith("in:")}


def reference(path: Path, inputs: dict[str, np.ndarray], threads: int) -> Callable[[], object]:
    """An inference of onnxruntime."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)


def peak_mb(path: Path, threads: int) -> float:
    """Peak allocations of a process that loads the compiled model and runs it."""
    command = [sys.executable, __file__, "--peak", "--threads", str(threads), str(path)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_peak(path: Path, threads: int) -> None:
    """The child of `peak_mb`: what Python and numpy allocate from loading to the end of the second run.

    The model is loaded and run once before, so that modules and compiled kernels are not counted.
    """
    artifact = compile(path)
    inputs = arrays_of(path)
    with Execution(artifact, "simulator", options(threads, False)) as execution:
        execution.run(inputs)
    tracemalloc.start()
    with Execution(artifact, "simulator", options(threads, False)) as execution:
        for _ in range(2):
            execution.run(inputs)
    print(tracemalloc.get_traced_memory()[1] / 1e6)


def weights_and_results_mb(execution: Execution) -> tuple[float, float]:
    """Size of all weights, and of the two largest results of engine tasks."""
    programs = [session.program for session in execution.sessions]
    hosts = [step.graph for step in execution.artifact.plan.steps if isinstance(step, HostStep)]
    weights = sum(len(program.constants) for program in programs)
    weights += sum(array.nbytes for graph in hosts for array in graph.constants.values())
    results = [
        math.prod(work.result_view) * work.result.item_bytes
        for session in execution.sessions
        for work in session.inspection.works
    ]
    return weights / 1e6, sum(sorted(results)[-2:]) / 1e6


def difference(exact: dict[str, np.ndarray], fast: dict[str, np.ndarray]) -> float:
    """Largest difference relative to the largest output."""
    return max(
        float(np.abs(exact[name].astype(np.float64) - fast[name]).max() / max(np.abs(exact[name]).max(), 1e-9))
        for name in exact
    )


def measure(path: Path, threads: int) -> Row:
    """All numbers of one model."""
    inputs = arrays_of(path)
    start = time.perf_counter()
    artifact = compile(path)
    compile_ms = 1e3 * (time.perf_counter() - start)
    Execution(artifact, "simulator", options(threads, False)).close()  # the simulator's own kernels are compiled now
    start = time.perf_counter()
    exact = Execution(artifact, "simulator", options(threads, False))
    load_ms = 1e3 * (time.perf_counter() - start)
    with exact, Execution(artifact, "simulator", options(threads, True)) as fast:
        different = difference(exact.run(inputs).outputs, fast.run(inputs).outputs)
        turns = [lambda: exact.run(inputs), lambda: fast.run(inputs), reference(path, inputs, threads)]
        times = np.array([[best_ms(turn) for turn in turns] for _ in range(ROUNDS)])
        many_ms = many(exact)
        programs = [session.program for session in exact.sessions]
        weights_mb, results_mb = weights_and_results_mb(exact)
    return Row(
        path.stem,
        sum(len(program.tasks) for program in programs),
        compile_ms,
        load_ms,
        *times.min(axis=0).tolist(),
        *np.median(times[:, :2] / times[:, 2:], axis=0).tolist(),
        many_ms,
        weights_mb,
        3 * weights_mb + results_mb,
        peak_mb(path, threads),
        different,
    )


def many(execution: Execution, count: int = 8) -> float:
    """Time per inference of several inputs through the program of a model with one step; 0 with more steps."""
    if len(execution.sessions) != 1:
        return 0.0
    (session,) = execution.sessions
    rng = np.random.default_rng(0)
    batch = [
        {surface.name: rng.standard_normal(surface.shape).astype(surface.dtype.numpy) for surface in session.inputs}
        for _ in range(count)
    ]
    return best_ms(lambda: list(session.run_many(batch))) / count


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", type=Path, help="folder with the development models")
    parser.add_argument("words", nargs="*", help="only models whose name contains one of these")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--peak", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        print_peak(given.models, given.threads)
        return
    found = sorted(path.stem for path in given.models.glob("*.onnx") if not path.stem.endswith(".raw"))
    known = [name for name in NAMES if name in found]
    known = known if len(known) > 1 else found  # a folder of other models
    names = [name for name in known if not given.words or any(word in name for word in given.words)]
    rows = []
    print(f"{'model':22}{'tasks':>6}{'compile':>9}{'load':>8}{'exact':>8}{'fast':>8}{'ort':>8}{'many':>8}", end="")
    print(f"{'exact/ort':>10}{'fast/ort':>9}{'weights':>9}{'peak MB':>9}{'most':>8}{'fast diff':>10}   (ms)")
    for name in names:
        path = given.models / f"{name}.onnx"
        row = measure(path, given.threads)
        rows.append(row)
        print(f"{row.name:22}{row.engine_tasks:6}{row.compile_ms:9.0f}{row.load_ms:8.0f}", end="")
        print(f"{row.exact_ms:8.1f}{row.fast_ms:8.1f}{row.onnxruntime_ms:8.2f}{row.many_ms:8.1f}", end="")
        print(f"{row.exact_ratio:10.2f}{row.fast_ratio:9.2f}", end="")
        print(f"{row.weights_mb:9.1f}{row.peak_mb:9.1f}{row.most_mb:8.1f}{row.difference:10.1e}")
    if given.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))


if __name__ == "__main__":
    main()
