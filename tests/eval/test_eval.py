"""Evaluation over data sets: every form, resumed, spread over processes and over a cluster that loses a worker."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from openane.analysis.evaluate import Evaluation, Job, Journal, evaluate, run_piece, summarize
from openane.analysis.spread import cluster, processes
from openane.cli.demo import enlarge
from openane.core.errors import FormatError, InputError

DATA = Path(__file__).parents[2] / "src" / "openane" / "data"
MODEL = DATA / "digits.onnx"
COUNT = 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("eval")


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    with np.load(DATA / "digits.npz") as arrays:
        return enlarge(arrays["pictures"][:COUNT]), arrays["labels"][:COUNT]


@pytest.fixture(scope="module")
def job(folder: Path, digits: tuple[np.ndarray, np.ndarray]) -> Job:
    images, labels = digits
    np.savez(folder / "digits.npz", image=images[:, 0], labels=labels)
    return Job(str(MODEL), str(folder / "digits.npz"), "top1", cache_folder=str(folder / "cache"))


@pytest.fixture(scope="module")
def expected(job: Job) -> Evaluation:
    return run(job)


def run(job: Job, journal: Journal | None = None, spread: object = None) -> Evaluation:
    journal = journal or Journal(None, job)
    for _ in evaluate(job, journal, spread):  # type: ignore[arg-type]
        pass
    return summarize(job, journal.pieces.values())


def same(found: Evaluation, expected: Evaluation) -> None:
    assert replace(found, seconds=0) == replace(expected, seconds=0)


def test_accuracy_of_the_digits(expected: Evaluation) -> None:
    assert expected.samples == COUNT
    assert expected.value > 0.9


def test_folder_of_arrays_by_class(
    job: Job, expected: Evaluation, tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    for index, (image, label) in enumerate(zip(*digits, strict=True)):
        place = tmp_path / str(label)
        place.mkdir(exist_ok=True)
        np.save(place / f"{index:03}.npy", image)
    same(run(replace(job, dataset=str(tmp_path))), expected)


def test_pictures(job: Job, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="the package Pillow is missing")
    with np.load(DATA / "digits.npz") as arrays:
        pictures, labels = arrays["pictures"][:40], arrays["labels"][:40]
    for index, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        (tmp_path / str(label)).mkdir(exist_ok=True)
        image.fromarray((picture * 15).astype(np.uint8)).save(tmp_path / str(label) / f"{index}.png")
    assert run(replace(job, dataset=str(tmp_path), scale=240.0)).value > 0.85


def test_parquet(job: Job, expected: Evaluation, tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the package pyarrow is missing")
    parquet = pytest.importorskip("pyarrow.parquet", reason="the package pyarrow is missing")
    images, labels = digits
    table = pyarrow.table({"image": [image.ravel() for image in images], "labels": labels})
    parquet.write_table(table, tmp_path / "digits.parquet")
    same(run(replace(job, dataset=str(tmp_path / "digits.parquet"))), expected)


def test_expected_outputs(job: Job, tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    np.savez(tmp_path / "d.npz", image=images[:40], **{"out:probabilities": np.eye(10)[labels[:40]]})
    found = run(replace(job, dataset=str(tmp_path / "d.npz"), metric="cosine"))
    assert 0.9 < found.value <= 1
    assert 0 < found.errors["probabilities"]["rms"] < 0.2


def test_a_stopped_run_goes_on(job: Job, expected: Evaluation, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    steps = evaluate(job, Journal(path, job))
    next(steps)
    next(steps)
    next(steps)
    steps.close()
    with path.open("a") as file:
        file.write('{"number": 2, "samp')  # killed in the middle of a line
    kept = Journal(path, job)
    assert sorted(kept.pieces) == [0, 1]
    ran: list[int] = []

    def spread(job: Job, numbers: Sequence[int]) -> Iterator[dict[str, object]]:
        for number in numbers:
            ran.append(number)
            yield run_piece(job, number)
            yield run_piece(job, number)  # a second worker finished it as well

    same(run(job, kept, spread), expected)
    assert ran == [2, 3]
    assert len(path.read_text().splitlines()) == 1 + 4


def test_the_journal_of_another_evaluation(job: Job, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path, job)
    with pytest.raises(InputError, match="another evaluation"):
        Journal(path, replace(job, metric="top5"))
    path.write_text("hello\n")
    with pytest.raises((InputError, FormatError)):
        Journal(path, job)


def test_missing_labels_and_wrong_sizes(job: Job, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=np.zeros((2, 28, 28), np.float32))
    with pytest.raises(InputError, match="labels"):
        run(replace(job, dataset=str(tmp_path / "a.npz")))
    np.savez(tmp_path / "b.npz", image=np.zeros((2, 28, 27), np.float32), labels=np.zeros(2))
    with pytest.raises(FormatError, match="another size"):
        run(replace(job, dataset=str(tmp_path / "b.npz")))
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(FormatError, match="archive of arrays"):
        run(replace(job, dataset=str(tmp_path / "c.npz")))


def test_processes(job: Job, expected: Evaluation) -> None:
    pytest.importorskip("joblib", reason="the package joblib is missing")
    same(run(job, spread=processes(2)), expected)


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_loses_a_worker(job: Job, expected: Evaluation, tmp_path: Path) -> None:
    """Two workers; one is killed once the first piece is done. Nothing is lost, nothing counts twice."""
    distributed = pytest.importorskip("distributed", reason="the package distributed is missing")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=str(tmp_path)
    ) as local:
        victim = next(iter(local.workers.values())).pid
        journal = Journal(tmp_path / "journal.jsonl", job)
        killed = False
        for done, _ in evaluate(job, journal, cluster(local.scheduler_address)):
            if done and not killed:
                os.kill(victim, signal.SIGKILL)
                killed = True
        assert killed
    same(summarize(job, journal.pieces.values()), expected)
    numbers = [json.loads(line)["number"] for line in (tmp_path / "journal.jsonl").read_text().splitlines()[1:]]
    assert sorted(numbers) == list(range(4))
