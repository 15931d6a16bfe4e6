"""Models with weights in files next to them: found again as long as every file is the same, and never otherwise."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import openane
from openane.artifact.cache import SUFFIX, Cache
from openane.artifact.plan import Artifact
from openane.compiler import cached_build as module
from openane.compiler.cached_build import build_cached
from openane.compiler.driver import Options, build
from openane.core.errors import OpenaneError
from openane.net.plist import read_net, write_net

MIL = """program(1.0)
{
    func main<ios15>(tensor<fp16, [1, 4, 5, 6]> x) {
        tensor<fp16, [3, 4, 1, 1]> w = const()[name = string("w"), val = tensor<fp16, [3, 4, 1, 1]>(BLOBFILE(path = \
string("@model_path/weights/weight.bin"), offset = uint64(64)))];
        tensor<string, []> pad_type = const()[name = string("pad_type"), val = tensor<string, []>("valid")];
        tensor<int32, [2]> strides = const()[name = string("strides"), val = tensor<int32, [2]>([1, 1])];
        tensor<int32, [4]> pad = const()[name = string("pad"), val = tensor<int32, [4]>([0, 0, 0, 0])];
        tensor<int32, [2]> dilations = const()[name = string("dilations"), val = tensor<int32, [2]>([1, 1])];
        tensor<int32, []> groups = const()[name = string("groups"), val = tensor<int32, []>(1)];
        tensor<fp16, [1, 3, 5, 6]> y = conv(dilations = dilations, groups = groups, pad = pad, pad_type = pad_type, \
strides = strides, weight = w, x = x)[name = string("y")];
    } -> (y);
}
"""


def numbers(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((3, 4, 1, 1)).astype(np.float16)


def mil(folder: Path, seed: int) -> tuple[Path, Path]:
    """A text whose weights are in a file of Core ML's form."""
    data = numbers(seed).tobytes()
    blob = bytearray(128) + data
    blob[0:8] = (1).to_bytes(4, "little") + (2).to_bytes(4, "little")
    blob[64:88] = b"".join(
        value.to_bytes(size, "little") for value, size in ((0xDEADBEEF, 4), (1, 4), (len(data), 8), (128, 8))
    )
    (folder / "weights").mkdir(exist_ok=True)
    text, weights = folder / "model.mil", folder / "weights" / "weight.bin"
    text.write_text(MIL)
    weights.write_bytes(blob)
    return text, weights


def plist(folder: Path, seed: int) -> tuple[Path, Path]:
    """The same as a net.plist with its weights."""
    text, _ = mil(folder, seed)
    path = folder / "net.plist"
    net = build(text).net
    assert net is not None
    write_net(net, path)
    (weights,) = (each for each in folder.iterdir() if each.suffix == ".weights" or each.name.startswith("net.plist."))
    assert read_net(path).units
    return path, weights


def onnx(folder: Path, seed: int) -> tuple[Path, Path]:
    """The same with external data."""
    onnx = pytest.importorskip("onnx")
    weight = onnx.numpy_helper.from_array(numbers(seed).astype(np.float32), "w")
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"])
    ends = [onnx.helper.make_tensor_value_info(n, 1, (1, c, 5, 6)) for n, c in (("x", 4), ("y", 3))]
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:], [weight])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    path, weights = folder / "model.onnx", folder / "w.bin"
    weights.unlink(missing_ok=True)
    onnx.save(model, path, save_as_external_data=True, location=weights.name, size_threshold=0)
    return path, weights


KINDS: dict[str, Callable[[Path, int], tuple[Path, Path]]] = {"MIL": mil, "net.plist": plist, "ONNX": onnx}


def values(artifact: Artifact) -> np.ndarray:
    (name, kind), *_ = artifact.plan.inputs.items()
    x = np.random.default_rng(9).standard_normal(kind.shape).astype(kind.dtype.numpy)
    (y,) = openane.run(artifact, {name: x}).values()
    return np.asarray(y)


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was really compiled."""
    found: list[Path] = []

    def counted(source: Path, options: Options) -> Artifact:
        found.append(source)
        return build(source, options)

    monkeypatch.setattr(module, "build", counted)
    return found


def settled(path: Path) -> None:
    """Makes a file as old as one that a user compiles: what changes while it is compiled is not kept."""
    os.utime(path, (time.time() - 60, time.time() - 60))


@pytest.mark.parametrize("kind", KINDS)
def test_an_unchanged_model_is_not_compiled_again(kind: str, tmp_path: Path, builds: list[Path]) -> None:
    path, weights = KINDS[kind](tmp_path, 0)
    settled(weights)
    cache = Cache(tmp_path / "cache")
    first, second = (build_cached(path, Options(), cache) for _ in range(2))
    assert builds == [path]
    assert values(first).tobytes() == values(second).tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_changed_weights_are_compiled(kind: str, tmp_path: Path, builds: list[Path]) -> None:
    path, weights = KINDS[kind](tmp_path, 0)
    settled(weights)
    cache = Cache(tmp_path / "cache")
    before = values(build_cached(path, Options(), cache))
    text, facts = path.read_bytes(), weights.stat()
    KINDS[kind](tmp_path, 1)
    os.utime(weights, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert path.read_bytes() == text
    assert weights.stat().st_size == facts.st_size  # size, time and text are as before: the content counts
    after = values(build_cached(path, Options(), cache))
    assert len(builds) == 2
    assert after.tobytes() == values(build(path)).tobytes() != before.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_one_text_in_two_folders(kind: str, tmp_path: Path, builds: list[Path]) -> None:
    """Each folder has its own weights, and its own entry."""
    paths = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        path, weights = KINDS[kind](tmp_path / str(number), number)
        settled(weights)
        paths.append(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    cache = Cache(tmp_path / "cache")
    for _ in range(2):
        found = [values(build_cached(path, Options(), cache)) for path in paths]
        assert found[0].tobytes() != found[1].tobytes()
    assert len(builds) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_weights_that_change_under_our_hands_are_not_kept(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, weights = KINDS[kind](tmp_path, 0)
    settled(weights)
    cache = Cache(tmp_path / "cache")

    def slow(source: Path, options: Options) -> Artifact:
        artifact = build(source, options)
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
        return artifact

    monkeypatch.setattr(module, "build", slow)
    build_cached(path, Options(), cache)
    assert not list(cache.folder.glob(f"*{SUFFIX}"))


def test_a_link_that_leads_elsewhere(tmp_path: Path, builds: list[Path]) -> None:
    """A link is followed anew each time; out of the folder it is refused as ever."""
    path, weights = mil(tmp_path, 0)
    first = weights.with_name("first.bin")
    weights.rename(first)
    weights.symlink_to(first.name)
    settled(first)
    cache = Cache(tmp_path / "cache")
    before = values(build_cached(path, Options(), cache))
    weights.unlink()
    mil(tmp_path, 1)
    second = weights.with_name("second.bin")
    weights.rename(second)
    weights.symlink_to(second.name)
    settled(second)
    assert values(build_cached(path, Options(), cache)).tobytes() != before.tobytes()
    assert len(builds) == 2
    outside = tmp_path.parent / f"{tmp_path.name}.bin"
    second.rename(outside)
    weights.unlink()
    weights.symlink_to(outside)
    with pytest.raises(OpenaneError, match="leaves the model's folder"):
        build_cached(path, Options(), cache)


def test_files_that_an_entry_names_outside_the_folder_are_not_read(tmp_path: Path) -> None:
    """An entry that somebody made up does not make openane read other files, or wait for a pipe."""
    path, _ = mil(tmp_path, 0)
    cache, key = Cache(tmp_path / "cache"), "0" * 64
    names = ["../secret", "/etc/passwd", "\0"]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        names.append("pipe")
    for name in names:
        cache.put(key, build(path), {name: "0" * 64})
        assert cache.get(key, path) is None
    cache.put(key, build(path), {"weights/weight.bin": "0" * 64})
    assert cache.get(key) is None  # nobody says where the model is


def _work(path: Path, folder: Path) -> None:
    expected = values(build(path)).tobytes()
    for _ in range(5):
        assert values(build_cached(path, Options(), Cache(folder))).tobytes() == expected


def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    path, weights = mil(tmp_path, 0)
    settled(weights)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(path, tmp_path / "cache")) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(list((tmp_path / "cache").iterdir())) == 1
