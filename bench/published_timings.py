"""The timings of shared/hw/performance-2.json, each with the work that our programs do for the network it describes.

A row is used when its network is known and its number is the time of whole calls. It is compiled as Apple's compiler
would choose (`like_apple`), for H13: rows of H13 are estimated as a user would, those of other generations with the
tasks of H13. Products too large to compile in a bench are counted by `openane.cost.operations`. Rows of hosts that
their source calls slow are read and not fitted. The published rows of `openane.cost.measurements` that the file does
not have are added; those that it has, or holds back, are not.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cost_networks as networks

import openane
from openane.artifact.plan import EngineStep
from openane.backend.task_cost import Work
from openane.cost import operations
from openane.cost.chips import chip
from openane.cost.measurements import MEASUREMENTS
from openane.cost.model import call_us
from openane.cost.program import works_of
from openane.graph import Graph, ops
from openane.targets.registry import GENERATIONS

SHARED = Path(os.environ.get("OPENANE_SHARED", Path(__file__).parents[2] / "shared"))
FILE = SHARED / "hw" / "performance-2.json"
IN_FILE = frozenset(("F M1 Air", "F M1 Max", "F M2 Pro", "F M4 Air", "F M4 Max", "F M5 Pro sweep", "F M5 Pro set"))
"""Sources in `openane.cost.measurements` whose rows the file has too; a part of them it holds back."""
LARGEST_PRODUCT = 4096
"""Square products above it are not compiled: packing their weights takes minutes."""
NOT_USED: Mapping[str, str] = {
    "clock": "constants, no times",
    "chain_1x1_A": "the image is not given",
    "tiny_layers": "the layers are not given",
    "task_model": "a fit, no times",
    "channel_sweep_160_layers": "the image is not given",
    "peak": "time of a layer, not of a call",
    "bandwidth": "constants, no times",
    "bandwidth_large": "rates of operations that are not given",
    "weight_formats_m2048": "time of a layer, not of a call",
    "pruned_1x1": "time of a layer, not of a call",
    "pe_task_two_ops": "time of a task, not of a call",
    "chain_tensor_size": "time of a layer, not of a call",
    "depth_line": "a fit, no times",
    "kernel_efficiency": "the shapes are not given",
    "power": "no times",
    "apps": "throughput with several calls in flight, or several programs",
    "compile": "compile times",
    "m1_cout": "the image is not given",
    "dispatch": "one constant, in the rows of small networks too",
}
_Maker = Callable[[], Graph]


@dataclass(frozen=True, slots=True)
class Row:
    """One timing.

    Attributes:
        chip: name in `openane.cost.chips`.
        table: of the file, or the source of a row of `openane.cost.measurements`.
        network: what was run; rows of the same network are left out together in cross-validation.
        calls: the work of each call.
        compiled: whether the work is that of a program compiled for the chip's generation.
        time_us: of all calls.
        milliwatts: of the engine's rail, 0 when not published.
        fitted: whether the constants may be fitted to it.
    """

    chip: str
    table: str
    network: str
    calls: tuple[tuple[Work, ...], ...]
    compiled: bool
    time_us: float
    milliwatts: float
    fitted: bool

    @property
    def generation(self) -> str:
        """Of the chip."""
        return generation_of_chip(self.chip)

    @property
    def model_us(self) -> float:
        """What the model says."""
        return sum(call_us(works, chip(self.chip)) for works in self.calls)


@functools.cache
def generation_of_chip(name: str) -> str:
    """The generation whose folder lists the chip."""
    return next(each.name for each in GENERATIONS.values() if name in [known.name for known in each.chip_costs])


def _of_square(row: Mapping[str, Any]) -> tuple[str, _Maker | None]:
    n = row["n"]
    return f"matmul {n}x{n}x{n}", (lambda: networks.matmul(n, n, n)) if n <= LARGEST_PRODUCT else None


def _of_convolution(row: Mapping[str, Any]) -> tuple[str, _Maker | None]:
    channels, batch = row["C"], row["batch"]
    name = f"conv 3x3 {channels}->{channels} at 64 batch {batch}"
    return name, lambda: networks.convolution(channels, channels, 64, 3, batch=batch)


def _of_stream(row: Mapping[str, Any]) -> tuple[str, _Maker | None]:
    name, shape = row.get("op", "relu").split()[0], tuple(row["shape"])
    operation = {"relu": ops.Relu(), "gelu": ops.Gelu(), "reduce_sum": ops.ReduceSum((1,)), "softmax": ops.Softmax(1)}
    if name == "layer_norm":
        return f"{name} {shape}", lambda: networks.norm(name, *shape)
    return f"{name} {shape}", lambda: networks.one(operation[name], *shape)


_TESTS: Mapping[str, _Maker] = {
    "GEMM 64x256x256": lambda: networks.matmul(64, 256, 256),
    "GEMM 128x1024x1024": lambda: networks.matmul(128, 1024, 1024),
    "GEMM 256x4096x4096": lambda: networks.matmul(256, 4096, 4096),
    "conv3x3 16->64 32x32 +relu": lambda: networks.convolution(16, 64, 32, 3, relu=True),
    "16x conv3x3 256 32x32": lambda: networks.convolution(256, 256, 32, 3, layers=16, relu=True),
    "attention S197 D768 H12": lambda: networks.attention(197, 768, 12),
    "attention S512": lambda: networks.attention(512, 768, 12),
    "layer_norm (197,768)": lambda: networks.norm("layer_norm", 197, 768),
    "rms_norm (197,768)": lambda: networks.norm("rms_norm", 197, 768),
    "group_norm (1,256,64,64)": lambda: networks.norm("group_norm", 1, 256, 64, 64),
    "DFT 1024": lambda: networks.matmul(1, 1024, 1024),
    "stencil 256x256 32 steps": lambda: networks.convolution(1, 1, 256, 3, layers=32),
    "Jacobi 512 25 it": lambda: networks.jacobi(512, 25),
    "ResNet-18": networks.resnet18,
}
_TWO_CALLS = ("DFT 1024",)
"""The real and the imaginary part are two programs."""


def _of_test(row: Mapping[str, Any]) -> tuple[str, _Maker | None]:
    return row["test"], _TESTS.get(row["test"])


def _of_vector(row: Mapping[str, Any]) -> tuple[str, _Maker | None]:
    inner, columns = row["K"], row["N"]
    small = inner * columns <= LARGEST_PRODUCT**2
    return f"matmul 1x{inner}x{columns}", (lambda: networks.matmul(1, inner, columns)) if small else None


def _of_depth(row: Mapping[str, Any]) -> tuple[str, _Maker | None]:
    layers = row["layers"]
    name = f"conv 1x1 512->512 at 32, {layers} layers"
    return name, lambda: networks.convolution(512, 512, 32, 1, layers=layers)


TABLES: Mapping[str, Callable[[Mapping[str, Any]], tuple[str, _Maker | None]]] = {
    "gemm_square": _of_square,
    "conv3x3_64x64": _of_convolution,
    "stream_relu": _of_stream,
    "stream_ops": _of_stream,
    "wattcomplete": _of_test,
    "gemv": _of_vector,
    "depth_512ch_32x32": _of_depth,
}


def _time_us(row: Mapping[str, Any]) -> float:
    if "TF" in row:
        return float(row["layers"] * 2 * 512 * 512 * 32 * 32 / (row["TF"] * 1e6))
    return float(row["min_call_ms"]) * 1e3


@functools.cache
def _compiled(name: str) -> tuple[Work, ...]:
    """The work of a network, compiled for H13 with the choices of Apple's compiler."""
    artifact = openane.compile(_MAKERS[name](), like_apple=True)
    programs = [step.program for step in artifact.plan.steps if isinstance(step, EngineStep)]
    if len(programs) != 1 or len(artifact.plan.steps) != 1:
        raise RuntimeError(f"{name} is not one program: {artifact.plan.steps}")
    return works_of(programs[0])


_MAKERS: dict[str, _Maker] = {}
_PRODUCT = re.compile(r"matmul (\d+)x(\d+)x(\d+)")
_CONVOLUTION = re.compile(r"conv (\d+)x\1 (\d+)->(\d+) at (\d+)(?: batch (\d+))?(?:, (\d+) layers)?")


def _counted(row: Mapping[str, Any]) -> tuple[Work, ...] | None:
    """The work of a network that is too large to compile here."""
    if "n" in row:
        return (operations.matmul(row["n"], row["n"], row["n"]),)
    return (operations.matmul(1, row["K"], row["N"]),) if "K" in row else None


def _read(values: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    slow = {row["source"] for row in values if "do not fit" in str(row.get("note"))}
    for row in values:
        if row["table"] not in TABLES or not (row.get("min_call_ms") or row.get("TF")):
            continue
        name, maker = TABLES[row["table"]](row)
        if maker is not None:
            _MAKERS[name] = maker
        works = _counted(row) if maker is None else _compiled(name)
        if works is None:
            continue
        found = chip(row["chip"]).name
        yield Row(
            chip=found,
            table=row["table"],
            network=name,
            calls=(works,) * (2 if name in _TWO_CALLS else 1),
            compiled=maker is not None and generation_of_chip(found) == "h13",
            time_us=_time_us(row),
            milliwatts=float(row.get("ane_mW") or 0),
            fitted=row["source"] not in slow,
        )


def rows_of(file: Path) -> tuple[Row, ...]:
    """The rows of a file like performance-2.json whose work is known."""
    return tuple(_read(json.loads(file.read_text())))


def held_back() -> tuple[Row, ...]:
    """The rows of `openane.cost.measurements` from the tables of the file."""
    return tuple(_published(True))


def rows(file: Path = FILE) -> tuple[Row, ...]:
    """Everything that constants are fitted to, and the rows of slow hosts.

    Raises:
        FileNotFoundError: the file is not there.
    """
    return (*rows_of(file), *_published(False))


def _published(in_file: bool) -> Iterator[Row]:
    for each in MEASUREMENTS:
        if (each.source in IN_FILE) != in_file:
            continue
        works, compiled = (each.work,), _again(each.work.name)
        if compiled is not None:
            works = _compiled(each.work.name)
        yield Row(
            chip=each.chip,
            table=each.source,
            network=each.work.name,
            calls=(works,),
            compiled=compiled is not None and generation_of_chip(each.chip) == "h13",
            time_us=each.time_us,
            milliwatts=each.milliwatts,
            fitted=True,
        )


def _again(name: str) -> _Maker | None:
    """The network of a published convolution or product; None for others and for large products."""
    if found := _PRODUCT.fullmatch(name):
        rows, inner, columns = map(int, found.groups())
        if inner * columns > LARGEST_PRODUCT**2:
            return None
        return _MAKERS.setdefault(name, lambda: networks.matmul(rows, inner, columns))
    if found := _CONVOLUTION.fullmatch(name):
        kernel, channels, out, side, batch, layers = (int(each or 1) for each in found.groups())
        make = functools.partial(networks.convolution, channels, out, side, kernel, batch=batch, layers=layers)
        return _MAKERS.setdefault(name, make)
    return None
