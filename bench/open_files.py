"""Opening and disassembling a large compiled program, against the onnx package on a model of the same weights."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import onnx
import onnx.printer
from models import convolutions

from openane.compiler.driver import build, save
from openane.formats.assembly.data import reference_line
from openane.formats.hwx import read_hwx
from openane.runtimes.host.export import export_model
from openane.targets import load_program
from openane.targets.assembly import disassemble, open_container

ROUNDS = 7
TEXT_ROUNDS = 2


def median(use: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Seconds of the middle of several calls."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        use()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    """Prints seconds and the ratio to the peer."""
    with tempfile.TemporaryDirectory() as name:
        model, program = Path(name) / "large.onnx", Path(name) / "large.hwx"
        graph = convolutions(1, 512, 8, 4)  # some 19 MB of weights in half precision
        model.write_bytes(export_model(graph).SerializeToString())
        save(build(graph), program)
        container = open_container(program)
        assert container is not None
        loaded = onnx.load(model)
        print(f"{model.stat().st_size / 1e6:.1f} MB of ONNX, {program.stat().st_size / 1e6:.1f} MB of .hwx")
        show(
            "onnx.load",
            {
                "onnx.load": lambda: onnx.load(model),
                "open .hwx": lambda: read_hwx(program),
                "open .hwx, all tasks": lambda: load_program(read_hwx(program)),
            },
            ROUNDS,
        )
        show(
            "onnx.printer.to_text",
            {
                "onnx.printer.to_text": lambda: onnx.printer.to_text(loaded),
                "disassemble .hwx, constants in the text": lambda: disassemble(container),
                "disassemble .hwx, constants by reference": lambda: disassemble(
                    container, constants=lambda data: [reference_line(str(program), 0, data)]
                ),
            },
            TEXT_ROUNDS,
        )


def show(peer: str, uses: dict[str, Callable[[], object]], rounds: int) -> None:
    """Measures some uses and prints a line for each, with the ratio to the peer among them."""
    times = {label: median(use, rounds) for label, use in uses.items()}
    for label, value in times.items():
        name = f"{label} (peer)" if label == peer else f"{label} against {peer}"
        print(f"{name}: {value * 1e3:.2f} ms, ratio {value / times[peer]:.4f}", flush=True)


if __name__ == "__main__":
    main()
