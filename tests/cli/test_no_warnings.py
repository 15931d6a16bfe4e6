"""No warning of numpy reaches the terminal: models whose arithmetic overflows, divides by zero or makes NaN."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper, parser

from openane.cli import compare, compile, convert, estimate, explain, run, view
from openane.core.errors import OpenaneError

LOWER = np.tril(np.ones((8, 8), bool))
ARRAYS = {
    "inf": np.float32(np.inf),
    "low": np.float32(-1e9),
    "zero": np.float32(0),
    "tiny": np.float32(1e-30),
    "huge": np.full((4, 1, 1), 3e38, np.float32),
    "nan": np.full((4, 1, 1), np.nan, np.float32),
    "causal": np.where(LOWER, 0, -np.inf).astype(np.float32),
    "lower": LOWER,
    "w": np.full((4, 4, 1, 1), 2e4, np.float32),
    "ones": np.ones(8, np.float32),
    "step": np.float32(1e-3),
    "byte": np.uint8(128),
    "last": np.array([-1]),
    "first": np.array([0, 3, 1]),
    "gates": np.full((1, 16, 8), 9.0, np.float32),
    "again": np.full((1, 16, 4), 9.0, np.float32),
    "flat": np.array([4, 1, 64]),
    "narrow": np.full((1, 16, 64), 9.0, np.float32),
}
#: Statements from x (float[1, 4, 8, 8]) to y.
BODIES = {
    "causal sum": "a = Add(x, causal) y = Softmax<axis = -1>(a)",
    "causal choice": "a = Where(lower, x, low) y = Softmax<axis = -1>(a)",
    "infinite choice": "c = Neg(inf) a = Where(lower, x, c) y = Softmax<axis = -1>(a)",
    "rows without a key": "a = Mul(x, zero) c = Add(a, low) d = Mul(c, huge) y = Softmax<axis = -1>(d)",
    "limits": "a = Max(x, low) b = Min(a, huge) y = Clip(b, low)",
    "huge factor": "y = Mul(x, huge)",
    "huge sum": "y = Add(x, huge)",
    "no number": "y = Add(x, nan)",
    "infinite factor": "y = Mul(x, inf)",
    "division by zero": "y = Div(x, zero)",
    "reciprocal of zero": "a = Mul(x, zero) y = Reciprocal(a)",
    "log of zero": "a = Relu(x) y = Log(a)",
    "root of negatives": "y = Sqrt(x)",
    "overflow": "a = Exp(x) b = Exp(a) y = Exp(b)",
    "power": "y = Pow(x, step)",
    "sums that overflow": "a = Conv(x, w) y = Conv(a, w)",
    "tiny epsilon": "a = LayerNormalization<epsilon = 1e-30>(x, ones) y = Div(a, tiny)",
    "norm": "a = ReduceL2<keepdims = 1>(x, last) y = Div(x, a)",
    "batch norm": "m = ReduceMean<keepdims = 0>(huge, first) y = Mul(x, m)",
    "integers of no number": "a = Log(x) b = Cast<to = 6>(a) y = Cast<to = 1>(b)",
    "bytes of large numbers": "a = Mul(x, low) y = QuantizeLinear(a, step, byte)",
    "halves": "a = Mul(x, low) b = Cast<to = 10>(a) y = Cast<to = 1>(b)",
    "remainder": "y = Mod<fmod = 1>(x, zero)",
    "functions": "a = Asin(x) b = Acosh(x) c = Atanh(x) d = Tan(x) e = Add(a, b) f = Add(c, d) y = Add(e, f)",
    "positions": "y = ArgMax(x)",
    "unfolded": "i = Neg(inf) j = Sub(i, i) k = Mul(j, zero) y = Add(x, k)",
    "recurrent": "r = Reshape(x, flat) y, h, c = LSTM<hidden_size = 4>(r, narrow, again)",
}
INPUTS = {
    "ordinary": lambda x: x,
    "large": lambda x: x * 1e30,
    "small": lambda x: x * 1e-30,
    "zeros": np.zeros_like,
    "infinite": lambda x: np.where(x > 0, np.inf, x),
    "no number": lambda x: np.where(x > 1, np.nan, x),
}
X = np.random.default_rng(7).standard_normal((1, 4, 8, 8)).astype(np.float32)


def write(folder: Path, body: str) -> Path:
    model = parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 18]> g (float[1, 4, 8, 8] x) => (float y) {{ {BODIES[body]} }}'
    )
    read = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in ARRAYS.items() if n in read)
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].CopyFrom(onnx.ValueInfoProto(name="y"))
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def invoke(command: click.Command, *options: object) -> None:
    """Runs a verb; pytest makes an error of every warning, and only errors with a message of ours may come out."""
    done = CliRunner().invoke(command, [str(option) for option in options])
    if done.exception is not None and not isinstance(done.exception, (OpenaneError, SystemExit)):
        raise done.exception
    assert "Warning" not in done.output


@pytest.mark.parametrize("body", BODIES)
def test_every_verb_is_silent(body: str, tmp_path: Path) -> None:
    path = write(tmp_path, body)
    for name, make in INPUTS.items():
        array = tmp_path / f"{name}.npy"
        np.save(array, np.asarray(make(X), np.float32))
        invoke(run.command, path, "--input", f"x={array}", "--no-cache")
        invoke(compare.command, path, "--input", f"x={array}")
    invoke(explain.command, path)
    invoke(estimate.command, path)
    invoke(compile.command, path, "-o", tmp_path / "out.hwx", "--no-cache")
    invoke(view.command, path, "-o", tmp_path / "page.html")
    for ending in ("onnx", "plist"):
        invoke(convert.command, path, "-o", tmp_path / f"out.{ending}")


def test_a_process_of_its_own_is_silent(tmp_path: Path) -> None:
    path = write(tmp_path, "causal sum")
    command = [sys.executable, "-W", "error", "-m", "openane", "run", str(path), "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert (done.returncode, done.stderr) == (0, "")
