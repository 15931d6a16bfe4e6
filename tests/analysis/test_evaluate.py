"""Evaluation over data sets: every form, resumed, spread over processes and over a cluster that loses a worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support import eval_faults

import openane
from openane.analysis.dataset import Dataset
from openane.analysis.evaluate import Evaluation, evaluate, run_piece, summarize
from openane.analysis.executors import cluster, processes
from openane.analysis.journal import EvaluationJob, Journal
from openane.analysis.metrics import NO_ERROR, statistics, sums_of_errors
from openane.cli.demo import enlarge
from openane.core.errors import FaultError, FormatError, InputError, OpenaneError, UnavailableError
from openane.graph import Graph, TensorType

ROOT = Path(__file__).parents[2]
DATA = ROOT / "src" / "openane" / "data"
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
def job(folder: Path, digits: tuple[np.ndarray, np.ndarray]) -> EvaluationJob:
    images, labels = digits
    np.savez(folder / "digits.npz", image=images[:, 0], labels=labels)
    return EvaluationJob(str(MODEL), str(folder / "digits.npz"), "top1", cache_folder=str(folder / "cache"))


@pytest.fixture(scope="module")
def expected(job: EvaluationJob) -> Evaluation:
    return run(job)


def run(job: EvaluationJob, journal: Journal | None = None, spread: object = None) -> Evaluation:
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
    job: EvaluationJob, expected: Evaluation, tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    for index, (image, label) in enumerate(zip(*digits, strict=True)):
        place = tmp_path / str(label)
        place.mkdir(exist_ok=True)
        np.save(place / f"{index:03}.npy", image)
    same(run(replace(job, dataset=str(tmp_path))), expected)


def test_pictures(job: EvaluationJob, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="the package Pillow is missing")
    with np.load(DATA / "digits.npz") as arrays:
        pictures, labels = arrays["pictures"][:40], arrays["labels"][:40]
    for index, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        (tmp_path / str(label)).mkdir(exist_ok=True)
        image.fromarray((picture * 15).astype(np.uint8)).save(tmp_path / str(label) / f"{index}.png")
    assert run(replace(job, dataset=str(tmp_path), scale=240.0)).value > 0.85


def test_parquet(
    job: EvaluationJob, expected: Evaluation, tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the package pyarrow is missing")
    parquet = pytest.importorskip("pyarrow.parquet", reason="the package pyarrow is missing")
    images, labels = digits
    table = pyarrow.table({"image": [image.ravel() for image in images], "labels": labels})
    parquet.write_table(table, tmp_path / "digits.parquet")
    same(run(replace(job, dataset=str(tmp_path / "digits.parquet"))), expected)


def test_expected_outputs(job: EvaluationJob, tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    np.savez(tmp_path / "d.npz", image=images[:40], **{"out:probabilities": np.eye(10)[labels[:40]]})
    found = run(replace(job, dataset=str(tmp_path / "d.npz"), metric="cosine"))
    assert 0.9 < found.value <= 1
    assert 0 < found.errors["probabilities"]["rms"] < 0.2


def test_a_stopped_run_goes_on(job: EvaluationJob, expected: Evaluation, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, job) as journal:
        steps = evaluate(job, journal)
        next(steps)
        next(steps)
        next(steps)
        steps.close()
    with path.open("a") as file:
        file.write('{"number": 2, "samp')  # killed in the middle of a line
    ran: list[int] = []

    def spread(job: EvaluationJob, numbers: Sequence[int]) -> Iterator[dict[str, object]]:
        for number in numbers:
            ran.append(number)
            yield run_piece(job, number)
            yield run_piece(job, number)  # a second worker finished it as well

    with Journal(path, job) as kept:
        assert sorted(kept.pieces) == [0, 1]
        same(run(job, kept, spread), expected)
    assert ran == [2, 3]
    assert len(path.read_text().splitlines()) == 1 + 4


def test_the_journal_of_another_evaluation(job: EvaluationJob, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, job), pytest.raises(InputError, match="another evaluation writes"):
        Journal(path, job)
    with pytest.raises(InputError, match=r"belongs to another evaluation .*another metric"):
        Journal(path, replace(job, metric="top5"))
    with Journal(path, replace(job, threads=1, memory_limit_bytes=1 << 30, cache_folder="")):
        pass  # what decides nothing about the results may change
    other = tmp_path / "other.npz"
    other.write_bytes(Path(job.dataset).read_bytes() + b" ")
    with pytest.raises(InputError, match="another data set"):
        Journal(path, replace(job, dataset=str(other)))


def test_missing_labels_and_wrong_sizes(job: EvaluationJob, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=np.zeros((2, 28, 28), np.float32))
    with pytest.raises(InputError, match="labels"):
        run(replace(job, dataset=str(tmp_path / "a.npz")))
    np.savez(tmp_path / "b.npz", image=np.zeros((2, 28, 27), np.float32), labels=np.zeros(2))
    with pytest.raises(FormatError, match="another size"):
        run(replace(job, dataset=str(tmp_path / "b.npz")))
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(FormatError, match="archive of arrays"):
        run(replace(job, dataset=str(tmp_path / "c.npz")))


def test_bad_samples_are_named(job: EvaluationJob, tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits[0][:40, 0], digits[1][:40]
    cases: list[tuple[str, str, dict[str, np.ndarray]]] = [
        ("top1", "sample 35.*not a class", {"labels": np.where(np.arange(40) == 35, 10, labels)}),
        ("cosine", "sample 0.*another size", {"out:probabilities": np.zeros((40, 9))}),
        ("rmse", "holds no numbers", {"out:probabilities": np.full((40, 10), "a")}),
        ("max", "expected outputs", {"out:other": np.zeros((40, 10))}),
    ]
    for metric, message, more in cases:
        np.savez(tmp_path / "d.npz", image=images, **more)
        with pytest.raises(OpenaneError, match=message):
            run(replace(job, dataset=str(tmp_path / "d.npz"), metric=metric, scale=float(len(message))))
    np.savez(tmp_path / "none.npz", image=images[:0], labels=labels[:0])
    with pytest.raises(InputError, match="no samples"):
        run(replace(job, dataset=str(tmp_path / "none.npz")))


@pytest.mark.parametrize("metric", ["cosine", "rmse", "max"])
def test_metrics_of_outputs(
    job: EvaluationJob, tmp_path: Path, digits: tuple[np.ndarray, np.ndarray], metric: str
) -> None:
    """Against numpy, over the outputs of the graph's reference, far enough away to be distinguished."""
    images = digits[0][:40]
    graph = openane.load(MODEL)
    assert isinstance(graph, Graph)
    wanted = np.concatenate([graph.evaluate({"image": image[None]})["probabilities"] for image in images])
    np.savez(tmp_path / "d.npz", image=images, **{"out:probabilities": wanted * 0.5 + 0.25})
    gap = 0.25 - 0.5 * wanted
    expected = {
        "cosine": np.mean([a @ b / np.sqrt(a @ a * (b @ b)) for a, b in zip(wanted, wanted + gap, strict=True)]),
        "rmse": np.mean(np.sqrt((gap**2).mean(1))),
        "max": np.abs(gap).max(1).mean(),
    }
    found = run(replace(job, dataset=str(tmp_path / "d.npz"), metric=metric))
    assert found.value == pytest.approx(expected[metric], abs=2e-3)
    assert found.errors["probabilities"]["rms"] == pytest.approx(np.sqrt((gap**2).mean()), abs=2e-3)


def test_errors_of_layers(job: EvaluationJob, expected: Evaluation) -> None:
    """Every layer of the digits is reported by the simulator, near the reference but not equal to it."""
    assert not expected.layers
    found = run(replace(job, layer_samples=2))
    assert found.value == expected.value
    assert [name.split(" ")[0] for name in found.layers] == ["conv1", "pool1", "conv2", "pool2", "linear", "softmax"]
    for name, row in found.layers.items():
        assert 0 < row["relative_rms"] < 2e-3, name
        assert row["largest"] >= row["rms"] > 0, name
        assert row["not_finite"] == 0, name


def test_sums_of_errors_without_a_number() -> None:
    wanted = np.array([1.0, np.inf, np.nan, 4.0, -np.inf])
    found = np.array([1.5, np.inf, np.nan, np.inf, 2.0])
    assert sums_of_errors(found, wanted) == (0.25, 1.0, 0.5, 5.0, 2.0)
    assert statistics([NO_ERROR])["rms"] == 0.0


@pytest.mark.parametrize("rows", [1, 7, 1000])
@pytest.mark.parametrize("form", ["lists", "nested", "fixed"])
def test_parquet_cells(tmp_path: Path, rows: int, form: str) -> None:
    """Any grouping of the rows and any nesting of the lists gives the same samples."""
    pyarrow = pytest.importorskip("pyarrow", reason="the package pyarrow is missing")
    parquet = pytest.importorskip("pyarrow.parquet", reason="the package pyarrow is missing")
    values = np.arange(60, dtype=np.float32).reshape(10, 2, 3)
    column = {
        "lists": list(values.reshape(10, 6)),
        "nested": values.tolist(),
        "fixed": pyarrow.FixedSizeListArray.from_arrays(values.ravel(), 6),
    }[form]
    parquet.write_table(pyarrow.table({"x": column, "labels": range(10)}), tmp_path / "d.parquet", row_group_size=rows)
    dataset = Dataset(tmp_path / "d.parquet", {"x": TensorType((2, 3))})
    assert len(dataset) == 10
    for index in (9, 0, 5, 4):
        assert np.array_equal(dataset[index].inputs["x"], values[index])
        assert dataset[index].label == index


@pytest.mark.parametrize(
    "column", [["a", "b"], [None, [1.0, 2.0]], [[1.0, None], [1.0, 2.0]], [{"a": 1}, {"a": 2}], [[1.0], [1.0, 2.0]]]
)
def test_parquet_without_numbers(tmp_path: Path, column: list[object]) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the package pyarrow is missing")
    parquet = pytest.importorskip("pyarrow.parquet", reason="the package pyarrow is missing")
    parquet.write_table(pyarrow.table({"x": column}), tmp_path / "d.parquet")
    dataset = Dataset(tmp_path / "d.parquet", {"x": TensorType((2,))})
    with pytest.raises(FormatError, match=r"numbers|cannot be read|another size"):
        dataset[len(dataset) - 2]


def test_journals_that_are_something_else_are_left_alone(job: EvaluationJob, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, job):
        pass
    head = path.read_bytes()
    for content in (b"hello\n", b"PK\x03\x04\nrest", b"{}\n", b"[" * 9000 + b"\n", head + b"{}\n", b"notes"):
        path.write_bytes(content)
        with pytest.raises(FormatError, match="not a journal"):
            Journal(path, job)
        assert path.read_bytes() == content


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_killed_while_the_journal_was_begun(job: EvaluationJob, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, job):
        pass
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    with Journal(path, job) as journal:
        assert not journal.pieces
    assert path.read_bytes() == whole


def test_threads_of_one_worker(job: EvaluationJob, expected: Evaluation) -> None:
    """A worker of a cluster may have several threads; they share one loaded program."""

    def spread(job: EvaluationJob, numbers: Sequence[int]) -> Iterator[dict[str, object]]:
        with ThreadPoolExecutor(4) as pool:
            yield from pool.map(lambda number: run_piece(job, number), numbers)

    found = run(replace(job, layer_samples=1), spread=spread)
    assert (found.value, found.samples) == (expected.value, expected.samples)
    assert found.layers == run(replace(job, layer_samples=1)).layers


def test_limits(job: EvaluationJob) -> None:
    with pytest.raises(OpenaneError, match="memory"):
        run(replace(job, memory_limit_bytes=1000))
    assert replace(job, time_limit_seconds=2.5).session_options.simulation.time_limit_seconds == 2.5


def test_processes(job: EvaluationJob, expected: Evaluation) -> None:
    pytest.importorskip("joblib", reason="the package joblib is missing")
    same(run(job, spread=processes(2)), expected)


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_loses_a_worker(job: EvaluationJob, expected: Evaluation, tmp_path: Path) -> None:
    """Two workers; one is killed once the first piece is done. Nothing is lost, nothing counts twice."""
    distributed = pytest.importorskip("distributed", reason="the package distributed is missing")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=str(tmp_path)
    ) as local:
        victim = next(iter(local.workers.values())).pid
        killed = False
        with Journal(tmp_path / "journal.jsonl", job) as journal:
            for done, _ in evaluate(job, journal, cluster(local.scheduler_address)):
                if done and not killed:
                    os.kill(victim, signal.SIGKILL)
                    killed = True
        assert killed
    same(summarize(job, journal.pieces.values()), expected)
    numbers = [json.loads(line)["number"] for line in (tmp_path / "journal.jsonl").read_text().splitlines()[1:]]
    assert sorted(numbers) == list(range(4))


def one_done(job: EvaluationJob, path: Path) -> None:
    """Begins a journal with the first piece."""
    with Journal(path, job) as journal:
        for done, _ in evaluate(job, journal):
            if done:
                return


def goes_on(job: EvaluationJob, path: Path, expected: Evaluation) -> None:
    """The journal is whole, the same command again ends it, and no piece counts twice."""
    with Journal(path, job) as journal:
        same(run(job, journal), expected)
    numbers = [json.loads(line)["number"] for line in path.read_text().splitlines()[1:]]
    assert sorted(numbers) == list(range(4))


@contextmanager
def scheduler(workers: int) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A scheduler in a process of its own: its address, and the process."""
    pytest.importorskip("distributed", reason="the package distributed is missing")
    words = [sys.executable, "-m", "tests.support.eval_faults", str(workers)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as local:
        assert local.stdout is not None
        try:
            yield local.stdout.readline().strip(), local
        finally:
            local.kill()


def test_a_process_that_is_killed(
    job: EvaluationJob, expected: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a system that runs out of memory: one error, and what is finished is kept."""
    pytest.importorskip("joblib", reason="the package joblib is missing")
    monkeypatch.setattr("openane.analysis.executors.run_piece", eval_faults.dies)
    path = tmp_path / "journal.jsonl"
    one_done(job, path)
    with Journal(path, job) as journal, pytest.raises(FaultError, match=r"was killed .*same command again to go on"):
        run(job, journal, processes(2))
    assert 0 in journal.pieces
    goes_on(job, path, expected)


@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_that_dies(
    job: EvaluationJob,
    expected: Evaluation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Scheduler and worker are killed while the worker is busy with the third piece."""
    monkeypatch.setattr("openane.analysis.executors.run_piece", eval_faults.stops)
    path = tmp_path / "journal.jsonl"
    with (
        scheduler(1) as (address, local),
        Journal(path, job) as journal,
        pytest.raises(UnavailableError, match="the scheduler went away"),
    ):
        for done, _ in evaluate(job, journal, cluster(address)):
            if done == 2:
                local.kill()
    assert sorted(journal.pieces) == [0, 1]
    assert "Traceback" not in capfd.readouterr().err
    with pytest.raises(UnavailableError, match="the scheduler does not answer"):
        run(job, spread=cluster(address))
    goes_on(job, path, expected)


@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_without_workers(job: EvaluationJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openane.analysis.executors.LOOK_SECONDS", 0.05)
    monkeypatch.setattr("openane.analysis.executors.ALONE_SECONDS", 0.0)
    with scheduler(0) as (address, _), pytest.raises(UnavailableError, match="the scheduler has no workers"):
        run(job, spread=cluster(address))
