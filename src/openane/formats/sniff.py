"""What a file is, by its content; nothing heavy is imported and nothing is loaded."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable
from enum import Enum
from itertools import islice
from pathlib import Path

from openane.core.errors import FormatError, InputError
from openane.core.reader import Reader
from openane.formats.anec import looks_like_anec
from openane.formats.bundle import MANIFEST
from openane.formats.hwx import layout
from openane.formats.mapped_archive import open_archive
from openane.formats.source import Source, open_source


class FileKind(Enum):
    """Kinds of files; the value says it to people."""

    HWX = "compiled program (.hwx)"
    ANEC = "compiled program for Linux (.anec)"
    ASSEMBLY = "openane assembly text"
    BUNDLE = "compiled model (.openane)"
    PLIST = "network description (net.plist)"
    MIL = "MIL text"
    ONNX = "ONNX model"
    MLMODEL = "Core ML model (.mlmodel)"
    MLPACKAGE = "Core ML package (.mlpackage)"
    MLMODELC = "compiled Core ML model (.mlmodelc)"
    ESPRESSO = "Espresso network (model.espresso.net)"
    KERAS = "Keras model (.keras)"
    HDF5 = "HDF5 file, perhaps a Keras model (.h5)"
    PT2 = "PyTorch exported program (.pt2)"
    TORCHSCRIPT = "TorchScript archive"
    TORCH_WEIGHTS = "PyTorch weights without a model"
    SAVED_MODEL = "TensorFlow SavedModel"
    TFLITE = "TensorFlow Lite model"
    GRAPH_DEF = "frozen TensorFlow graph (.pb)"
    SAFETENSORS = "safetensors weights without a model"
    GGUF = "GGUF weights"
    PICTURE = "picture"
    ZIPPED = "zip archive with a model inside"
    LFS_POINTER = "pointer of Git LFS instead of the file"
    NUMPY = "NumPy arrays"


_TEXT_BYTES = 1 << 16
_ADDRESS = re.compile(r"(?:https?|ftp|s3|gs|hf):/")
_PACKED = ("Data/com.apple.CoreML/model.mlmodel", ".onnx", ".mlmodel", "net.plist", ".hwx", "saved_model.pb")
"""Ends of names in a zip archive that holds a model."""
# A comment reaches to the end of its line and no other way: else a line of comment signs can be cut up in exponentially
# many ways.
_MIL = re.compile(r"\s*(?:(?://|#)[^\n]*\n\s*)*program\s*[(<]")
_ASSEMBLY = re.compile(r"\s*(?:[;#][^\n]*\n\s*)*\.(?:target|openane)\b")
_ESPRESSO = re.compile(r'\s*\{.*"(?:layers|format_version|storage)"', re.DOTALL)


def sniff(source: Source) -> FileKind:
    """The kind of a file or folder.

    Args:
        source: a path, or bytes.

    Raises:
        InputError: there is no such file, or it cannot be read.
        FormatError: it is empty or nothing that openane knows.
    """
    if isinstance(source, (str, Path)):
        if _ADDRESS.match(str(source)):
            hint = "Download it first, for example with `curl -LO ADDRESS`, and give the file."
            raise InputError("this is an address, not a file", where=str(source), hint=hint)
        if Path(source).is_dir():
            return _sniff_folder(Path(source))
    reader = open_source(source)
    kind = kind_of_bytes(reader)
    if kind is None:
        head = bytes(reader.data[:8])
        raise FormatError(
            "not a kind of file that openane knows",
            where=reader.where,
            value=f"first bytes {head.hex(' ')}",
            hint="Known are .hwx, .anec, .openane, net.plist, ONNX, Core ML, MIL text, Keras, PyTorch export and "
            "assembly text.",
        )
    return kind


def kind_of_bytes(reader: Reader) -> FileKind | None:
    """The kind of some bytes; None when nothing fits."""
    data = memoryview(reader.data)
    for kind, offset, magic in _MAGICS:
        if bytes(data[offset : offset + len(magic)]) == magic:
            return kind
    if bytes(data[:4]) == b"PK\x03\x04":
        return _sniff_zip(data)
    tests = (_sniff_text, _sniff_safetensors, _sniff_anec, _sniff_protobuf)
    return next((kind for kind in (test(data) for test in tests) if kind is not None), None)


_MAGICS: tuple[tuple[FileKind, int, bytes], ...] = (
    (FileKind.HWX, 0, layout.MAGIC.to_bytes(4, "little")),
    (FileKind.PLIST, 0, b"bplist0"),
    (FileKind.HDF5, 0, b"\x89HDF\r\n\x1a\n"),
    (FileKind.NUMPY, 0, b"\x93NUMPY"),
    (FileKind.TFLITE, 4, b"TFL3"),
    (FileKind.GGUF, 0, b"GGUF"),
    (FileKind.LFS_POINTER, 0, b"version https://git-lfs"),
    (FileKind.PICTURE, 0, b"\x89PNG\r\n\x1a\n"),
    (FileKind.PICTURE, 0, b"\xff\xd8\xff"),
    (FileKind.PICTURE, 0, b"GIF8"),
    (FileKind.PICTURE, 8, b"WEBP"),
    (FileKind.ESPRESSO, 0, b"pbze"),
    (FileKind.TORCH_WEIGHTS, 0, b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."),
)


def _sniff_text(data: memoryview) -> FileKind | None:
    head = bytes(data[:_TEXT_BYTES])
    if b"\0" in head:
        return None
    text = head.decode("utf-8", "ignore").removeprefix("\ufeff")
    if "<plist" in text[:2048]:
        return FileKind.PLIST
    for pattern, kind in ((_MIL, FileKind.MIL), (_ASSEMBLY, FileKind.ASSEMBLY), (_ESPRESSO, FileKind.ESPRESSO)):
        if pattern.match(text):
            return kind
    return None


def _sniff_anec(data: memoryview) -> FileKind | None:
    return FileKind.ANEC if looks_like_anec(data) else None


def _sniff_safetensors(data: memoryview) -> FileKind | None:
    if len(data) > 16 and bytes(data[8:10]) == b'{"':
        size = int.from_bytes(data[:8], "little")
        if 2 <= size <= len(data) - 8 and bytes(data[7 + size : 8 + size]).strip() in (b"}", b""):
            return FileKind.SAFETENSORS
    return None


#: Names in a zip archive -> what it is; every name of a row must be there (as the end of a path).
_ARCHIVES: tuple[tuple[FileKind, tuple[str, ...]], ...] = (
    (FileKind.KERAS, ("config.json", "model.weights.h5")),
    (FileKind.KERAS, ("config.json", "metadata.json")),
    (FileKind.PT2, ("models/model.json",)),
    (FileKind.PT2, ("serialized_exported_program.json",)),
    (FileKind.TORCHSCRIPT, ("data.pkl", "constants.pkl")),
    (FileKind.TORCH_WEIGHTS, ("data.pkl",)),
    (FileKind.BUNDLE, (MANIFEST,)),
)


def _sniff_zip(data: memoryview) -> FileKind | None:
    try:
        with open_archive(data) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, OverflowError):
        return None
    for kind, wanted in _ARCHIVES:
        if all(any(f"/{name}".endswith(f"/{end}") for name in names) for end in wanted):
            return kind
    if names and all(name.endswith(".npy") for name in names):
        return FileKind.NUMPY
    if any(name.endswith(_PACKED) for name in names):
        return FileKind.ZIPPED
    return None


def _sniff_protobuf(data: memoryview) -> FileKind | None:
    """Distinguishes ONNX and Core ML by the field numbers of the outermost message, also of a truncated one."""
    seen: dict[int, int] = {}
    try:
        for number, wire in _fields(data):
            seen[number] = wire
    except ValueError:
        if seen.get(1) != 0:
            return None
    if seen.get(1) == 2 and set(seen) <= _GRAPH_DEF_FIELDS and _is_graph_def(data):
        return FileKind.GRAPH_DEF
    if seen.get(1) != 0 and seen.get(2) != 2:
        return None
    if any(number >= 200 and wire == 2 for number, wire in seen.items()):
        return FileKind.MLMODEL
    if seen.get(7) == 2:
        return FileKind.ONNX
    return None


_GRAPH_DEF_FIELDS = frozenset({1, 2, 3, 4, 5})


def _is_graph_def(data: memoryview) -> bool:
    """Whether the first field is a node of TensorFlow: a name and the name of an operation."""
    size, position = _varint(data, _varint(data, 0)[1])
    node = data[position : position + min(size, _TEXT_BYTES)]
    try:
        return list(islice((number for number, wire in _fields(node) if wire == 2), 2)) == [1, 2]
    except ValueError:
        return False


_MOST_FIELDS = 100_000


def _fields(data: memoryview) -> Iterable[tuple[int, int]]:
    """(number, wire type) of the outermost fields of a protobuf message, to its exact end."""
    position = 0
    for _ in range(_MOST_FIELDS):
        if position == len(data):
            return
        key, position = _varint(data, position)
        wire = key & 7
        number = key >> 3
        if wire not in _SKIPS or not number:
            raise ValueError("not a protobuf message")
        position = _SKIPS[wire](data, position)
        yield number, wire
        if position > len(data):
            raise ValueError("a field runs over the end")
    raise ValueError("too many fields")


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number without end")


def _skip_delimited(data: memoryview, position: int) -> int:
    size, position = _varint(data, position)
    return position + size


_SKIPS: dict[int, Callable[[memoryview, int], int]] = {
    0: lambda data, position: _varint(data, position)[1],
    1: lambda _, position: position + 8,
    2: _skip_delimited,
    5: lambda _, position: position + 4,
}

#: Files in a folder -> what the folder is.
_FOLDERS: tuple[tuple[FileKind, str], ...] = (
    (FileKind.MLPACKAGE, "Manifest.json"),
    (FileKind.MLMODELC, "model.espresso.net"),
    (FileKind.MLMODELC, "coremldata.bin"),
    (FileKind.MLMODELC, "model.mil"),
    (FileKind.SAVED_MODEL, "saved_model.pb"),
    (FileKind.PLIST, "net.plist"),
    (FileKind.BUNDLE, MANIFEST),
)


def _sniff_folder(path: Path) -> FileKind:
    for kind, name in _FOLDERS:
        if (path / name).is_file():
            return kind
    raise InputError(
        "the folder is not a model",
        where=str(path),
        limit="a .mlpackage, .mlmodelc, SavedModel, unpacked bundle, or a folder with a net.plist",
    )
