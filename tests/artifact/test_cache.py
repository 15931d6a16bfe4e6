"""The cache of compiled models: found again, verified, bounded, never in the way."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import openane
from openane.artifact.artifact_format import _choose
from openane.artifact.cache import SUFFIX, Cache
from openane.artifact.plan import Artifact, EngineStep, HostStep
from openane.compiler.cached_build import key_of
from openane.compiler.driver import Options, build
from openane.core.errors import OpenaneError
from openane.core.files import PART_SUFFIX
from openane.core.serialization import from_plain, to_plain
from openane.graph import Graph, Node, Operation, TensorType, ops

DIGITS = Path(__file__).parents[2] / "src" / "openane" / "data" / "digits.onnx"


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return openane.compile(DIGITS)


def entry(cache: Cache) -> Path:
    (path,) = cache.folder.glob(f"*{SUFFIX}")
    return path


def test_a_kept_artifact_is_the_same(artifact: Artifact, tmp_path: Path) -> None:
    cache, key = Cache(tmp_path / "cache"), key_of(DIGITS, Options())
    assert key is not None
    assert cache.get(key) is None
    assert cache.put(key, artifact)
    again = cache.get(key)
    assert again is not None
    assert again.plan.inputs == artifact.plan.inputs
    assert [task.registers() for task in again.program.tasks] == [task.registers() for task in artifact.program.tasks]
    assert [task.origin.layers for task in again.program.tasks] == [t.origin.layers for t in artifact.program.tasks]
    assert bytes(again.program.constants) == bytes(artifact.program.constants)
    image = {"image": np.random.default_rng(0).random((1, 1, 28, 28), np.float32)}
    assert (
        openane.run(again, image)["probabilities"].tobytes() == openane.run(artifact, image)["probabilities"].tobytes()
    )


def test_every_option_and_byte_makes_another_key(tmp_path: Path) -> None:
    copy = tmp_path / DIGITS.name
    shutil.copy(DIGITS, copy)
    base = Options()
    keys = {
        key_of(copy, base),
        key_of(copy, replace(base, dialect="macos-11")),
        key_of(copy, replace(base, host=False)),
        key_of(copy, replace(base, keep_on_host=frozenset({"conv1"}))),
        key_of(copy, replace(base, shapes={"image": (1, 1, 28, 28)})),
    }
    assert key_of(copy, base) == key_of(DIGITS, base)
    data = bytearray(copy.read_bytes())
    data[-1000] ^= 1
    copy.write_bytes(data)
    keys.add(key_of(copy, base))
    assert len(keys) == 6


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "text", "other key"])
def test_a_damaged_entry_is_removed(
    artifact: Artifact,
    tmp_path: Path,
    damage: str,
) -> None:
    cache = Cache(tmp_path)
    key = "0" * 64
    cache.put(key, artifact)
    path = entry(cache)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-5000] ^= 0x10
    elif damage == "other key":
        path.rename(tmp_path / ("1" * 64 + SUFFIX))
        assert cache.get("1" * 64) is None
        return
    path.write_bytes({"flip": data, "cut": data[:3000], "empty": b"", "text": b"hello\n"}[damage])
    assert cache.get(key) is None
    assert not path.exists()


def test_the_folder_is_bounded(artifact: Artifact, tmp_path: Path) -> None:
    probe = Cache(tmp_path / "probe")
    probe.put("0" * 64, artifact)
    size = entry(probe).stat().st_size
    cache = Cache(tmp_path / "cache", limit_bytes=int(3.5 * size))
    for number in range(6):
        key = str(number) * 64
        assert cache.put(key, artifact)
        os.utime(cache.folder / f"{key}{SUFFIX}", (number, number))
    left = sorted(path.name[0] for path in cache.folder.glob(f"*{SUFFIX}"))
    assert left == ["3", "4", "5"]


def test_an_unwritable_folder_is_no_fault(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "cache")
    assert not cache.put("0" * 64, artifact)
    assert cache.get("0" * 64) is None


def _work(folder: Path, count: int) -> None:
    artifact = openane.compile(DIGITS)
    cache = Cache(folder)
    for _ in range(count):
        cache.put("a" * 64, artifact)
        assert cache.get("a" * 64) is not None


def test_what_killed_writers_left_is_removed(artifact: Artifact, tmp_path: Path) -> None:
    old, new = tmp_path / f".a{PART_SUFFIX}", tmp_path / f".b{PART_SUFFIX}"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    assert Cache(tmp_path).put("0" * 64, artifact)
    assert not old.exists()
    assert new.exists()


def mixed() -> Graph:
    """The engine, then what only the host can do, then the engine again; and an output that is a constant."""
    nodes = (
        Node("first", ops.Relu(), ("x",), ("a",)),
        Node("sorted", ops.TopK(axis=1, k=8, largest=False), ("a",), ("b", "order")),
        Node("last", ops.Tanh(), ("b",), ("y",)),
    )
    constants = {"fixed": np.linspace(0, 1, 5, dtype=np.float32)}
    return Graph("mixed", {"x": TensorType((1, 8, 4, 4))}, ("y", "order", "fixed"), nodes, constants)


def test_host_steps_and_constants_are_kept(tmp_path: Path) -> None:
    artifact, cache = build(mixed()), Cache(tmp_path)
    assert {type(step) for step in artifact.plan.steps} == {EngineStep, HostStep}
    assert cache.put("0" * 64, artifact)
    again = cache.get("0" * 64)
    assert again is not None
    for step, kept in zip(artifact.plan.steps, again.plan.steps, strict=True):
        if isinstance(step, HostStep):
            assert isinstance(kept, HostStep)
            assert kept.reasons == step.reasons
            assert kept.graph.nodes == step.graph.nodes
            assert [node.origin for node in kept.graph.nodes] == [node.origin for node in step.graph.nodes]
    x = {"x": np.random.default_rng(0).standard_normal((1, 8, 4, 4)).astype(np.float32)}
    expected, found = openane.run(artifact, x), openane.run(again, x)
    assert {name: array.tobytes() for name, array in found.items()} == {
        name: array.tobytes() for name, array in expected.items()
    }


OPERATIONS = sorted(
    name
    for name, kind in vars(ops).items()
    if isinstance(kind, type) and issubclass(kind, Operation) and kind is not Operation
)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_kept(name: str) -> None:
    """Its attributes come back equal, whatever their types."""
    for case in getattr(ops, name).cases():
        node = Node("n", case.operation, (), ())
        assert from_plain(Node, json.loads(json.dumps(to_plain(node))), _choose).operation == case.operation


ODD = [None, -1, 2**70, 1.5, "", "x", {}, [], [[]], True, {"kind": "Relu"}, {"kind": "Graph"}]


def test_made_up_entries_are_refused_or_harmless(tmp_path: Path) -> None:
    """Whoever can write to the folder can make the digests right; what is read is still an artifact or nothing."""
    cache, key = Cache(tmp_path), "0" * 64
    cache.put(key, build(mixed()))
    path = entry(cache)
    line, _, payload = path.read_bytes().partition(b"\n")
    random = np.random.default_rng(0)
    x = {"x": np.ones((1, 8, 4, 4), np.float32)}
    refused = 0
    for place in list(places(json.loads(line))):
        head = json.loads(line)
        inner = head
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = ODD[random.integers(len(ODD))]
        path.write_bytes(json.dumps(head).encode() + b"\n" + payload)
        found = cache.get(key)
        refused += found is None
        if found is not None:
            try:
                openane.run(found, x)
            except OpenaneError:
                continue
    assert refused > 100


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in nested lists and dictionaries."""
    if before:
        yield before
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*before, key))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_pipes_and_links_in_a_shared_folder_are_not_followed(artifact: Artifact, tmp_path: Path) -> None:
    cache, key = Cache(tmp_path / "cache"), "0" * 64
    cache.put(key, artifact)
    path = entry(cache)
    whole = tmp_path / "whole"
    path.rename(whole)
    os.mkfifo(path)
    assert cache.get(key) is None
    path.unlink()
    for target in (whole, Path("/dev/zero"), path):
        path.symlink_to(target)
        assert cache.get(key) is None
        path.unlink()
    path.mkdir()
    assert cache.get(key) is None
    assert not cache.put(key, artifact)


def test_deep_nesting_in_an_entry(tmp_path: Path) -> None:
    (tmp_path / f"{'0' * 64}{SUFFIX}").write_bytes(b"[" * 200_000 + b"\n")
    assert Cache(tmp_path).get("0" * 64) is None


def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(tmp_path, 20)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["a" * 64 + SUFFIX]
