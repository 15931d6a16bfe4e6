"""Records of Apple's compiler as programs that run: task words as recorded, constants rebuilt by the packing rules.

The packer here is written from the prose of the rules, one value at a time, and shares nothing with the package.
"""

from __future__ import annotations

import json
import math
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from openane.program import Burst, Program, Role, Surface, Task

SHARED = Path(os.environ.get("OPENANE_SHARED", Path(__file__).parents[2].parent / "shared"))
RECORDS = SHARED / "oracles" / "h13"
LANES = 16


def cases() -> list[str]:
    """Names of all records at hand."""
    return sorted(path.stem for path in RECORDS.glob("*.json"))


def tables() -> dict[str, bytes]:
    """The table images that the format sheet gives, and the ones that follow from their definition."""
    text = (SHARED / "hw" / "formats.md").read_text()
    found = {}
    for name, words in re.findall(r"^\| (\w+) \| [0-9a-f]{64} \| ([0-9a-f ]+) \|", text, re.M):
        values = [int(word, 16) for word in words.split()]
        found[name] = struct.pack("<64H", *values, *[0] * (64 - len(values)))
    knots = [math.log2(0.5 + i / 64) for i in range(33)]
    found["log2"] = image([0, np.inf, -np.inf, np.inf, *knots, 0, 0, 0, 0], 6, 0xC9)
    found["leaky_relu"] = image([-np.inf, np.inf, -np.inf, np.inf, *[0] * 33, 0.125, 0, 1, 0], 0x40, 1)
    return found


def image(numbers: list[float], step: int, meta: int) -> bytes:
    """A table of 41 numbers."""
    words = np.array(numbers, np.float16).view(np.uint16).tolist()
    return struct.pack("<64H", *words, step, meta, *[0] * 21)


@dataclass
class Statement:
    """One line of MIL."""

    name: str
    shape: tuple[int, ...]
    operation: str
    arguments: dict[str, str]


@dataclass
class Record:
    """A record with the values that were made up for its constants."""

    raw: dict
    statements: list[Statement]
    inputs: dict[str, tuple[int, ...]]
    output: str
    constants: dict[str, object]

    @classmethod
    def load(cls, case: str, seed: int = 0) -> Record:
        raw = json.loads((RECORDS / f"{case}.json").read_text())
        text = raw["mil"]
        head = re.search(r"func main<\w+>\((.*?)\) \{", text).group(1)
        inputs = {
            name: tuple(int(n) for n in shape.split(","))
            for shape, name in re.findall(r"tensor<fp16, \[([\d, ]+)\]> (\w+)", head)
        }
        body = re.findall(r"^    \S+(?: \S+)*? (\w+) = (\w+)\((.*?)\)\[(.*)\];$", text, re.M)
        typed = re.findall(r"^    tensor<\w+, \[([\d, ]*)\]> (\w+) =", text, re.M)
        kinds = {name: shape for shape, name in typed}
        statements, constants = [], {}
        rng = np.random.default_rng(seed)
        for name, operation, inside, attributes in body:
            shape = tuple(int(n) for n in kinds[name].split(",")) if kinds.get(name) else ()
            if operation == "const":
                constants[name] = constant(attributes, shape, rng)
            else:
                arguments = dict(re.findall(r"(\w+) = (\w+\([^)]*\)|\w+)", inside))
                statements.append(Statement(name, shape, operation, arguments))
        output = re.search(r"-> \((\w+)\)", text).group(1)
        return cls(raw, statements, inputs, output, constants)

    def value(self, text: str, known: dict[str, np.ndarray]) -> object:
        """An argument: a name or a literal."""
        if text in known:
            return known[text]
        if text in self.constants:
            return self.constants[text]
        return literal(text)

    def operations(self) -> list[str]:
        return [statement.operation for statement in self.statements]


def literal(text: str) -> object:
    kind, inside = re.match(r"(\w+)\((.*)\)", text).groups()
    inside = inside.strip('"')
    if kind == "string":
        return inside
    if kind == "bool":
        return inside == "true"
    if kind.startswith("fp"):
        return float.fromhex(inside) if "x" in inside else float(inside)
    return int(inside)


def constant(attributes: str, shape: tuple[int, ...], rng: np.random.Generator) -> object:
    inside = re.search(r"val = (.*)$", attributes).group(1)
    if "BLOBFILE" in inside:
        scale = 1 / math.sqrt(max(1, math.prod(shape[1:])))
        return (rng.standard_normal(shape) * scale).astype(np.float16)
    if inside.startswith("tensor"):
        values = re.search(r"\(\[(.*?)\]\)", inside).group(1)
        return [int(n) for n in values.split(",")]
    return literal(re.match(r"\w+\([^)]*\)", inside).group(0))


# The function of a record ------------------------------------------------------------------------------------------


def evaluate(record: Record, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """What the MIL text says, in float64."""
    known = {name: array.astype(np.float64) for name, array in arrays.items()}
    for statement in record.statements:
        arguments = {key: record.value(text, known) for key, text in statement.arguments.items()}
        x = np.asarray(arguments.pop("x"), np.float64)
        known[statement.name] = apply(statement.operation, x, arguments)
    return known[record.output]


def apply(operation: str, x: np.ndarray, a: dict) -> np.ndarray:
    y = np.asarray(a["y"], np.float64) if "y" in a else None
    simple = {
        "add": lambda: x + y,
        "sub": lambda: x - y,
        "mul": lambda: x * y,
        "maximum": lambda: np.maximum(x, y),
        "pow": lambda: x**y,
        "real_div": lambda: x / y,
        "relu": lambda: np.maximum(x, 0),
        "abs": lambda: np.abs(x),
        "exp": lambda: np.exp(x),
        "sqrt": lambda: np.sqrt(x),
        "rsqrt": lambda: 1 / np.sqrt(x + a["epsilon"]),
        "sigmoid": lambda: 1 / (1 + np.exp(-x)),
        "silu": lambda: x / (1 + np.exp(-x)),
        "gelu": lambda: x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
        "leaky_relu": lambda: np.where(x > 0, x, x * a["alpha"]),
        "softmax": lambda: softmax(x, a["axis"]),
        "layer_norm": lambda: layer_norm(x, tuple(a["axes"]), a["epsilon"]),
        "reduce_sum": lambda: x.sum(axis=tuple(a["axes"]), keepdims=a["keep_dims"]),
        "reduce_mean": lambda: x.mean(axis=tuple(a["axes"]), keepdims=a["keep_dims"]),
        "reduce_max": lambda: x.max(axis=tuple(a["axes"]), keepdims=a["keep_dims"]),
        "matmul": lambda: matmul(x, y, a["transpose_x"], a["transpose_y"]),
        "conv": lambda: convolution(x, a),
    }
    return simple[operation]()


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def layer_norm(x: np.ndarray, axes: tuple[int, ...], epsilon: float) -> np.ndarray:
    centered = x - x.mean(axis=axes, keepdims=True)
    return centered / np.sqrt((centered**2).mean(axis=axes, keepdims=True) + epsilon)


def matmul(x: np.ndarray, y: np.ndarray, transpose_x: bool, transpose_y: bool) -> np.ndarray:
    return (x.swapaxes(-1, -2) if transpose_x else x) @ (y.swapaxes(-1, -2) if transpose_y else y)


def convolution(x: np.ndarray, a: dict) -> np.ndarray:
    w = np.asarray(a["weight"], np.float64)
    stride, groups = a["strides"][0], a["groups"]
    k = w.shape[2]
    n, c, h, _ = x.shape
    out = -(-h // stride) if a["pad_type"] == "same" else (h - k) // stride + 1
    total = max((out - 1) * stride + k - h, 0) if a["pad_type"] == "same" else 0
    before = total // 2
    padded = np.pad(x, ((0, 0), (0, 0), (before, total - before), (before, total - before)))
    result = np.zeros((n, w.shape[0], out, out))
    per_in, per_out = c // groups, w.shape[0] // groups
    for ky in range(k):
        for kx in range(k):
            part = padded[:, :, ky : ky + (out - 1) * stride + 1 : stride, kx : kx + (out - 1) * stride + 1 : stride]
            for g in range(groups):
                pixels = part[:, g * per_in : (g + 1) * per_in].reshape(n, per_in, -1)
                sums = w[g * per_out : (g + 1) * per_out, :, ky, kx] @ pixels
                result[:, g * per_out : (g + 1) * per_out] += sums.reshape(n, per_out, out, out)
    return result + np.asarray(a["bias"], np.float64)[:, None, None] if "bias" in a else result


# The constant section ----------------------------------------------------------------------------------------------


def dense_lanes(w: np.ndarray, bias: np.ndarray | None, cap: int, pad_blocks: bool = False) -> list[list[float]]:
    """Lanes of fp16 word values: rounds of g channels, each [bias][input channel, row, column][g]."""
    lanes: list[list[float]] = [[] for _ in range(min(LANES, len(w)))]
    left, first = max(1, len(w) // LANES), 0
    while left:
        g = min(left, cap)
        for i, lane in enumerate(lanes):
            start = first + i * g
            if bias is not None:
                lane.extend(bias[start + j] for j in range(g))
            block = w[start : start + g].transpose(1, 2, 3, 0)  # input channel, row, column, output channel
            lane.extend(block.reshape(-1).tolist())
        first += LANES * g
        left -= g
    return lanes


def phase_order(w: np.ndarray) -> np.ndarray:
    """(O, I, taps) with the window made even and ordered by phase."""
    o, i, k, _ = w.shape
    even = k + k % 2
    grown = np.zeros((o, i, even, even), w.dtype)
    grown[:, :, :k, :k] = w
    taps = [
        (2 * a + py, 2 * b + px) for py in (0, 1) for px in (0, 1) for a in range(even // 2) for b in range(even // 2)
    ]
    return np.stack([grown[:, :, y, x] for y, x in taps], axis=2)


def squeeze(values: list[float]) -> bytes:
    """A round of fp16 words without its zeros, its length in front."""
    body = bytearray()
    for start in range(0, len(values), 8):
        part = values[start : start + 8]
        body.append(sum(1 << bit for bit, value in enumerate(part) if value != 0))
        body += np.array([value for value in part if value != 0], "<f2").tobytes()
    return len(body).to_bytes(3, "little") + bytes(body)


def sparse_lanes(w: np.ndarray, bias: np.ndarray | None, cap: int, depthwise: bool, slots: int) -> list[bytes]:
    ordered = phase_order(w)
    lanes = [bytearray() for _ in range(min(LANES, len(w)))]
    if depthwise:
        for channel in range(len(w)):
            lane = lanes[channel % LANES]
            if bias is not None:
                lane += bias[channel : channel + 1].astype("<f2").tobytes()
            lane += squeeze([v for tap in ordered[channel, 0] for v in (tap, *[0] * (slots - 1))])
    else:
        left, first = max(1, len(w) // LANES), 0
        while left:
            g = min(left, cap)
            for i, lane in enumerate(lanes):
                start = first + i * g
                if bias is not None:
                    lane += bias[start : start + g].astype("<f2").tobytes()
                lane += squeeze(
                    [
                        ordered[start + j, ic, tap] if j < g else 0
                        for ic in range(w.shape[1])
                        for tap in range(ordered.shape[2])
                        for j in range(-(-g // slots) * slots)
                    ]
                )
            first += LANES * g
            left -= g
    return [pad(bytes(lane)) for lane in lanes]


def pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 64)


def halves(lanes: list[list[float]]) -> list[bytes]:
    return [pad(np.array(lane, "<f2").tobytes()) for lane in lanes]


def register(task: dict, address: int) -> int:
    return int(task["regs"].get(f"0x{address:05x}", "0x0"), 16)


def lane_offsets(task: dict) -> list[int]:
    return [register(task, 0x1F848 + 4 * i) for i in range(LANES) if register(task, 0x1F808 + 4 * i) & 1]


def lane_sizes(task: dict) -> list[int]:
    return [register(task, 0x1F888 + 4 * i) for i in range(LANES) if register(task, 0x1F808 + 4 * i) & 1]


def table_name(record: Record, index: int) -> str:
    """Which function the table of a task is."""
    operations = record.operations()
    code = register(record.raw["tasks"][index], 0xC804) & 0xF
    if "pow" in operations:
        return "exp2" if code == 0xA else "log2"
    if code == 0x8 and "rsqrt" not in operations:
        return "recip"
    names = {"real_div": "recip", "softmax": "exp2", "exp": "exp2"}
    table = {"sigmoid", "silu", "gelu", "sqrt", "rsqrt", "leaky_relu", *names}
    found = next(operation for operation in operations if operation in table)
    return names.get(found, found)


def constant_section(record: Record) -> tuple[bytes, dict[int, list[int]]]:
    """The section, and the sizes of sparse lanes by task where values decide them."""
    section = bytearray(record.raw["constant_section"]["size"])
    weights = [
        (statement, record.constants[statement.arguments.get("weight", statement.arguments.get("y", ""))])
        for statement in record.statements
        if statement.arguments.get("weight", statement.arguments.get("y", "")) in record.constants
        and statement.operation in ("conv", "matmul")
    ]
    patched: dict[int, list[int]] = {}
    known = tables()
    position = 0  # next of `weights`
    for index, task in enumerate(record.raw["tasks"]):
        offsets = lane_offsets(task)
        header9 = int(task["header"][9], 16)
        if not offsets or header9 != 0x21:
            continue
        code = register(task, 0xC804)
        prefix = known[table_name(record, index)] if code & 0x20000 else b""
        if code & 0x8:
            for offset in offsets:
                section[offset : offset + 128] = prefix
            continue
        statement, values = weights[position]
        bias = fused_bias(record, statement)
        blocks, done = weight_lanes(task, statement, np.asarray(values), bias)
        position += done
        if register(task, 0x1F800) & 0x20:  # sparse: the values decide the sizes
            at = len(section)
            patched[index] = []
            for block in blocks:
                patched[index] += [at, len(block)]
                section += block
                at = len(section)
        else:
            for offset, size, block in zip(offsets, lane_sizes(task), blocks, strict=True):
                stream = prefix + block
                assert size == len(stream), (record.raw["case"], index, size, len(stream))
                section[offset : offset + size] = stream
    rows = per_channel_rows(record)
    section[: len(rows)] = rows
    return bytes(section), patched


def fused_bias(record: Record, statement: Statement) -> np.ndarray | None:
    if "bias" in statement.arguments:
        return np.asarray(record.constants[statement.arguments["bias"]])
    for other in record.statements:
        if (
            other.operation == "add"
            and other.arguments["x"] == statement.name
            and other.arguments["y"] in record.constants
        ):
            return np.asarray(record.constants[other.arguments["y"]]).reshape(-1)
    return None


def weight_lanes(
    task: dict, statement: Statement, values: np.ndarray, bias: np.ndarray | None
) -> tuple[list[bytes], int]:
    """The lanes of a task, and 1 when it was the last task of its operation."""
    cap = 1 << (register(task, 0x1C) >> 10 & 7)
    if statement.operation == "matmul":
        return halves(dense_lanes(values[:, :, None, None], bias, cap)), 1
    groups = register(task, 0x24) & 0x1FFF
    depthwise = bool(register(task, 0x24) & 0x4000)
    channels = register(task, 0x10)
    stride = register(task, 0x1C) >> 13 & 3
    slots = 4 if register(task, 0x34) & 4 else 2  # 64 pixels of 4 channels, 128 of 2
    if depthwise and stride == 2:
        return sparse_lanes(values, bias, cap, True, slots), 1
    if depthwise:
        lanes: list[list[float]] = [[] for _ in range(LANES)]
        for channel, taps in enumerate(values.reshape(len(values), -1)):
            if bias is not None:
                lanes[channel % LANES].append(bias[channel])
            lanes[channel % LANES].extend(taps)
        return halves(lanes), 1
    if groups > 1:
        blocks = [b""] * LANES
        for group in range(groups):
            part = halves(dense_lanes(values[group * channels : (group + 1) * channels], None, cap))
            blocks = [block + new for block, new in zip(blocks, part, strict=True)]
        return blocks, 1
    first = register(task, 0x17804) // register(task, 0x1780C)
    part = values[first : first + channels]
    part_bias = None if bias is None else bias[first : first + channels]
    last = first == 0
    if stride == 2:
        return sparse_lanes(part, part_bias, cap, False, slots), int(last)
    return halves(dense_lanes(part, part_bias, cap)), int(last)


def per_channel_rows(record: Record) -> bytes:
    """Rows of a per-channel constant that is alone: bias and scale, or the row itself."""
    statement = record.statements[0]
    constant_name = statement.arguments.get("y", "")
    value = record.constants.get(constant_name)
    if len(record.statements) > 1 or not isinstance(value, np.ndarray) or statement.operation not in ("add", "mul"):
        return b""
    flat = value.reshape(-1).astype("<f2")
    if value.ndim == 3:
        return flat.tobytes()
    rows = (flat, np.ones_like(flat)) if statement.operation == "add" else (np.zeros_like(flat), flat)
    return rows[0].tobytes() + rows[1].tobytes()


# The program -------------------------------------------------------------------------------------------------------


def build_task(task: dict, lanes: list[int] | None) -> Task:
    registers = {int(key, 16): int(word, 16) for key, word in task["regs"].items()}
    if lanes:
        for i in range(len(lanes) // 2):
            registers[0x1F848 + 4 * i], registers[0x1F888 + 4 * i] = lanes[2 * i], lanes[2 * i + 1]
    bursts = tuple(
        Burst(int(address, 16), tuple(registers[int(address, 16) + 4 * i] for i in range(count)))
        for address, count in task["records"]
    )
    extra = () if task["extra"] is None else (int(task["extra"], 16),)
    return Task(tuple(int(word, 16) for word in task["header"]), bursts, extra)


def build_program(record: Record) -> Program:
    raw = record.raw
    section, patched = constant_section(record)
    names = [*sorted(record.inputs), record.output]
    order = sorted(names)
    surfaces = []
    for name, tensor in zip(names, raw["tensors"], strict=True):
        n, c, h, w = tensor["shape"]
        batch, plane, row, item = tensor["strides"]
        role = Role.OUTPUT if tensor["binding"] == 2 else Role.INPUT
        shape = (n, 1, c, h, w)
        surfaces.append(
            Surface(
                name, role, shape, (batch, batch, plane, row, item), n * tensor["total_bytes"], 4 + order.index(name)
            )
        )
    tasks = tuple(build_task(task, patched.get(index)) for index, task in enumerate(raw["tasks"]))
    scratch = max(
        (register(t, 0x17810) for t in raw["tasks"] if int(t["header"][8], 16) >> 12 & 0x3F == 0x23), default=0
    )
    offsets = tuple(range(0, 0x300 * len(tasks), 0x300))
    return Program("h13", tasks, offsets, tuple(surfaces), section, -(-scratch // 0x4000) * 0x4000, raw["case"])
