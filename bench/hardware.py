"""Time and memory of the tools for compiled programs on large files.

    python bench/hardware.py [--megabytes 500] [--tasks 2000]

Makes two programs: one with large constants, one with many tasks; then runs each tool in a process of its own and
prints wall time and peak memory (resident set). Constants are pseudo-random, so that nothing can be left out. The peer
is a process that reads an ONNX model of as many nodes and as many bytes of weights with onnx.load.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Nothing large is imported or made in this process: a child's peak memory begins with its parent's.


def make(path: Path, tasks: int, constant_bytes: int) -> None:
    """Writes a program with the given number of tasks and bytes of constants."""
    import numpy as np

    from openane.core.files import write_atomically
    from openane.core.types import DType
    from openane.formats.hwx import hwx_pieces
    from openane.program import Burst, Program, Role, Surface, Task
    from openane.targets import attach
    from openane.targets.h13.registers import REGISTERS
    from openane.targets.h13.stream import STREAM

    values = {"Common.TileCfg": 1, "Common.Cout": 1, "L2.SourceChannelStride": 16}
    body = tuple(
        Burst(block.base, tuple(values.get(r.path, r.default) for r in block.registers)) for block in REGISTERS.blocks
    )
    plain = [Task((0,) * 10, body) for _ in range(tasks)]
    make_model(path.with_suffix(".onnx"), tasks, constant_bytes)
    offsets = [0x300 * i for i in range(tasks)]
    linked = []
    for i, task in enumerate(plain):
        header = REGISTERS.header.encode({**STREAM.chain_fields(plain, offsets, i), "NID": 0})
        linked.append(Task(header, task.bursts))
    names = (("x", Role.INPUT, 4), ("y", Role.OUTPUT, 5))
    surfaces = tuple(
        Surface(name, role, (1, 1, 64, 8, 8), (32768, 32768, 512, 64, 2), 32768, buffer, DType.FLOAT16)
        for name, role, buffer in names
    )
    constants = np.random.default_rng(1).integers(0, 256, constant_bytes, np.uint8).tobytes()
    program = attach(Program("h13", tuple(linked), tuple(offsets), surfaces, constants, name="bench"))
    write_atomically(path, hwx_pieces(program))


def make_model(path: Path, nodes: int, constant_bytes: int) -> None:
    """Writes an ONNX model with the given number of nodes and bytes of weights, for the peer."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    weights = numpy_helper.from_array(np.random.default_rng(1).integers(0, 256, constant_bytes, np.uint8), "weights")
    kinds = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 64, 8, 8]) for name in ("v0", f"v{nodes}")]
    chain = [helper.make_node("Relu", [f"v{i}"], [f"v{i + 1}"], name=f"n{i}") for i in range(nodes)]
    onnx.save(helper.make_model(helper.make_graph(chain, "peer", kinds[:1], kinds[1:], [weights])), path)


def measure(arguments: list[str]) -> tuple[float, float, int]:
    """Wall seconds, peak megabytes and exit status of a Python command line."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    scale = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - began, usage.ru_maxrss * scale / 1e6, process.returncode


PEER = "import sys, onnx; onnx.load(sys.argv[1])"
OPEN = """
import sys, time
from openane.analysis.describe import describe
from openane.formats.hwx import read_hwx
began = time.perf_counter()
found = describe(read_hwx(sys.argv[1]))
seconds = time.perf_counter() - began
print(f"  open and describe, in the library: {seconds:.3f} s, {len(found.tasks)} tasks", file=sys.stderr)
"""


def run(path: Path) -> None:
    """All tools on one file."""
    folder = path.parent
    text, again = folder / "bench.s", folder / "again.hwx"
    change = "task[0].Common.Cin.Cin=3"
    commands = {
        "start (--version)": ["--version"],
        "info": ["info", str(path)],
        "dis": ["dis", str(path), "-o", str(text), "--constants", "reference"],
        "asm": ["asm", str(text), "-o", str(again)],
        "patch (rewrite)": ["patch", str(path), change, "-o", str(folder / "patched.hwx")],
        "diff": ["diff", str(path), str(again)],
    }
    print(f"{path.name} has {path.stat().st_size / 1e6:.0f} MB")
    peer_seconds, peer_megabytes, _ = measure(["-c", PEER, str(path.with_suffix(".onnx"))])
    print(f"onnx.load (peer): {peer_seconds:.3f} s, {peer_megabytes:.0f} MB peak")
    lines = {"library, with imports": ["-c", OPEN, str(path)]}
    lines |= {name: ["-m", "openane", *arguments] for name, arguments in commands.items()}
    for name, arguments in lines.items():
        seconds, megabytes, status = measure(arguments)
        what = f"{name}, many {path.stem},"
        print(f"{what} against onnx.load: {seconds:.3f} s, status {status}, ratio {seconds / peer_seconds:.3f}")
        print(f"{what} peak memory, against onnx.load: {megabytes:.0f} MB, ratio {megabytes / peer_megabytes:.3f}")
    print(f"written back equal: {filecmp.cmp(path, again, shallow=False)}", flush=True)


def main() -> None:
    """Makes the files and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--make", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        make(Path(arguments.make[0]), int(arguments.make[1]), int(arguments.make[2]))
        return
    for name, tasks, size in (("constants", 2, arguments.megabytes << 20), ("tasks", arguments.tasks, 1 << 20)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.hwx"
            subprocess.run([sys.executable, __file__, "--make", str(path), str(tasks), str(size)], check=True)
            run(path)


if __name__ == "__main__":
    main()
