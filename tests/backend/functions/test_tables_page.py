"""The page of tables is the one that the tool writes, and its errors are those of compiled programs."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import openane
from openane.core.types import DType
from openane.graph import Graph, Node, Operation, TensorType, ops
from openane.net import Net, TensorShape, Unit
from openane.net.units.neuron import NeuronKind, NeuronParams

ROOT = Path(__file__).parents[3]
ROWS, WIDTH = 1024, 64


def test_page_is_up_to_date() -> None:
    tool = ROOT / "tools" / "tables.py"
    done = subprocess.run([sys.executable, str(tool), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _power(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf


def _logistic(x: float) -> float:
    return 1 / (1 + _power(-x))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _elu(x: float) -> float:
    return x if x > 0 else math.expm1(x)


def _selu(x: float) -> float:
    return 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x))


def _tanh_gelu(x: float) -> float:
    return x * _logistic(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))


def _gelu(x: float) -> float:
    return x * math.erfc(-x * math.sqrt(0.5)) / 2


def _silu(x: float) -> float:
    return x * _logistic(x)


def _mish(x: float) -> float:
    return x * math.tanh(_softplus(x))


Scalar = Callable[[float], float]

ACCURATE: dict[str, tuple[Operation, Scalar]] = {
    "sigmoid": (ops.Sigmoid(), _logistic),
    "SiLU": (ops.Silu(), _silu),
    "GELU": (ops.Gelu(), _gelu),
    "GELU (tanh)": (ops.Gelu(approximate=True), _tanh_gelu),
    "Mish": (ops.Mish(), _mish),
    "softplus": (ops.Softplus(), _softplus),
    "tanh": (ops.Tanh(), math.tanh),
    "erf": (ops.Erf(), math.erf),
    "exp": (ops.Exp(), _power),
    "ELU": (ops.Elu(), _elu),
    "SELU": (ops.Selu(), _selu),
    "CELU (2)": (ops.Celu(2.0), lambda x: 2 * _elu(x / 2)),
}

UNITS: dict[str, tuple[NeuronParams, Scalar]] = {
    "Sigmoid": (NeuronParams(NeuronKind.SIGMOID), _logistic),
    "Tanh": (NeuronParams(NeuronKind.TANH), math.tanh),
    "GELU": (NeuronParams(NeuronKind.GELU), _gelu),
    "GELUTanh": (NeuronParams(NeuronKind.GELU_TANH), _tanh_gelu),
    "GELUSigmoid": (NeuronParams(NeuronKind.GELU_SIGMOID), lambda x: x * _logistic(1.702 * x)),
    "Swish": (NeuronParams(NeuronKind.SILU), _silu),
    "Exp": (NeuronParams(NeuronKind.EXP), _power),
    "Log": (NeuronParams(NeuronKind.LOG), lambda x: math.log(x) if x > 0 else math.nan),
    "Sqrt": (NeuronParams(NeuronKind.SQRT), lambda x: math.sqrt(x) if x >= 0 else math.nan),
    "RSqrt": (NeuronParams(NeuronKind.RSQRT), lambda x: x**-0.5 if x > 0 else math.nan),
    "Inv": (NeuronParams(NeuronKind.RECIPROCAL), lambda x: 1 / x if x else math.nan),
    "ELU (1, 0)": (NeuronParams(NeuronKind.ELU, 1.0), _elu),
    "SELU": (NeuronParams(NeuronKind.SELU), _selu),
    "SoftPlus": (NeuronParams(NeuronKind.SOFTPLUS), _softplus),
    "Mish": (NeuronParams(NeuronKind.MISH), _mish),
    "Erf": (NeuronParams(NeuronKind.ERF), math.erf),
    "HardSwish": (NeuronParams(NeuronKind.HARD_SWISH), lambda x: x * min(max(x / 6 + 0.5, 0), 1)),
    "SoftSign": (NeuronParams(NeuronKind.SOFTSIGN), lambda x: x / (1 + abs(x))),
    "ASin": (NeuronParams(NeuronKind.ASIN), lambda x: math.asin(x) if abs(x) <= 1 else math.nan),
    "ACos": (NeuronParams(NeuronKind.ACOS), lambda x: math.acos(x) if abs(x) <= 1 else math.nan),
    "ATan": (NeuronParams(NeuronKind.ATAN), math.atan),
    "SinH": (NeuronParams(NeuronKind.SINH), lambda x: math.sinh(x) if abs(x) <= 11.78 else math.nan),
    "CosH": (NeuronParams(NeuronKind.COSH), lambda x: math.cosh(x) if abs(x) <= 11.78 else math.nan),
    "ASinH": (NeuronParams(NeuronKind.ASINH), math.asinh),
    "ACosH": (NeuronParams(NeuronKind.ACOSH), lambda x: math.acosh(x) if x >= 1 else math.nan),
    "ATanH": (NeuronParams(NeuronKind.ATANH), lambda x: math.atanh(x) if abs(x) < 1 else math.nan),
}


def _section(title: str) -> dict[str, dict[str, str]]:
    """Rows of a table of the page by function, each by column; of two columns of one name the first counts."""
    text = (ROOT / "docs" / "tables.md").read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [[cell.strip() for cell in line.strip("| ").split(" |")] for line in text.splitlines() if line[:1] == "|"]
    columns = lines[0]
    return {row[0]: dict(zip(reversed(columns), reversed(row), strict=True)) for row in lines[2:]}


def _check(row: dict[str, str], source: Graph | Net, function: Scalar) -> None:
    """The program of a graph or net, run on every fp16 number, against the standard library's double precision."""
    numbers = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    x = np.where(np.isfinite(numbers), numbers, 0).astype(np.float32)
    (found,) = openane.run(openane.compile(source), {"x": x.reshape(1, 1, ROWS, WIDTH)}).values()
    wanted = np.array([function(value) for value in x.astype(np.float64).tolist()])
    kept = np.isfinite(wanted) & (np.abs(wanted) < 65520)
    error = np.abs(found.reshape(-1).astype(np.float64)[kept] - wanted[kept])
    normal = np.abs(wanted[kept]) >= 2.0**-14
    relative = error[normal] / np.abs(wanted[kept][normal])
    assert float(row["largest error"]) == pytest.approx(error.max(), rel=0.06)
    assert float(row["largest relative error"]) == pytest.approx(relative.max(), rel=0.06)


@pytest.mark.parametrize("name", ACCURATE)
def test_errors_of_accurate_forms(name: str) -> None:
    operation, function = ACCURATE[name]
    kind = TensorType((1, 1, ROWS, WIDTH), DType.FLOAT32)
    _check(
        _section("Accurate forms")[name],
        Graph("function", {"x": kind}, ("y",), (Node("f", operation, ("x",), ("y",)),), {}),
        function,
    )


@pytest.mark.parametrize("name", UNITS)
def test_errors_of_units(name: str) -> None:
    neuron, function = UNITS[name]
    net = Net("net", {"x": TensorShape(height=ROWS, width=WIDTH)}, {"y": "f"}, (Unit("f", neuron, ("x",)),))
    _check(_section("Units")[name], net, function)


def test_every_accurate_form_is_judged() -> None:
    assert set(_section("Accurate forms")) == set(ACCURATE)
