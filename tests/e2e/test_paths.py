"""Files named inside of a model: never outside of its folder, whatever the spelling or the links."""

from __future__ import annotations

import hashlib
import json
import os
import plistlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import openane
from openane.core.errors import FormatError, OpenaneError
from openane.core.files import safe_file_name, write_array
from openane.formats.sniff import sniff
from openane.targets.assembly import assemble_file

SECRET = b"\x00\x3c" * 64
"""64 numbers of 1.0 in half precision; a model that gets at them would work."""


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that no model may read."""
    path = tmp_path / "secret.bin"
    path.write_bytes(SECRET)
    return path


@pytest.fixture
def folder(tmp_path: Path, secret: Path) -> Path:
    """Where the model is, next to the secret."""
    path = tmp_path / "model"
    path.mkdir()
    return path


def reaching(folder: Path, secret: Path) -> list[str]:
    """Names by which a model may try to reach the secret, links included."""
    (folder / "link.bin").symlink_to(secret)
    (folder / "folder").symlink_to(secret.parent, target_is_directory=True)
    (folder / "sub").mkdir()
    relative = os.path.relpath(secret, folder)
    return [
        relative,
        f"sub/../{relative}",
        f"./{relative}",
        relative.replace("/", "\\"),
        str(secret),
        f"/{secret}",
        f"file://{secret}",
        f"C:{secret}",
        "link.bin",
        "folder/secret.bin",
        "secret.bin\0",
        "",
        ".",
        "..",
        "w" * 3000,
        "/dev/zero",
        "/proc/self/environ",
    ]


def onnx_model(path: Path, location: str) -> Path:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT16, dims=[8, 8, 1, 1])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "outside",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, [1, 8, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, [1, 8, 4, 4])],
        [weight],
    )
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )
    return path


def test_onnx_external_data_inside_is_read(folder: Path) -> None:
    (folder / "w.bin").write_bytes(SECRET)
    model = onnx_model(folder / "m.onnx", "w.bin")
    assert np.all(openane.load(model).constants["w"] == 1.0)


def test_onnx_external_data_outside(folder: Path, secret: Path) -> None:
    for location in reaching(folder, secret):
        with pytest.raises(OpenaneError, match="external data"):
            openane.load(onnx_model(folder / "m.onnx", location))


@pytest.mark.parametrize("location", ["sub/../w.bin", "sub\\..\\w.bin", "{folder}/w.bin"])
def test_onnx_external_data_inside_by_a_foreign_path(folder: Path, location: str) -> None:
    """Such a path is refused wherever it leads: on another machine it leads elsewhere."""
    (folder / "sub").mkdir()
    for name in ("w.bin", "sub\\..\\w.bin"):
        (folder / name).write_bytes(SECRET)
    with pytest.raises(FormatError, match="outside the model's folder"):
        openane.load(onnx_model(folder / "m.onnx", location.format(folder=folder)))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_onnx_external_data_that_is_a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(OpenaneError, match="regular file"):
        openane.load(onnx_model(folder / "m.onnx", "pipe"))


MIL = """program(1.3)
{{
  func main<ios18>(tensor<fp16, [1, 64]> x) {{
    tensor<fp16, [1, 64]> w = const()[name = string("w"),
        val = tensor<fp16, [1, 64]>(BLOBFILE(path = string({path}), offset = uint64(0)))];
    tensor<fp16, [1, 64]> y = add(x = x, y = w)[name = string("y")];
  }} -> (y);
}}
"""


def test_mil_weight_paths(folder: Path, secret: Path) -> None:
    for location in reaching(folder, secret):
        for path in (location, f"@model_path/{location}"):
            (folder / "m.mil").write_text(MIL.format(path=json.dumps(path)))
            with pytest.raises(OpenaneError) as caught:
                openane.load(folder / "m.mil")
            # Had it been opened, the message would be about what is inside.
            assert "no constant begins here" not in str(caught.value), path


def network(folder: Path) -> dict[str, object]:
    """A net.plist with weights, as plain values."""
    from openane.net.plist import write_net

    (folder / "w.bin").write_bytes(SECRET)
    artifact = openane.compile(onnx_model(folder / "m.onnx", "w.bin"), host=False)
    assert artifact.net is not None
    write_net(artifact.net, folder / "net.plist")
    loaded: dict[str, object] = plistlib.loads((folder / "net.plist").read_bytes())
    for path in folder.iterdir():
        if path.name != "net.plist":
            path.unlink()
    return loaded


def test_plist_weight_names(folder: Path, secret: Path) -> None:
    plain = network(folder)
    (chosen,) = plain["Networks"] if isinstance(plain["Networks"], list) else [plain["Networks"]]
    for location in reaching(folder, secret):
        changed = json.loads(json.dumps(plain)) | {}
        changed[chosen]["Weights"] = [location]
        try:
            data = plistlib.dumps(changed)
        except ValueError:  # a plist cannot hold a zero character
            continue
        (folder / "net.plist").write_bytes(data)
        if location == "/dev/zero":  # Apple's files have that name for zeros; it is understood, never opened
            assert not np.any(openane.load(folder / "net.plist").units[0].params.kernel)
            continue
        with pytest.raises(OpenaneError, match=r"[Ww]eight"):
            openane.load(folder / "net.plist")


@pytest.fixture
def package(folder: Path, shared: Path) -> Path:
    """A sound Core ML package."""
    return Path(shutil.copytree(shared / "models" / "digits_cnn.mlpackage", folder / "m.mlpackage"))


def renamed(package: Path, location: str) -> None:
    manifest = json.loads((package / "Manifest.json").read_text())
    manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"] = location
    (package / "Manifest.json").write_text(json.dumps(manifest))


def test_package_manifest(package: Path, secret: Path) -> None:
    sound = next(package.rglob("*.mlmodel"))
    outside = package.parent / "outside.mlmodel"
    shutil.copy(sound, outside)
    (package / "Data" / "link.mlmodel").symlink_to(outside)
    for location in ("../../outside.mlmodel", str(outside), "link.mlmodel", "..\\..\\outside.mlmodel", "", "\0"):
        renamed(package, location)
        with pytest.raises(FormatError, match="root model"):
            openane.load(package)


def test_package_weights_that_are_a_link(package: Path, secret: Path) -> None:
    weights = next(package.rglob("weight.bin"))
    moved = package.parent / "moved.bin"
    shutil.move(weights, moved)
    weights.symlink_to(moved)
    with pytest.raises(OpenaneError, match="leaves the model's folder"):
        openane.load(package)


NAMES = ("../../x", "/etc/passwd", "..", "", ".hidden", "a/b", "a\\b", "con\0", "x" * 4000, "é\u202e", "\n")


@pytest.mark.parametrize("name", NAMES)
def test_tensor_names_make_no_paths(tmp_path: Path, name: str) -> None:
    safe = safe_file_name(name)
    path = tmp_path / f"{safe}.npy"
    assert path.resolve().parent == tmp_path.resolve()
    assert not safe.startswith(".")
    write_array(path, np.zeros(1))
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


SWAPPED = """
import os, pathlib, sys
from openane.core.errors import InputError
from openane.core.files import open_regular

class Swapped(type(pathlib.Path())):
    def stat(self, **words):
        return os.stat(sys.executable)

try:
    open_regular(Swapped(sys.argv[1]))
except InputError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_file_that_becomes_a_pipe_before_it_is_opened(tmp_path: Path) -> None:
    """What was a file a moment ago is looked at again once it is open, and opening does not wait."""
    os.mkfifo(tmp_path / "pipe")
    command = [sys.executable, "-c", SWAPPED, str(tmp_path / "pipe")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "not a file but a pipe" in done.stdout


def test_an_output_that_is_a_link_is_replaced_not_followed(tmp_path: Path, secret: Path) -> None:
    link = tmp_path / "out.npy"
    link.symlink_to(secret)
    write_array(link, np.zeros(4))
    assert secret.read_bytes() == SECRET
    assert not link.is_symlink()


SPECIAL: tuple[Callable[[Path], Path], ...] = (
    lambda folder: Path("/dev/zero"),
    lambda folder: Path("/dev/null"),
    lambda folder: _looping(folder / "loop.onnx"),
)


def _looping(path: Path) -> Path:
    path.symlink_to(path)
    return path


@pytest.mark.parametrize("make", SPECIAL)
def test_odd_files(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    with pytest.raises(OpenaneError):
        openane.load(make(tmp_path))


def test_the_onnx_package_is_not_asked_for_external_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own loader has other rules; ours are the only ones that count."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("onnx opens files")

    monkeypatch.setattr(onnx, "load", forbidden)
    monkeypatch.setattr("onnx.external_data_helper.load_external_data_for_model", forbidden)
    (folder / "w.bin").write_bytes(SECRET)
    openane.load(onnx_model(folder / "m.onnx", "w.bin"))


def text(location: str, size: int = len(SECRET), more: str = "") -> str:
    """An assembly text that takes its constants from a file."""
    return f".target h13\n.constants size={size}\n incbin {json.dumps(location)}{more}\n"


def test_assembly_includes(folder: Path, secret: Path) -> None:
    """Had the secret been opened, the message would be about the tasks that are missing."""
    for location in (*reaching(folder, secret), "../nothing"):
        for size in (len(SECRET), 1):
            (folder / "t.s").write_text(text(location, size))
            with pytest.raises(OpenaneError) as caught:
                assemble_file(folder / "t.s")
            assert not re.search(r"no tasks|has not these bytes", str(caught.value)), location


def test_assembly_includes_what_it_knows(folder: Path, secret: Path) -> None:
    """The disassembler names files anywhere, and reports their digest; who can has seen them before."""
    (folder / "inside.bin").write_bytes(SECRET)
    known = f" sha256={hashlib.sha256(SECRET).hexdigest()}"
    for location, more in (("inside.bin", ""), (str(secret), known)):
        (folder / "t.s").write_text(text(location, more=more))
        with pytest.raises(OpenaneError, match="no tasks"):
            assemble_file(folder / "t.s")
    (folder / "t.s").write_text(text(str(secret), more=f" sha256={'0' * 64}"))
    with pytest.raises(OpenaneError, match="other bytes"):
        assemble_file(folder / "t.s")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_assembly_includes_no_pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "t.s").write_text(text("pipe"))
    with pytest.raises(OpenaneError, match="not a file"):
        assemble_file(folder / "t.s")
    with pytest.raises(OpenaneError, match="not a file but a pipe"):
        sniff(folder / "pipe")
