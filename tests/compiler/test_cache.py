"""The cache of compiled models: found again, verified, bounded, never in the way."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import openane
from openane.compiler.cache import SUFFIX, Cache, key_of
from openane.compiler.driver import Options
from openane.compiler.plan import Artifact

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
        key_of(copy, replace(base, wide=frozenset({"conv1"}))),
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


def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(tmp_path, 20)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["a" * 64 + SUFFIX]
