"""Reads the records of Apple's compiler, and rebuilds the weight files they were compiled with."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from openane.program import Burst, Task

WEIGHTS_FILE = "weights.bin"
REAL_SIZES = "h13-real-sizes"
UNKNOWN_HASH = "?"
_SENTINEL = 0xDEADBEEF
_METADATA = struct.Struct("<IIQQ")
_FP16 = 1


def shared_folder() -> Path:
    """The folder of recorded data: OPENANE_SHARED, or `../shared` next to the repository. It may be absent."""
    default = Path(__file__).resolve().parent.parent.parent / "shared"
    return Path(os.environ.get("OPENANE_SHARED", default))


@dataclass(frozen=True)
class Record:
    """One compiled model.

    Attributes:
        case: its name.
        mil: the text that was compiled.
        weights: how the weight file was made.
        program: addresses of the container.
        section: size and hashes of the constant section.
        tensors: surfaces.
        tasks: decoded tasks, header and bursts in order.
    """

    case: str
    mil: str
    weights: Mapping[str, Any]
    program: Mapping[str, Any]
    section: Mapping[str, Any]
    tensors: tuple[Mapping[str, Any], ...]
    tasks: tuple[Task, ...]

    @classmethod
    def read(cls, path: Path) -> Record:
        """Reads one JSON file."""
        data = json.loads(path.read_text())
        return cls(
            data["case"],
            data["mil"],
            data["weights"],
            data["program"],
            data["constant_section"],
            tuple(data["tensors"]),
            tuple(_task(task) for task in data["tasks"]),
        )

    @property
    def family(self) -> str:
        """The group that the record is counted in, by the start of its name."""
        return next(family for prefix, family in _FAMILIES if self.case.startswith(prefix))

    def write(self, folder: Path) -> Path:
        """Writes `model.mil` and its weight file into `folder`; the path of the text."""
        text = folder / "model.mil"
        text.write_text(self.mil)
        if self.weights["storage"] == "BLOBFILE":
            (folder / WEIGHTS_FILE).write_bytes(weight_file(self.weights))
        return text


_FAMILIES = (
    ("binary_", "elementwise"),
    ("unary_", "unary"),
    ("conv_", "convolution"),
    ("env_conv_", "convolution"),
    ("env_bcast_", "broadcast"),
    ("rrmm_bcast_", "broadcast"),
    ("matmul_", "matmul"),
    ("env_mm_", "matmul"),
    ("rrmm_", "matmul"),
    ("reduce_", "reduction"),
    ("norm_softmax_", "softmax"),
    ("softmax_", "softmax"),
    ("norm_layer_norm_", "layer_norm"),
    ("layer_norm_", "layer_norm"),
    ("chain_", "chain"),
    ("env_chain_", "chain"),
    ("", "other"),
)


def _task(data: Mapping[str, Any]) -> Task:
    words = {int(address, 16): int(word, 16) for address, word in data["regs"].items()}
    bursts = []
    for start, count in data["records"]:
        address = int(start, 16)
        bursts.append(Burst(address, tuple(words[address + 4 * i] for i in range(count))))
    extra = () if data["extra"] is None else (int(data["extra"], 16),)
    return Task(tuple(int(word, 16) for word in data["header"]), tuple(bursts), extra)


def records(folder: Path | None = None) -> list[Record]:
    """All records: those of small models, then those at the sizes of real networks; by name in each folder."""
    oracles = shared_folder() / "oracles"
    folders = (folder,) if folder else (oracles / "h13", oracles / REAL_SIZES)
    return [Record.read(path) for each in folders for path in sorted(each.glob("*.json"))]


def weight_file(weights: Mapping[str, Any]) -> bytes:
    """The bytes of a weight file, from a record's description.

    One value for each constant: Core ML's metadata, 24 bytes a constant, data on multiples of 64. Otherwise one payload
    of equal fp16 words after metadata that was packed as u32 sentinel, u64 size, u64 offset; Core ML's layout reads
    offset 0 in it.
    """
    value = weights["value"]
    if "one value per constant" in value:
        return _described_file(weights, lambda index, before, count: np.full(count, 0x3400 + index, "<u2"))
    if value == "index_plus_one":  # bits count through all constants (4 section hashes)
        return _described_file(weights, lambda index, before, count: np.arange(before + 1, before + count + 1))
    fp16_word = 0x3801 if value == "distinct" else 0x3800
    size_bytes = int(weights["payload_bytes"])
    header = struct.pack("<II", 1, 2).ljust(64, b"\0") + struct.pack("<IQQ", _SENTINEL, size_bytes, 128)
    return header.ljust(128, b"\0") + np.full(size_bytes // 2, fp16_word, "<u2").tobytes()


def _described_file(weights: Mapping[str, Any], values: Callable[[int, int, int], np.ndarray]) -> bytes:
    """A file with Core ML's metadata; `values` gives the bits of a constant from its number, the elements of all
    constants before it and its own elements."""
    shapes, offsets = weights["shapes"], weights["record_offsets"]
    data = bytearray(struct.pack("<II", len(shapes), 2).ljust(offsets[-1] + _METADATA.size, b"\0"))
    before = 0
    for index, (shape, offset) in enumerate(zip(shapes, offsets, strict=True)):
        data.extend(bytes(-len(data) % 64))
        count = int(np.prod(shape))
        payload = values(index, before, count).astype("<u2").tobytes()
        before += count
        _METADATA.pack_into(data, offset, _SENTINEL, _FP16, len(payload), len(data))
        data.extend(payload)
    return bytes(data)
