"""Sound inputs of every reader, made by rule: for tools/fuzz_readers.py and the tests.

python tools/fuzz_inputs.py own FOLDER      writes the files of `files`, with "foreign" those of `foreign_files`
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np

from openane.analysis.journal import Piece
from openane.analysis.metrics import NO_ERROR
from openane.core.types import DType
from openane.formats.sniff import FileKind, sniff
from openane.graph import Graph, Node, TensorType, ops

LARGEST_SEED = 1 << 17
"""Bytes; larger files make slow runs and find nothing more."""


def small_graph() -> Graph:
    """Convolution, bias, activation, pooling and a product: one of each kind of thing that files hold."""
    random = np.random.default_rng(0)
    half = lambda *shape: random.standard_normal(shape).astype(np.float16).astype(np.float32)  # noqa: E731
    return Graph(
        "small",
        {"x": TensorType((1, 3, 6, 6), DType.FLOAT32)},
        ("y",),
        (
            Node(
                "conv", ops.Conv(strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), groups=1), ("x", "w", "b"), ("c",)
            ),
            Node("relu", ops.Relu(), ("c",), ("r",)),
            Node(
                "pool", ops.MaxPool(kernel=(2, 2), strides=(2, 2), pads=(0, 0, 0, 0), dilations=(1, 1)), ("r",), ("p",)
            ),
            Node("flat", ops.Reshape((1, 36)), ("p",), ("f",)),
            Node("product", ops.MatMul(), ("f", "m"), ("y",)),
        ),
        {"w": half(4, 3, 3, 3), "b": half(4), "m": half(36, 5)},
    )


@cache
def files() -> Mapping[str, bytes]:
    """The small graph in every form that openane writes, by relative name; packages give several names.

    Another process makes them, so that the libraries it needs take no memory or time of this one.
    """
    return _made("own")


@cache
def foreign_files() -> Mapping[str, bytes]:
    """Small models and data as other packages write them, by name; what needs a package that is missing is left out."""
    return _made("foreign")


def _made(which: str) -> Mapping[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        subprocess.run([sys.executable, __file__, which, name], check=True, capture_output=True)
        folder = Path(name)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return MappingProxyType({path.relative_to(folder).as_posix(): path.read_bytes() for path in paths})


def make_files(folder: Path) -> None:
    """Writes what `files` gives."""
    from openane.compiler.driver import build, save
    from openane.convert import convert
    from openane.formats.anec import write_anec
    from openane.runtimes.host.export import export_model
    from openane.targets.assembly import disassemble, open_container

    graph = small_graph()
    artifact = build(graph)
    save(artifact, folder / "small.hwx")
    (folder / "small.anec").write_bytes(write_anec(artifact.program))
    for ending in (".hwx", ".anec"):
        container = open_container(folder / f"small{ending}")
        assert container is not None
        (folder / f"small{ending}.asm").write_text(disassemble(container))
    source = folder / "source.onnx"
    source.write_bytes(export_model(graph).SerializeToString())
    for ending in (".plist", ".mlmodel", ".mlpackage", ".mil", ".onnx"):
        convert(source, folder / f"made{ending}")


def make_foreign_files(folder: Path) -> None:
    """Writes what `foreign_files` gives."""
    for make in (_make_keras, _make_exported):
        with suppress(ImportError):
            make(folder)


def _make_keras(folder: Path) -> None:
    import keras

    layers = [keras.Input((6, 6, 3), 1), keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dense(2)])
    model.save(folder / "made.keras")
    model.save(folder / "made.h5")


def _make_exported(folder: Path) -> None:
    import torch

    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()).eval()
    torch.export.save(torch.export.export(model, (torch.zeros(1, 3, 6, 6),)), folder / "made.pt2")


def tables() -> list[bytes]:
    """A Parquet file; none where pyarrow is missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return []
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"x": [[0.5] * 108] * 3, "labels": [0, 1, 2]}), stream)
    return [stream.getvalue()]


def pictures() -> list[bytes]:
    """A picture in every form that data sets may have; none where Pillow is missing."""
    try:
        from PIL import Image
    except ImportError:
        return []
    found = []
    for form in ("PNG", "JPEG", "BMP", "WEBP"):
        stream = io.BytesIO()
        Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(stream, form)
        found.append(stream.getvalue())
    return found


def arrays() -> list[bytes]:
    """Arrays in .npy and .npz form."""
    results = []
    for dtype in (np.float32, np.int8, np.bool_):
        stream = io.BytesIO()
        np.save(stream, np.ones((2, 3), dtype))
        results.append(stream.getvalue())
    for save in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        save(stream, x=np.zeros((1, 3, 6, 6), np.float32), labels=np.array([3]), **{"out:y": np.ones((1, 5))})
        results.append(stream.getvalue())
    return results


PATCHES = (
    "task[0].PE.Cfg.OpMode=mul",
    "task[0..1].Common.InDim.Win=0x20",
    "task[*].Header.NID=1",
    "tasks[ 0 ] . 0x8800 = 0x80004",
    "task[1].Common.Cin=-1",
)
SHAPES = ("x=1,3,224,224", "x:0=1x3x6x6", "image=1")
CONSTANTS = ("n=3", "axes=1,2,3", "scale=0.5", "k=-1", "file=array.npy")
AMOUNTS = ("512M", "8GiB", "1.5", "0")
COMMANDS = (
    "compile\nsmall.onnx\n-o\nout.hwx\n--target\nh13\n--shape\nx=1,3,6,6\n--host\nforbid",
    "run\nsmall.hwx\n--input\nx=x.npy\n--numerics\naccumulate=tile4\n--threads\n2\n--memory-limit\n512M\n--timeout\n1.5",
    "run\nmade.mil\n--until\n1\n--dump\nout\n--constant\nn=3\n--keep-on-host\nconv\n--fast\n--permissive\n--json",
    "eval\nm.onnx\nset.npz\n--metric\ncosine\n--scale\n255\n--jobs\n2\n--journal\nj.jsonl",
    "patch\nsmall.hwx\ntask[0].Header.NID=1\n-o\nout.hwx",
    "estimate\nsmall.hwx\n--chip\nm1\n--json",
    "diff\na.hwx\nb.hwx",
    "convert\na.onnx\nb.mlpackage",
)
"""Command lines, one argument per line."""


JOURNAL_HEAD = b'"head"\n'
"""Placeholder for the first line of a journal, which names the files that it belongs to."""


def journals() -> list[bytes]:
    """The pieces of a journal of an evaluation, as openane writes them."""
    sums = {"y": [0.5] * len(NO_ERROR)}
    pieces = [Piece(number, 32, 1.5, 0.1, sums, sums) for number in range(2)]
    return [JOURNAL_HEAD + b"".join(json.dumps(asdict(piece)).encode() + b"\n" for piece in pieces)]


def collect(places: list[Path]) -> Mapping[FileKind, list[bytes]]:
    """Files of a kind that openane knows, out of files and folders; large ones are left out."""
    found: dict[FileKind, list[bytes]] = {}
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and 0 < path.stat().st_size <= LARGEST_SEED:
                with suppress(Exception):
                    found.setdefault(sniff(path), []).append(path.read_bytes())
    return found


if __name__ == "__main__":
    {"own": make_files, "foreign": make_foreign_files}[sys.argv[1]](Path(sys.argv[2]))
