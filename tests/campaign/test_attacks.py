"""Inputs that random changes hardly make: numbers, nests, names and repeats chosen to hurt. One answer, at once."""

from __future__ import annotations

import importlib.util
import io
import json
import plistlib
import struct
import sys
import zipfile
from collections.abc import Callable, Sequence

import numpy as np
import pytest

if sys.platform != "linux":
    pytest.skip("limits of the process are set on Linux only", allow_module_level=True)
pytest.importorskip("onnx")

import onnx
from fuzz_inputs import JOURNAL_HEAD, files, journals
from fuzz_readers import attempt, limits, scratch
from onnx import TensorProto, helper, numpy_helper

# Importing it takes long, and is done by another process.
pytestmark = pytest.mark.skipif(importlib.util.find_spec("coremltools") is None, reason="coremltools is missing")

Inits = Sequence[tuple[str, np.ndarray]]
HUGE = "9" * 20
DIGITS = "9" * 5000


def model(nodes: Sequence[onnx.NodeProto], constants: Inits = ()) -> bytes:
    """An ONNX model from x to y, both [1, 4]."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(a, n) for n, a in constants])
    opsets = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def filled(*shape: int) -> bytes:
    nodes = [helper.make_node("ConstantOfShape", ["s"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])]
    return model(nodes, [("s", np.array(shape))])


def loops(steps: int, depth: int) -> bytes:
    """Loops in loops: steps ** depth nodes of a few."""
    value = helper.make_tensor_value_info
    body = [helper.make_node("Add", [f"v{depth}", f"v{depth}"], [f"o{depth}"])]
    for i in range(depth, 0, -1):
        inside = helper.make_graph(
            [*body, helper.make_node("Identity", [f"c{i}"], [f"d{i}"])],
            f"b{i}",
            [
                value(f"i{i}", TensorProto.INT64, ()),
                value(f"c{i}", TensorProto.BOOL, ()),
                value(f"v{i}", TensorProto.FLOAT, (1, 4)),
            ],
            [value(f"d{i}", TensorProto.BOOL, ()), value(f"o{i}", TensorProto.FLOAT, (1, 4))],
        )
        source, result = ("x", "y") if i == 1 else (f"v{i - 1}", f"o{i - 1}")
        body = [helper.make_node("Loop", ["t", "c", source], [result], body=inside)]
    return model(body, [("t", np.array(steps)), ("c", np.array(True))])


def einsum(equation: str) -> bytes:
    return model([helper.make_node("Einsum", ["x", "x"], ["y"], equation=equation)])


def units(names: Sequence[str]) -> bytes:
    network = {"Units": names, "Inputs": ["a"], "Outputs": ["o"], "Weights": []}
    return plistlib.dumps({"Networks": ["n"], "n": network}, fmt=plistlib.FMT_BINARY)


def objects(*encoded: bytes) -> bytes:
    """A binary property list of objects that are encoded already, the first one on top; references take two bytes."""
    head = b"bplist00"
    offsets, size = [], len(head)
    for each in encoded:
        offsets.append(size)
        size += len(each)
    table = b"".join(struct.pack(">I", offset) for offset in offsets)
    return head + b"".join(encoded) + table + bytes(6) + struct.pack(">BBQQQ", 4, 2, len(encoded), 0, size)


def reference(number: int) -> bytes:
    return struct.pack(">H", number)


def laughs() -> bytes:
    """Ten references to ten references to ... and so on."""
    lists = [b"\xaa" + reference(i + 3) * 10 for i in range(60)]
    return objects(b"\xd1" + reference(1) + reference(2), b"\x58Networks", *lists, b"\x51a")


def chain(count: int) -> bytes:
    return objects(*(b"\xa1" + reference(i + 1) for i in range(count)), b"\x51a")


def assembly(name: str) -> bytes:
    """The small program with another name for the first register of an array."""
    text = files()["small.hwx.asm"].decode()
    line = next(line for line in text.splitlines() if "[" in line.split(";")[0] and not line.strip().startswith("."))
    word = line.split()[0]
    return text.replace(word, f"{word.partition('[')[0]}[{name}]").encode()


def constants(lines: str, size: int = 0x7FFFFFFF) -> bytes:
    """The small program with other constants."""
    head = files()["small.hwx.asm"].partition(b".constants")[0]
    return head + f".constants size={size:#x}\n{lines}".encode()


def archive(method: int, size: int) -> bytes:
    """A .npz whose only array is `size` zeros."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.zeros(size, np.uint8))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as file:
        file.writestr("x.npy", stream.getvalue())
    return packed.getvalue()


def journal(**changes: object) -> bytes:
    line = journals()[0].splitlines()[1]
    return JOURNAL_HEAD + json.dumps(json.loads(line) | changes).encode() + b"\n"


ATTACKS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "lines of comment signs": ("sniff", lambda: b"//" * 5000 + b"\nx"),
    "semicolons": ("sniff", lambda: b";" * 10000 + b"\nx"),
    "hashes": ("sniff", lambda: b"#" * 10000 + b"\nx"),
    "a constant out of nothing": ("onnx", lambda: filled(1 << 26, 4)),
    "a constant beyond counting": ("onnx", lambda: filled(1 << 62, 1 << 62)),
    "loops in loops": ("onnx", lambda: loops(1000, 4)),
    "a long equation": ("onnx", lambda: einsum("a" * 300_000 + "!,ab->ab")),
    "an equation of commas": ("onnx", lambda: einsum("," * 300_000 + "->ab")),
    "many names, the last one twice": ("plist", lambda: units([*(f"u{i}" for i in range(50_000)), "u49999"])),
    "one name many times": ("plist", lambda: units(["u"] * 200_000)),
    "a list in itself": ("plist", lambda: objects(b"\xa1" + reference(0))),
    "a dictionary in itself": ("plist", lambda: objects(b"\xd1" + reference(1) + reference(0), b"\x58Networks")),
    "lists of lists of lists": ("plist", laughs),
    "a chain of lists": ("plist", lambda: chain(60_000)),
    "a list of 2**62": ("plist", lambda: objects(b"\xaf\x13" + struct.pack(">Q", 1 << 62))),
    "data of 2**62 bytes": ("plist", lambda: objects(b"\x4f\x13" + struct.pack(">Q", 1 << 62))),
    "an integer of a million digits": (
        "plist",
        lambda: b"<plist><dict><key>Networks</key><integer>" + b"9" * 1_000_000 + b"</integer></dict></plist>",
    ),
    "a range of registers without end": ("assembly", lambda: assembly(f"0..{HUGE}")),
    "a register of many digits": ("assembly", lambda: assembly(DIGITS)),
    "constants out of nothing": ("assembly", lambda: constants("")),
    "constants out of a word": ("assembly", lambda: constants(" 0x0: 01\n")),
    "constants reported again and again": ("assembly", lambda: constants(" 0x0 *0x1fffff0: 01\n" * 1000, 0x2000000)),
    "a task of many digits": ("patch", lambda: f"task[{DIGITS}].Header.NID=1".encode()),
    "a value of many digits": ("patch", lambda: f"task[0].Header.NID={DIGITS}".encode()),
    "a value of many hexadecimal digits": ("patch", lambda: f"task[0].Header.NID=0x{DIGITS}".encode()),
    "an address of many digits": ("patch", lambda: f"task[0].0x{DIGITS}=1".encode()),
    "digits of another script": ("patch", lambda: "task[\u0664].Header.NID=\u00b2".encode()),
    "spaces": ("patch", lambda: b"task[0]." + b" " * 60_000),
    "spaces after": ("patch", lambda: b"task[0].a=b" + b" " * 60_000 + b"\n"),
    "an array that packs well": ("array", lambda: archive(zipfile.ZIP_LZMA, 16 << 20)),
    "a nested entry": ("cache", lambda: b"[" * 100_000 + b"\n"),
    "a piece without end": ("journal", lambda: journal(number=float("inf"))),
    "errors below nothing": ("journal", lambda: journal(errors={"y": [-1.0, 1.0, 1.0, 4.0, 0.0]})),
    "more odd elements than elements": ("journal", lambda: journal(errors={"y": [1.0, 1.0, 1.0, 1.0, 4.0]})),
    "a nested journal": ("journal", lambda: JOURNAL_HEAD + b"[" * 100_000 + b"\n"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("label", ATTACKS)
def test_attacks_are_answered(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the time that the campaign gives, for a first run that imports what it needs."""
    monkeypatch.setattr("openane.frontends.onnx.importer.MORE_NODES", 1000)  # else half a minute of spelling out
    reader, make = ATTACKS[label]
    data = make()
    files()  # made by another process, before the limits hold
    with scratch() as folder, limits():
        error = attempt(reader, data, folder, 2.0)
    assert error is None, repr(error)


def test_names_are_measured_in_messages() -> None:
    from openane.core.errors import InputError

    long = InputError("wrong", where="n" * 100_000, value=10**6000, limit="x" * 100_000)
    assert len(str(long)) < 5000
    assert "an integer of 19932 bits" in str(long)


def test_terminals_are_not_spoken_to() -> None:
    """Control characters and reversed writing in names appear as escapes in messages."""
    from openane.core.errors import FormatError

    text = str(FormatError("no such name", value="a\x1b]0;title\x07\u202egnp.exe \u00e9\u65e5"))
    assert text == r"no such name (found a\x1b]0;title\x07\u202egnp.exe é日)"
