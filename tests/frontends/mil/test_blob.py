"""Weight files: coremltools writes them, and damaged ones are refused."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import struct
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tests.support.mil_texts import graph

from openane.core.errors import FormatError
from openane.frontends.mil.blob import BLOB_TYPES, BlobStore, unpack


def storage() -> ModuleType:
    """The writer of coremltools, without the rest of the package."""
    package = importlib.util.find_spec("coremltools")
    if package is None or not package.submodule_search_locations:
        pytest.skip("needs coremltools")
    for folder in package.submodule_search_locations:
        for path in Path(folder).glob("libmilstoragepython*"):
            spec = importlib.util.spec_from_file_location("coremltools.libmilstoragepython", path)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    pytest.skip("needs the native part of coremltools")


VALUES = {
    "fp16": np.linspace(-2, 2, 11).astype(np.float16),
    "fp32": np.linspace(-2, 2, 11).astype(np.float32),
    **{name: np.arange(1, 12).astype(name) for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32")},
    "int4": (np.arange(11) % 16 - 8).astype(np.int8),
    **{f"uint{bits}": (np.arange(11) % (1 << bits)).astype(np.uint8) for bits in (1, 2, 3, 4, 6)},
}


@pytest.mark.parametrize("name", VALUES)
def test_what_coremltools_writes_is_read(name: str, tmp_path: Path) -> None:
    values = VALUES[name]
    writer = storage()._BlobStorageWriter(str(tmp_path / "weight.bin"), True)
    first = writer.write_int32_data(np.arange(5, dtype=np.int32))
    write = getattr(writer, f"write_{'float' if name == 'fp32' else name}_data")
    offset = write(values.view(np.uint16) if name == "fp16" else values)
    del writer
    store = BlobStore(tmp_path)
    assert store.read("@model_path/weight.bin", first, BLOB_TYPES["int32"], 5).tolist() == [0, 1, 2, 3, 4]
    found = store.read("@model_path/weight.bin", offset, BLOB_TYPES[name], values.size)
    np.testing.assert_array_equal(found, values)


def weight_file(path: Path, code: int, size: int, offset: int, data: bytes, sentinel: int = 0xDEADBEEF) -> None:
    """A file with one constant whose metadata is at byte 64 and whose data is at byte 128."""
    header = struct.pack("<II", 1, 2).ljust(64, b"\0")
    path.write_bytes(header + struct.pack("<IIQQ", sentinel, code, size, offset).ljust(64, b"\0") + data)


def test_metadata_that_is_not_core_ml_s_gives_the_offset_it_seems_to_have(tmp_path: Path) -> None:
    packed = struct.pack("<IQQ", 0xDEADBEEF, 256, 128)
    data = np.full(128, 0.5, np.float16).tobytes()
    (tmp_path / "weight.bin").write_bytes(struct.pack("<II", 1, 2).ljust(64, b"\0") + packed.ljust(64, b"\0") + data)
    found = BlobStore(tmp_path).read("weight.bin", 64, BLOB_TYPES["fp16"], 128)
    assert found.view(np.uint16)[:3].tolist() == [1, 0, 2]
    assert found.view(np.uint16)[32] == 0xBEEF
    assert (found[64:] == 0.5).all()


BAD = {
    "no constant there": ({"code": 1, "size": 8, "offset": 128, "sentinel": 7}, "no constant begins here"),
    "other type": (
        {"code": 2, "size": 8, "offset": 128},
        r"another element type than the text asks for \(found fp32; allowed: fp16",
    ),
    "other size": ({"code": 1, "size": 16, "offset": 128}, "another size than the text asks for"),
    "beyond the end": ({"code": 1, "size": 8, "offset": 130}, "does not fit in the weight file"),
    "far beyond the end": ({"code": 1, "size": 8, "offset": 1 << 62}, "does not fit in the weight file"),
}


@pytest.mark.parametrize("case", BAD)
def test_damaged_weight_files_are_refused(case: str, tmp_path: Path) -> None:
    fields, message = BAD[case]
    weight_file(tmp_path / "weight.bin", data=bytes(8), **fields)
    with pytest.raises(FormatError, match=message):
        BlobStore(tmp_path).read("@model_path/weight.bin", 64, BLOB_TYPES["fp16"], 4)


@pytest.mark.parametrize(
    "path", ["../weight.bin", "@model_path/../weight.bin", "/etc/hosts", "a/../../weight.bin", "", "a\0b"]
)
def test_paths_that_leave_the_folder_are_refused(path: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "weight.bin").write_bytes(bytes(200))
    with pytest.raises(FormatError, match="leaves the model's folder"):
        BlobStore(tmp_path / "model").read(path, 64, BLOB_TYPES["fp16"], 4)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "weight.bin").write_bytes(bytes(200))
    (tmp_path / "model" / "weight.bin").symlink_to(tmp_path / "weight.bin")
    with pytest.raises(FormatError, match="leaves the model's folder"):
        BlobStore(tmp_path / "model").read("weight.bin", 64, BLOB_TYPES["fp16"], 4)


def test_missing_files_and_offsets_outside_are_refused(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    with pytest.raises(FormatError, match="the weight file is missing"):
        store.read("@model_path/weight.bin", 64, BLOB_TYPES["fp16"], 4)
    (tmp_path / "weight.bin").write_bytes(bytes(70))
    with pytest.raises(FormatError, match="is outside the weight file"):
        store.read("@model_path/weight.bin", 64, BLOB_TYPES["fp16"], 4)
    with pytest.raises(FormatError, match="no folder to look in"):
        BlobStore(None).read("@model_path/weight.bin", 64, BLOB_TYPES["fp16"], 4)


def test_errors_of_a_constant_name_its_place_in_the_text(tmp_path: Path) -> None:
    body = """
    tensor<fp16, [4]> c = const()[
      val = tensor<fp16, [4]>(BLOBFILE(path = string("@model_path/w.bin"), offset = uint64(64)))];
    tensor<fp16, [4]> y = add(x = x, y = c)[];
    """
    with pytest.raises(FormatError, match=r"model.mil:7:\d+: @model_path/w.bin: the weight file is missing"):
        graph(body, "tensor<fp16, [4]> x", folder=tmp_path)
    weight_file(tmp_path / "w.bin", 1, 8, 128, np.arange(4, dtype=np.float16).tobytes())
    found = graph(body, "tensor<fp16, [4]> x", folder=tmp_path)
    assert found.evaluate({"x": np.ones(4, np.float16)})["y"].tolist() == [1, 2, 3, 4]


def test_packed_integers_begin_with_the_lowest_bits() -> None:
    assert unpack(bytes([0b11_100_010, 0b0_011_010]), BLOB_TYPES["uint3"], 4).tolist() == [2, 4, 3, 5]
