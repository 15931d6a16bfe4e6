"""What a file is, by its content."""

import json
import zipfile

import numpy as np
import pytest

from openane.core.errors import FormatError, InputError
from openane.formats.hwx import read_hwx
from openane.formats.sniff import FileKind, sniff
from openane.targets.assembly import disassemble


def test_files_at_hand(shared):
    kinds = {
        "goldens/h13/tinygrad-sum.hwx": FileKind.HWX,
        "goldens/h13/eiln-add.anec": FileKind.ANEC,
        "goldens/pairs/sum-64/net.plist": FileKind.PLIST,
        "goldens/pairs/sum-64": FileKind.PLIST,
        "models/digits_cnn.onnx": FileKind.ONNX,
        "models/digits_cnn.mlmodel": FileKind.MLMODEL,
        "models/digits_cnn.mlpackage": FileKind.MLPACKAGE,
        "models/digits_test.npz": FileKind.NUMPY,
    }
    for name, kind in kinds.items():
        assert sniff(shared / name) is kind, name
        assert sniff(str(shared / name)) is kind
    text = disassemble(read_hwx(shared / "goldens/h13/tinygrad-sum.hwx"))
    assert sniff(text.encode()) is FileKind.ASSEMBLY
    record = (
        json.loads((shared / "oracles/h13/binary_add_1x64x8x8.json").read_text())
        if (shared / "oracles/h13/binary_add_1x64x8x8.json").exists()
        else {"mil": "program(1.0)\n{}"}
    )
    assert sniff(record["mil"].encode()) is FileKind.MIL


def test_truncated_models_keep_their_kind(shared):
    for name, kind in (("digits_cnn.onnx", FileKind.ONNX), ("digits_cnn.mlmodel", FileKind.MLMODEL)):
        data = (shared / "models" / name).read_bytes()
        assert sniff(data[: len(data) * 3 // 4]) is kind


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"bplist00", FileKind.PLIST),
        (b"\xef\xbb\xbf<?xml version='1.0'?><!DOCTYPE plist><plist></plist>", FileKind.PLIST),
        (b"// a comment\nprogram(1.3)\n[buildInfo]", FileKind.MIL),
        (b"; made by hand\n\n.target h13\n", FileKind.ASSEMBLY),
        (b"\x89HDF\r\n\x1a\n....", FileKind.HDF5),
        (b"\x1c\0\0\0TFL3", FileKind.TFLITE),
        (b'{"storage": "x", "layers": []}', FileKind.ESPRESSO),
        (b"pbze\0\0", FileKind.ESPRESSO),
        (b'\x02\0\0\0\0\0\0\0{"}padding', None),
        (b"hello", None),
        (b"\0" * 4096, None),
        (b"\x89PNG\r\n\x1a\n", FileKind.PICTURE),
        (b"GGUF\x03\0\0\0", FileKind.GGUF),
        (b"PK\x03\x04 but no archive", None),
    ],
)
def test_first_bytes(data, kind):
    if kind is None:
        with pytest.raises(FormatError, match="not a kind of file that openane knows"):
            sniff(data)
    else:
        assert sniff(data) is kind


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("config.json", "metadata.json", "model.weights.h5"), FileKind.KERAS),
        (("m/models/model.json", "m/archive_format"), FileKind.PT2),
        (("m/data.pkl", "m/constants.pkl", "m/code/x.py"), FileKind.TORCHSCRIPT),
        (("m/data.pkl", "m/data/0"), FileKind.TORCH_WEIGHTS),
        (("a.npy", "b.npy"), FileKind.NUMPY),
    ],
)
def test_archives(tmp_path, names, kind):
    path = tmp_path / "archive"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    assert sniff(path) is kind


def test_folders_and_missing_files(tmp_path):
    with pytest.raises(InputError, match="the folder is not a model"):
        sniff(tmp_path)
    (tmp_path / "model.espresso.net").write_text("{}")
    assert sniff(tmp_path) is FileKind.MLMODELC
    with pytest.raises(InputError, match="No such file"):
        sniff(tmp_path / "none")
    np.save(tmp_path / "a.npy", np.zeros(3))
    assert sniff(tmp_path / "a.npy") is FileKind.NUMPY
