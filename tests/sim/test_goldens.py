"""Programs that Apple's compiler made between 2020 and 2026 compute what their names say."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from openane.formats.anec import read_anec
from openane.formats.hwx import read_hwx
from openane.numerics.definition.fp16 import nearest
from openane.program import Program
from openane.targets import load_program
from openane.targets.h13.machine import machine

Function = Callable[..., np.ndarray]
ROWS = 48


def erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf)(x)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# name: function, ranges of both inputs, absolute and relative error allowed (execution.md#golden-results)
GOLDENS: dict[str, tuple[Function, tuple[float, float], tuple[float, float] | None, float, float]] = {
    "add": (lambda a, b: a + b, (-4, 4), (-4, 4), 0, 4.9e-4),
    "sub": (lambda a, b: a - b, (-4, 4), (-4, 4), 0, 4.9e-4),
    "mul": (lambda a, b: a * b, (-4, 4), (-4, 4), 1e-7, 4.9e-4),
    "max": (np.maximum, (-4, 4), (-4, 4), 0, 0),
    "div": (lambda a, b: a / b, (-4, 4), (0.01, 100), 1e-6, 1.5e-3),
    "abs": (np.abs, (-60000, 60000), None, 0, 0),
    "sign": (np.sign, (-60000, 60000), None, 0, 0),
    "ceil": (np.ceil, (-60, 60), None, 0, 0),
    "relu": (lambda x: np.maximum(x, 0), (-60000, 60000), None, 0, 0),
    "relu6": (lambda x: np.clip(x, 0, 6), (-60, 60), None, 0, 0),
    "square": (lambda x: x * x, (-4, 4), None, 1e-7, 4.9e-4),
    "leakyrelu": (lambda x: np.where(x > 0, x, 0.01 * x), (-4, 4), None, 2e-5, 7e-4),
    "exp": (np.exp, (-8, 8), None, 1e-6, 2.4e-3),
    "inv": (lambda x: 1 / (x + 1e-4), (0.001, 1000), None, 0, 9e-4),
    "sqrt": (np.sqrt, (0.001, 1000), None, 0, 1e-3),
    "log": (np.log, (0.001, 1000), None, 7e-3, 0),
    "tanh": (np.tanh, (-5, 5), None, 1.8e-3, 0),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), (-12, 12), None, 1.2e-3, 0),
    "silu": (lambda x: x / (1 + np.exp(-x)), (-12, 12), None, 4e-3, 0),
    "gelu": (lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2))), (-6, 6), None, 6.3e-3, 0),
    "softmax": (softmax, (-4, 4), None, 7e-6, 0),
}


def anec(shared: Path, name: str) -> Program:
    return load_program(read_anec(shared / "goldens" / "h13" / f"eiln-{name}.anec"))


def hwx(shared: Path, name: str) -> Program:
    return load_program(read_hwx(shared / "goldens" / name))


@pytest.mark.parametrize("name", GOLDENS)
def test_published_program(shared: Path, name: str) -> None:
    function, first, second, absolute, relative = GOLDENS[name]
    program = anec(shared, name)
    rng = np.random.default_rng(5)
    arrays = {}
    for surface, bounds in zip(program.inputs, (first, second), strict=False):
        assert bounds is not None
        arrays[surface.name] = rng.uniform(*bounds, surface.shape).astype(np.float16)
    (output,) = machine(program).run(arrays).values()
    sample = [array[0, 0, 0, :ROWS].astype(np.float64) for array in arrays.values()]
    expected = function(*sample)
    found = output[0, 0, 0, :ROWS].astype(np.float64)
    assert (np.abs(found - expected) <= absolute + relative * np.abs(expected)).all()


def run_vector(program: Program, *values: np.ndarray) -> np.ndarray:
    """One-dimensional arrays in, one out."""
    arrays = {}
    for surface, array in zip(program.inputs, values, strict=True):
        arrays[surface.name] = np.asarray(array, np.float16).reshape(surface.shape)
    (output,) = machine(program).run(arrays).values()
    return output.reshape(-1)


def test_seed_inner_product(shared: Path) -> None:
    found = run_vector(hwx(shared, "pairs/seed-inner-product/model.hwx"), np.array([1337, 0, 0]))
    assert found.tolist() == [4012, 4012]


def test_conv_with_weights_two(shared: Path) -> None:
    found = run_vector(hwx(shared, "h13/tinygrad-conv.hwx"), np.array([3, 3, 3]))
    assert found.tolist() == [18, 18, 18]


@pytest.mark.parametrize("name", ["conv-min-weights", "min-conv"])
def test_conv_with_weights_from_a_file(shared: Path, name: str) -> None:
    program = hwx(shared, f"pairs/{name}/model.hwx")
    lanes = np.frombuffer(program.constants, "<f2")
    weights = np.stack([lanes[32 * i : 32 * i + 3] for i in range(3)]).astype(np.float64)
    x = np.array([1.5, -2, 4], np.float16)
    expected = (weights @ x.astype(np.float64)).astype(np.float16)
    found = run_vector(program, x).astype(np.float64)
    assert np.abs(found - np.where(np.abs(expected) < 2.0**-14, 0, expected)).max() == 0


@pytest.mark.parametrize("name", ["h13/tinygrad-gemm.hwx", "pairs/gemm-512/model.hwx"])
def test_matrix_of_zeros(shared: Path, name: str) -> None:
    assert not run_vector(hwx(shared, name), np.linspace(-4, 4, 512)).any()


def test_relu(shared: Path) -> None:
    x = np.linspace(-8, 8, 77).astype(np.float16)
    assert (run_vector(hwx(shared, "h13/tinygrad-relu.hwx"), x) == np.maximum(x, 0)).all()


@pytest.mark.parametrize("name", ["h13/tinygrad-sum.hwx", "pairs/sum-64/model.hwx"])
def test_sum(shared: Path, name: str) -> None:
    a, b = np.random.default_rng(6).uniform(-4, 4, (2, 64)).astype(np.float16)
    exact = a.astype(np.float64) + b
    assert run_vector(hwx(shared, name), a, b).view(np.uint16).tolist() == [nearest(total) for total in exact.tolist()]


@pytest.mark.parametrize("name", ["allbilly-mul", "allbilly-mul-macos14"])
def test_product(shared: Path, name: str) -> None:
    a, b = np.random.default_rng(7).uniform(-4, 4, (2, 64)).astype(np.float16)
    assert (run_vector(hwx(shared, f"h13/{name}.hwx"), a, b) == a * b).all()


@pytest.mark.parametrize("name", ["h13/tinygrad-concat.hwx", "pairs/concat-16384/model.hwx"])
def test_concat(shared: Path, name: str) -> None:
    program = hwx(shared, name)
    arrays = [np.arange(math.prod(s.shape)) % 2048 - 7 * i for i, s in enumerate(program.inputs)]
    first, second = program.inputs
    found = run_vector(program, *arrays)
    # the first operand of the network is the one with the higher buffer index
    parts = [a for _, a in sorted(zip((first.buffer, second.buffer), arrays, strict=True), key=lambda pair: -pair[0])]
    assert (found == np.concatenate(parts)).all()
