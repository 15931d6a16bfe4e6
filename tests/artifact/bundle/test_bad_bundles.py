"""Damaged and hostile bundles: one specific error, and nothing is loaded."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from tests.support.onnx_models import model, node, value

import openane
from openane.artifact.bundle import read_bundle
from openane.core.errors import FormatError, InputError, OpenaneError
from openane.formats.bundle import MANIFEST

Members = dict[str, bytes]
Json = dict[str, Any]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Members:
    """The members of a bundle with one host step and one program."""
    rng = np.random.default_rng(0)
    weights = {
        "table": rng.standard_normal((100, 32)).astype(np.float32),
        "kernel": rng.standard_normal((32, 32)).astype(np.float32),
    }
    nodes = [node("Gather", ["table", "tokens"], ["hidden"]), node("MatMul", ["hidden", "kernel"], ["y"])]
    made = model(nodes, [value("tokens", (1, 8), TensorProto.INT64)], [value("y", (1, 8, 32))], weights)
    folder = tmp_path_factory.mktemp("sound")
    onnx.save(made, folder / "m.onnx")
    openane.compile(folder / "m.onnx").save(folder / "m.openane")
    with zipfile.ZipFile(folder / "m.openane") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(members: Members, path: Path, **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, archive.compression)
    return path


def changed(members: Members, change: Callable[[Json], object]) -> Members:
    manifest = json.loads(members[MANIFEST])
    change(manifest)
    return {**members, MANIFEST: json.dumps(manifest).encode()}


def replaced(members: Members, name: str, data: bytes) -> Members:
    """Another content of a member, with its new digest in the manifest."""
    facts = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return changed({**members, name: data}, lambda manifest: manifest["members"].update({name: facts}))


def member(members: Members, ending: str) -> str:
    return next(name for name in members if name.endswith(ending))


def test_the_rewritten_bundle_is_sound(sound: Members, tmp_path: Path) -> None:
    assert read_bundle(written(sound, tmp_path / "m.openane")).variants


@pytest.mark.parametrize("ending", [".hwx", ".onnx", ".bin"])
def test_a_changed_member(sound: Members, tmp_path: Path, ending: str) -> None:
    name = member(sound, ending)
    data = bytearray(sound[name])
    data[len(data) // 2] ^= 1
    with pytest.raises(FormatError, match="does not have the digest of the manifest") as caught:
        read_bundle(written({**sound, name: bytes(data)}, tmp_path / "m.openane"))
    assert name in str(caught.value)


@pytest.mark.parametrize("ending", [".hwx", ".onnx", ".bin", ".json"])
def test_a_missing_member(sound: Members, tmp_path: Path, ending: str) -> None:
    name = member(sound, ending)
    path = written({key: data for key, data in sound.items() if key != name}, tmp_path / "m.openane")
    with pytest.raises(FormatError, match=f"lacks a member.*{name}"):
        read_bundle(path)


def test_a_shorter_member(sound: Members, tmp_path: Path) -> None:
    name = member(sound, ".hwx")
    with pytest.raises(FormatError, match="another size"):
        read_bundle(written({**sound, name: sound[name][:-64]}, tmp_path / "m.openane"))


@pytest.mark.parametrize("cut", [4, 200, 0.5, -1])
def test_a_truncated_file(sound: Members, tmp_path: Path, cut: float) -> None:
    path = written(sound, tmp_path / "m.openane")
    data = path.read_bytes()
    path.write_bytes(data[: int(cut * len(data)) if isinstance(cut, float) else cut])
    with pytest.raises(OpenaneError):
        openane.load(path)
    with pytest.raises(FormatError):
        read_bundle(path)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "host/../../x", "a\\b", "", ".hidden", "a//b", "a/", "x" * 201]
)
def test_names_that_leave_the_bundle(sound: Members, tmp_path: Path, name: str) -> None:
    old = member(sound, ".hwx")

    def rename(manifest: Json) -> None:
        manifest["members"][name] = manifest["members"].pop(old)
        manifest["programs"][0]["image"] = name

    with pytest.raises(FormatError, match=r"not a plain relative path|wrong length"):
        read_bundle(written(changed(sound, rename), tmp_path / "m.openane"))


def test_links_out_of_an_unpacked_bundle(sound: Members, tmp_path: Path) -> None:
    folder, secret = tmp_path / "folder", tmp_path / "secret.hwx"
    for name, data in sound.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert read_bundle(folder).variants
    image = folder / member(sound, ".hwx")
    image.rename(secret)
    image.symlink_to(secret)
    with pytest.raises(FormatError, match="outside of the bundle"):
        read_bundle(folder)
    image.unlink()
    os.mkfifo(image)
    with pytest.raises(FormatError, match="lacks a member"):
        read_bundle(folder)


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "other.bin"])
def test_weights_outside_of_the_bundle(sound: Members, tmp_path: Path, location: str) -> None:
    name = member(sound, ".onnx")
    host = onnx.ModelProto.FromString(sound[name])
    (entry,) = next(each for each in host.graph.initializer if each.external_data).external_data
    entry.value = location
    with pytest.raises(FormatError, match="does not list this member"):
        read_bundle(written(replaced(sound, name, host.SerializeToString()), tmp_path / "m.openane"))


def test_a_newer_schema(sound: Members, tmp_path: Path) -> None:
    def newer(manifest: Json) -> None:
        manifest["schema"] = 2
        manifest["sections"] = {}

    with pytest.raises(FormatError, match=r"newer schema.*found 2; allowed: 1.*Update openane"):
        read_bundle(written(changed(sound, newer), tmp_path / "m.openane"))


def test_compressed_members(sound: Members, tmp_path: Path) -> None:
    bomb = {**sound, "zeros.bin": bytes(1 << 24)}
    path = written(bomb, tmp_path / "m.openane", compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(FormatError, match=r"not compressed.*method 8.*zip -0"):
        read_bundle(path)


def test_members_on_the_same_bytes(sound: Members, tmp_path: Path) -> None:
    """A directory whose entries all point to one member unpacks to more than the file has."""
    path = tmp_path / "m.openane"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("big.bin", bytes(1 << 16))
        first = archive.infolist()[0]
        for index in range(100):
            entry = zipfile.ZipInfo(f"big{index}.bin")
            entry.header_offset, entry.file_size, entry.compress_size = 0, first.file_size, first.compress_size
            entry.CRC = first.CRC
            archive.filelist.append(entry)
    with pytest.raises(FormatError, match="larger than the file"):
        read_bundle(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name(sound: Members, tmp_path: Path) -> None:
    path = written(sound, tmp_path / "m.openane")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(MANIFEST, sound[MANIFEST])
    with pytest.raises(FormatError, match="two members of one name"):
        read_bundle(path)


CHANGES: dict[str, tuple[Callable[[Json], object], str]] = {
    "unknown element type": (
        lambda m: m["variants"][0]["values"][0].update(type="float8"),
        r"variants/0/values/0/type.*found float8; allowed: float16, float32",
    ),
    "a number as a name": (lambda m: m["variants"][0]["inputs"][0].update(name=3), "inputs/0/name.*another kind"),
    "a boolean as a number": (lambda m: m["programs"][0].update(scratch_bytes=True), "another kind is expected"),
    "a negative extent": (lambda m: m["variants"][0]["inputs"][0].update(shape=[-1, 8]), "shape/0.*out of range"),
    "a missing property": (lambda m: m["variants"][0].pop("steps"), "'steps' is missing"),
    "an unknown property": (lambda m: m["variants"][0].update(code="x"), "there is no property 'code'"),
    "no variants": (lambda m: m.update(variants=[]), "wrong number of items"),
    "another format": (lambda m: m.update(format="x"), "not a bundle of openane"),
    "schema zero": (lambda m: m.update(schema=0), "schema.*not the expected one"),
    "another shape": (
        lambda m: m["programs"][0]["surfaces"][0].update(shape=[1, 1, 1, 1, 1]),
        "disagree about surfaces",
    ),
    "another buffer": (lambda m: m["programs"][0]["surfaces"][0].update(buffer=9), "disagree about surfaces"),
    "another target": (lambda m: m["programs"][0].update(target="h14"), "disagree about target"),
    "layers of more tasks": (lambda m: m["programs"][0]["layers"].append([]), "about the number of tasks"),
    "no such program": (lambda m: _engine(m).update(program=7), "no such program.*found 7"),
    "both kinds of step": (lambda m: _engine(m).update(host="host/x"), "either a program or a host graph"),
    "an unlisted host graph": (lambda m: _host(m).update(host="host/x.onnx"), "does not list this member"),
    "an unlisted image": (lambda m: m["programs"][0].update(image="x.hwx"), "does not list this member"),
    "a value that nothing makes": (lambda m: m["variants"][0]["steps"].pop(0), "do not fit together"),
    "an operand bound twice": (lambda m: _engine(m)["inputs"].append(_engine(m)["inputs"][0]), "bound twice"),
    "a surface left out": (lambda m: _engine(m)["inputs"].clear(), "do not fit together"),
    "an unknown value": (lambda m: _engine(m)["inputs"][0].update(value="nothing"), "do not fit together"),
    "a host operand left out": (lambda m: _host(m)["outputs"].clear(), "other inputs and outputs"),
    "a name used twice": (
        lambda m: m["variants"][0]["values"].append(m["variants"][0]["values"][0]),
        "a name is used twice",
    ),
    "an unknown constant": (lambda m: m["variants"][0]["constants"].update(z="x.bin"), "not a value of the variant"),
}


def _engine(manifest: Json) -> Json:
    return next(step for step in manifest["variants"][0]["steps"] if "program" in step)


def _host(manifest: Json) -> Json:
    return next(step for step in manifest["variants"][0]["steps"] if "host" in step)


@pytest.mark.parametrize("name", CHANGES)
def test_a_wrong_manifest(sound: Members, tmp_path: Path, name: str) -> None:
    change, message = CHANGES[name]
    with pytest.raises(FormatError, match=message):
        read_bundle(written(changed(sound, change), tmp_path / "m.openane"))


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 100_000, b"\xff", b"3", b'{"format": "openane bundle"}'])
def test_manifests_that_are_no_json(sound: Members, tmp_path: Path, text: bytes) -> None:
    with pytest.raises(FormatError, match=r"bundle\.json"):
        read_bundle(written({**sound, MANIFEST: text}, tmp_path / "m.openane"))


def test_programs_and_graphs_that_are_damaged(sound: Members, tmp_path: Path) -> None:
    for ending in (".hwx", ".onnx"):
        name = member(sound, ending)
        with pytest.raises(FormatError):
            read_bundle(written(replaced(sound, name, b"nonsense" * 8), tmp_path / "m.openane"))


def test_other_endings(sound: Members, tmp_path: Path) -> None:
    bundle = read_bundle(written(sound, tmp_path / "m.openane"))
    with pytest.raises(InputError, match=r"another file extension.*found \.zip; allowed: \.openane"):
        bundle.save(tmp_path / "m.zip")
    (tmp_path / "folder.openane").mkdir()
    with pytest.raises(InputError, match="a folder is in its place"):
        bundle.save(tmp_path / "folder.openane")


def test_programs_for_linux_that_differ(sound: Members, tmp_path: Path) -> None:
    path = tmp_path / "m.openane"
    read_bundle(written(sound, path)).save(path, anec=True)
    with zipfile.ZipFile(path) as archive:
        whole = {name: archive.read(name) for name in archive.namelist()}
    assert read_bundle(written(whole, path)).variants

    def swap(manifest: Json) -> None:
        buffers = manifest["programs"][0]["anec"]["buffers"]
        first, second = list(buffers)[:2]
        buffers[first], buffers[second] = buffers[second], buffers[first]

    with pytest.raises(FormatError, match=r"manifest and \.anec disagree"):
        read_bundle(written(changed(whole, swap), path))
