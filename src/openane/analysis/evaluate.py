"""A compiled model over a data set: a metric, error statistics and time, in pieces that can be resumed and spread out.

The set is cut into pieces of consecutive samples. Each finished piece is one line of a journal; a run that was stopped
goes on behind the last whole line, and a piece that two workers finished (because one of them was thought dead) counts
once, since its number is its key.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from openane.analysis.dataset import Dataset, Sample
from openane.compiler.cache import Cache, build_cached
from openane.compiler.driver import Options
from openane.compiler.execution import Execution
from openane.core.errors import FormatError, InputError

PIECE_SAMPLES = 32


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker needs to know; plain values only, so that it can be sent anywhere.

    Attributes:
        model: path of the model.
        dataset: path of the data set.
        metric: one of METRICS.
        target: chip generation.
        on: runtime by name.
        scale: divisor of pictures.
        cache_folder: of compiled models; empty for none.
    """

    model: str
    dataset: str
    metric: str
    target: str = "h13"
    on: str = "simulator"
    scale: float = 255.0
    cache_folder: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Sums over consecutive samples.

    Attributes:
        number: of the piece; samples are `number * PIECE_SAMPLES` and following.
        samples: how many.
        score: sum of the metric over them.
        seconds: time of the runs, compiling apart.
        errors: for each output with expected values: sum of squared errors, sum of squares expected, largest error,
            number of elements.
    """

    number: int
    samples: int
    score: float
    seconds: float
    errors: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A whole data set.

    Attributes:
        metric, value: mean of the metric over all samples.
        samples: how many.
        seconds: time of the runs over all workers.
        errors: output name -> root mean square error, relative RMS error, largest error, where values were expected.
    """

    metric: str
    value: float
    samples: int
    seconds: float
    errors: Mapping[str, Mapping[str, float]]


def _top(count: int) -> Callable[[Mapping[str, np.ndarray], Sample], float]:
    def metric(outputs: Mapping[str, np.ndarray], sample: Sample) -> float:
        if sample.label is None:
            raise InputError(f"top{count} needs labels", hint='Name an array "labels", or folders by class number.')
        scores = next(iter(outputs.values())).reshape(-1)
        best = np.argsort(-scores.astype(np.float64), kind="stable")[:count]
        return float(sample.label in best)

    return metric


def _cosine(outputs: Mapping[str, np.ndarray], sample: Sample) -> float:
    found, expected = _paired(outputs, sample)
    scale = math.sqrt(float(found @ found) * float(expected @ expected))
    return float(found @ expected) / scale if scale else float(not found.any() and not expected.any())


def _rmse(outputs: Mapping[str, np.ndarray], sample: Sample) -> float:
    found, expected = _paired(outputs, sample)
    return math.sqrt(float(np.mean((found - expected) ** 2)))


def _max_error(outputs: Mapping[str, np.ndarray], sample: Sample) -> float:
    found, expected = _paired(outputs, sample)
    return float(np.abs(found - expected).max(initial=0.0))


def _paired(outputs: Mapping[str, np.ndarray], sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    common = [name for name in outputs if name in sample.expected]
    if not common:
        raise InputError("the metric needs expected outputs", hint='Name their arrays "out:NAME".')
    flat = [
        np.concatenate([np.ravel(each[name]).astype(np.float64) for name in common])
        for each in (outputs, sample.expected)
    ]
    return flat[0], flat[1]


METRICS: Mapping[str, Callable[[Mapping[str, np.ndarray], Sample], float]] = {
    "top1": _top(1),
    "top5": _top(5),
    "cosine": _cosine,
    "rmse": _rmse,
    "max": _max_error,
}


@lru_cache(maxsize=2)
def _loaded(model: str, target: str, on: str, cache_folder: str) -> Execution:
    """The model in this process, loaded once."""
    options = Options(target=target)
    artifact = build_cached(Path(model), options, Cache(Path(cache_folder))) if cache_folder else None
    if artifact is None:
        from openane.compiler.driver import build

        artifact = build(Path(model), options)
    return Execution(artifact, on)


def open_dataset(job: Job) -> Dataset:
    """The data set as the model of a job sees it."""
    execution = _loaded(job.model, job.target, job.on, job.cache_folder)
    return Dataset(Path(job.dataset), execution.artifact.plan.inputs, job.scale)


def run_piece(job: Job, number: int) -> dict[str, object]:
    """Runs the samples of one piece; plain values out, so that it can come from anywhere.

    Raises:
        InputError, FormatError: a sample does not fit; names it.
    """
    execution = _loaded(job.model, job.target, job.on, job.cache_folder)
    dataset = open_dataset(job)
    metric = METRICS[job.metric]
    score, seconds, samples = 0.0, 0.0, 0
    errors: dict[str, list[float]] = {}
    for index in range(number * PIECE_SAMPLES, min((number + 1) * PIECE_SAMPLES, len(dataset))):
        sample = dataset[index]
        start = time.perf_counter()
        outputs = execution.run(sample.inputs).outputs
        seconds += time.perf_counter() - start
        score += metric(outputs, sample)
        samples += 1
        for name, expected in sample.expected.items():
            if name in outputs:
                _add_error(errors.setdefault(name, [0.0, 0.0, 0.0, 0.0]), outputs[name], expected)
    return asdict(Piece(number, samples, score, seconds, errors))


def _add_error(sums: list[float], found: np.ndarray, expected: np.ndarray) -> None:
    wanted = np.ravel(expected).astype(np.float64)
    difference = np.ravel(found).astype(np.float64) - wanted
    sums[0] += float(difference @ difference)
    sums[1] += float(wanted @ wanted)
    sums[2] = max(sums[2], float(np.abs(difference).max(initial=0.0)))
    sums[3] += wanted.size


class Journal:
    """Finished pieces, one line of JSON each behind a line that says what was evaluated.

    Args:
        path: of the file; None keeps the journal in memory.
        job: must be the one the file was begun with.

    Raises:
        InputError: the file belongs to another evaluation.
    """

    def __init__(self, path: Path | None, job: Job) -> None:
        self.path = path
        self.pieces: dict[int, Piece] = {}
        head = {key: value for key, value in asdict(job).items() if key != "cache_folder"}
        if path is not None and path.exists():
            self._read(path, head)
        elif path is not None:
            self._append(json.dumps(head))

    def _read(self, path: Path, head: dict[str, object]) -> None:
        raw = path.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        if len(whole) != len(raw):  # the last line was being written when the run was stopped
            os.truncate(path, len(whole))
        lines = whole.decode("utf-8", "replace").splitlines()
        try:
            first = json.loads(lines[0]) if lines else None
            if first != head:
                raise InputError(
                    "the journal belongs to another evaluation", where=str(path), hint="Give another --journal."
                )
            for line in lines[1:]:
                piece = Piece(**json.loads(line))
                self.pieces.setdefault(piece.number, piece)
        except (ValueError, TypeError) as error:
            raise FormatError("not a journal of an evaluation", where=str(path)) from error

    def add(self, piece: Piece) -> None:
        """Keeps a finished piece; a second one of the same number changes nothing."""
        if piece.number not in self.pieces:
            self.pieces[piece.number] = piece
            self._append(json.dumps(asdict(piece)))

    def _append(self, line: str) -> None:
        if self.path is None:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(f"cannot write: {error.strerror}", where=str(self.path)) from error


def evaluate(
    job: Job, journal: Journal, spread: Callable[[Job, Sequence[int]], Iterable[dict[str, object]]] | None = None
) -> Iterator[tuple[int, int]]:
    """Runs what is left of an evaluation; yields (pieces done, pieces in all) as it goes on.

    Args:
        job: what to evaluate.
        journal: where finished pieces go.
        spread: runs pieces somewhere and yields their results in any order; in this process by default.
    """
    count = -(-len(open_dataset(job)) // PIECE_SAMPLES)
    left = [number for number in range(count) if number not in journal.pieces]
    results = spread(job, left) if spread else (run_piece(job, number) for number in left)
    yield count - len(left), count
    for result in results:
        journal.add(Piece(**result))  # type: ignore[arg-type]
        yield len(journal.pieces), count


def summarize(job: Job, pieces: Iterable[Piece]) -> Evaluation:
    """The totals; the same for any order of the pieces."""
    ordered = sorted(pieces, key=lambda piece: piece.number)
    samples = sum(piece.samples for piece in ordered)
    errors: dict[str, dict[str, float]] = {}
    for name in sorted({name for piece in ordered for name in piece.errors}):
        rows = [piece.errors[name] for piece in ordered if name in piece.errors]
        squares, energy, elements = (math.fsum(row[column] for row in rows) for column in (0, 1, 3))
        errors[name] = {
            "rms": math.sqrt(squares / elements) if elements else 0.0,
            "relative_rms": math.sqrt(squares / energy) if energy else 0.0,
            "largest": max(row[2] for row in rows),
        }
    total = math.fsum(piece.score for piece in ordered)
    seconds = math.fsum(piece.seconds for piece in ordered)
    return Evaluation(job.metric, total / samples if samples else 0.0, samples, seconds, errors)
