"""Inputs of the readers, made by rule, and changes to them: for tools/fuzz_readers.py and the tests."""

from __future__ import annotations

import io
import random
import re
import struct
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np

from openane.compiler.driver import build, save
from openane.convert import convert
from openane.core.types import DType
from openane.formats.anec import write_anec
from openane.graph import Graph, Node, TensorType, ops
from openane.targets.assembly import disassemble, open_container


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
    """The small graph in every form that openane writes, by relative name; packages give several names."""
    graph = small_graph()
    found: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        artifact = build(graph)
        save(artifact, folder / "small.hwx")
        (folder / "small.anec").write_bytes(write_anec(artifact.program))
        for ending in (".plist", ".mlmodel", ".mlpackage", ".mil", ".onnx"):
            convert(_written(graph, folder), folder / f"made{ending}")
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = path.read_bytes()
    for ending in (".hwx", ".anec"):
        container = open_container(found[f"small{ending}"])
        assert container is not None
        found[f"small{ending}.asm"] = disassemble(container).encode()
    return MappingProxyType(found)


def _written(graph: Graph, folder: Path) -> Path:
    from openane.runtimes.host.export import export_model

    path = folder / "source.onnx"
    path.write_bytes(export_model(graph).SerializeToString())
    return path


def arrays() -> list[bytes]:
    """Arrays in .npy and .npz form."""
    results = []
    for dtype in (np.float32, np.int8, np.bool_):
        stream = io.BytesIO()
        np.save(stream, np.ones((2, 3), dtype))
        results.append(stream.getvalue())
    stream = io.BytesIO()
    np.savez_compressed(stream, x=np.zeros((1, 3, 6, 6), np.float32), label=np.int64(3))
    return [*results, stream.getvalue()]


EXPRESSIONS = (
    "x=1,3,224,224",
    "x:0=1x3x6x6",
    "0:PECFG.BiasMode=1",
    "*:Common.InDim.Win=0x20",
    "1..3:Common.Cin=4",
    "task 0: Common.InDim.Win = 32",
    "accumulate=exact",
    "x=array.npy",
)
"""What people write on the command line."""

# Changes ------------------------------------------------------------------------------------------------------------

INTERESTING = (
    *(0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x4000),
    *(0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 63, (1 << 64) - 1),
)
WORDS = (
    *(b"0", b"-1", b"1e999", b"nan", b"99999999999999999999", b"4294967296", b"", b"../../etc/passwd", b"\0", b"\xff"),
    *(
        b"<",
        b">",
        b"[",
        b"]",
        b"{",
        b"}",
        b"(",
        b")",
        b'"',
        b"=",
        b",",
        b"\xe2\x80\xa8",
        b"A" * 300,
        b"[" * 3000,
        b"(" * 3000,
    ),
)
_TOKEN = re.compile(rb"[A-Za-z_]\w*|\d+|[^\s\w]")
_HEADER_BYTES = 0x6000


def mutate(data: bytes, source: random.Random) -> bytes:
    """One to eight random changes, most of them near the start, where headers are."""
    result = bytearray(data)
    changes = _TEXT_CHANGES if _is_text(data) and source.random() < 0.7 else _CHANGES
    for _ in range(source.choice((1, 1, 1, 2, 3, 8))):
        source.choice(changes)(result, source)
        if not result:
            break
    return bytes(result)


def _is_text(data: bytes) -> bool:
    return b"\0" not in data[:1000]


def _place(data: bytearray, source: random.Random) -> int:
    limit = len(data) if source.random() < 0.3 else min(len(data), _HEADER_BYTES)
    return source.randrange(max(limit, 1))


def _flip(data: bytearray, source: random.Random) -> None:
    if data:
        data[_place(data, source)] ^= 1 << source.randrange(8)


def _word(data: bytearray, source: random.Random) -> None:
    at = _place(data, source) & ~3
    code = source.choice(("<I", "<I", "<Q", "<H", "<B"))
    value = source.choice(INTERESTING) & (1 << 8 * struct.calcsize(code)) - 1
    packed = struct.pack(code, value)
    data[at : at + len(packed)] = packed[: len(data) - at]


def _truncate(data: bytearray, source: random.Random) -> None:
    del data[_place(data, source) :]


def _copy(data: bytearray, source: random.Random) -> None:
    start, to, size = _place(data, source), _place(data, source), source.choice((4, 8, 40, 0x98))
    data[to : to + size] = data[start : start + size]


def _insert(data: bytearray, source: random.Random) -> None:
    at = _place(data, source)
    data[at:at] = source.choice(WORDS)


def _remove(data: bytearray, source: random.Random) -> None:
    start = _place(data, source)
    del data[start : start + source.choice((1, 2, 4, 8, 64))]


def _replace_token(data: bytearray, source: random.Random) -> None:
    """A word or number of the text by another one, of the text or of those that make trouble."""
    at = _place(data, source)
    first, second = _TOKEN.search(data, at), _TOKEN.search(data, _place(data, source))
    if first is not None:
        other = bytes(second[0]) if second is not None and source.random() < 0.5 else source.choice(WORDS)
        data[first.start() : first.end()] = other


def _repeat_line(data: bytearray, source: random.Random) -> None:
    lines = data.split(b"\n")
    lines.insert(source.randrange(len(lines) + 1), source.choice(lines))
    data[:] = b"\n".join(lines)


_Change = Callable[[bytearray, random.Random], None]
_CHANGES: tuple[_Change, ...] = (_flip, _word, _word, _truncate, _copy, _remove)
_TEXT_CHANGES: tuple[_Change, ...] = (_replace_token, _replace_token, _insert, _repeat_line, _remove, _truncate, _flip)
