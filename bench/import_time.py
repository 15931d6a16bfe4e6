"""Time to import openane and its command line, against `import onnx`: the median of several fresh processes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 5
PEER = "import onnx (peer)"
STATEMENTS = {
    PEER: "import onnx",
    "import openane against import onnx": "import openane",
    "openane.compile looked up against import onnx": "import openane; openane.compile",
    "command line against import onnx": "import openane.cli",
}


def seconds(statement: str) -> float:
    """Of a process that runs the statement, less nothing: start of Python included for all alike."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - began


def main() -> None:
    """Prints a line a statement; rounds are interleaved, so that a busy machine is fair to all."""
    times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(ROUNDS):
        for name, statement in STATEMENTS.items():
            times[name].append(seconds(statement))
    peer = statistics.median(times[PEER])
    for name, measured in times.items():
        median = statistics.median(measured)
        print(f"{name}: {median * 1e3:.0f} ms, ratio {median / peer:.3f}")


if __name__ == "__main__":
    main()
