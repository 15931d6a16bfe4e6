"""HDF5 files made to hurt: found out before Keras opens them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from openane.core.errors import FormatError
from openane.frontends.keras import storage
from openane.frontends.keras.storage import check_file

h5py = pytest.importorskip("h5py")


def sound(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "3"
        group = file.create_group("layers/dense")
        group["kernel"] = np.ones((3, 4), np.float32)
        group["again"] = file["layers"]  # a hard link that leads in a circle
    return path


def test_a_sound_file(tmp_path: Path) -> None:
    check_file(sound(tmp_path / "m.h5"))


def test_arrays_in_other_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(48))
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("kernel", (3, 4), "f4", external=[(str(tmp_path / "secret"), 0, 48)])
    with pytest.raises(FormatError, match="an array is in another file"):
        check_file(tmp_path / "m.h5")


def test_an_array_that_is_put_together_of_other_files(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = np.ones((3, 4), np.float32)
    layout = h5py.VirtualLayout((3, 4), "f4")
    layout[...] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", (3, 4))
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_virtual_dataset("kernel", layout)
    with pytest.raises(FormatError, match="an array is in another file"):
        check_file(tmp_path / "m.h5")


def test_links_to_other_files(tmp_path: Path) -> None:
    sound(tmp_path / "other.h5")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["kernel"] = h5py.ExternalLink("other.h5", "/layers")
    with pytest.raises(FormatError, match="it reaches into another file"):
        check_file(tmp_path / "m.h5")


def test_an_array_larger_than_the_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("kernel", (1 << 40,), "f4", chunks=(1024,))
    with pytest.raises(FormatError, match="says that it is larger than the file"):
        check_file(tmp_path / "m.h5")


@pytest.mark.parametrize("program", ["import time; time.sleep(60)", "import os; os.abort()"], ids=["hangs", "crashes"])
def test_a_library_that_does_not_come_back(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "WALK", ("-c", program))
    monkeypatch.setattr(storage, "WALK_SECONDS", 0.5)
    with pytest.raises(FormatError, match=r"does not come to an end|reading it crashes"):
        check_file(sound(tmp_path / "m.h5"))


def test_weights_inside_of_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(FormatError, match="not a sound HDF5 file"):
        check_file(path)


def test_an_archive_with_a_bomb(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("model.weights.h5", bytes(8 << 20))
    with pytest.raises(FormatError, match="expands absurdly"):
        check_file(path)


def test_a_file_that_hangs_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by fuzzing: a table of texts that HDF5 1.14 reads for ever; another version may call it damaged."""
    monkeypatch.setattr(storage, "WALK_SECONDS", 3.0)
    with pytest.raises(FormatError, match=r"does not come to an end|not a sound HDF5 file"):
        check_file(Path(__file__).with_name("inputs") / "endless.h5")
