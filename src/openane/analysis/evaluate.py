"""A compiled model over a data set: a metric, error statistics and time, in pieces that can be resumed and spread out.

The set is cut into pieces of consecutive samples. Each finished piece is one line of a journal (`analysis.journal`); a
run that was stopped goes on after the last whole line, and a piece that two workers finished (because one of them was
thought dead) counts once, since its number is its key.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from openane.analysis.choices import PIECE_SAMPLES
from openane.analysis.dataset import Dataset, Sample
from openane.analysis.isolated_run import run_loaded
from openane.analysis.journal import EvaluationJob, Journal, Piece
from openane.analysis.layer_map import LayerMap, map_layers
from openane.analysis.metrics import METRICS, NO_ERROR, added, check_expected, exact_sum, statistics, sums_of_errors
from openane.artifact.cache import Cache
from openane.compiler.cached_build import build_cached
from openane.compiler.driver import build
from openane.core.errors import InputError, OpenaneError
from openane.runtimes.execution import Execution


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A whole data set.

    Attributes:
        metric, value: mean of the metric over all samples.
        samples: how many.
        seconds: time of the runs over all workers.
        errors: output name -> root mean square error, relative RMS error, largest error, and elements that are not
            finite alike, where values were expected.
        layers: layer -> the same against the float32 reference, over the samples that were compared, in execution
            order.
    """

    metric: str
    value: float
    samples: int
    seconds: float
    errors: Mapping[str, Mapping[str, float]]
    layers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


class _Loaded:
    """A model in this process, and whose turn it is: a worker may have several threads."""

    def __init__(self, job: EvaluationJob) -> None:
        options, path = job.options, Path(job.model)
        if job.cache_folder and not job.layer_samples:
            artifact = build_cached(path, options, Cache(Path(job.cache_folder)))
        else:  # out of the cache come programs without their layers
            artifact = build(path, options)
        self.execution = Execution(artifact, job.on, job.session_options)
        self.dataset = Dataset(Path(job.dataset), artifact.plan.inputs, job.scale)
        self.turn = threading.Lock()

    @cached_property
    def layers(self) -> LayerMap | None:
        """None for a program from a file, which has no reference."""
        artifact = self.execution.artifact
        return map_layers(artifact) if artifact.graph is not None or artifact.net is not None else None

    def layer_errors(self, inputs: Mapping[str, np.ndarray]) -> dict[str, tuple[float, ...]]:
        """The sums of errors of every layer whose values a run reports."""
        if self.layers is None:
            return {}
        given = {name: np.asarray(inputs[name]) for name in self.layers.level.inputs}
        reference = self.layers.level.run(given)
        whole = run_loaded(self.execution, inputs)
        found = {}
        for group in self.layers.groups:
            values = self.layers.values(whole, group)
            if values:
                found[group.name] = sums_of_errors(
                    np.concatenate([np.ravel(array) for array in values.values()]),
                    np.concatenate([np.ravel(reference[name]) for name in values]),
                )
        return found


@lru_cache(maxsize=2)
def _loaded(job: EvaluationJob) -> _Loaded:
    """The model and the data set in this process, opened once."""
    return _Loaded(job)


def open_dataset(job: EvaluationJob) -> Dataset:
    """The data set as the model of a job sees it.

    Raises:
        OpenaneError: the model cannot be compiled or the data set cannot be read.
    """
    return _loaded(job).dataset


def run_piece(job: EvaluationJob, number: int) -> dict[str, object]:
    """Runs the samples of one piece; plain values out, so that it can come from anywhere.

    Raises:
        OpenaneError: a sample does not fit; names it.
    """
    loaded = _loaded(job)
    with loaded.turn:
        return asdict(_run_piece(loaded, job, number))


def _run_piece(loaded: _Loaded, job: EvaluationJob, number: int) -> Piece:
    metric, dataset = METRICS[job.metric], loaded.dataset
    first = number * PIECE_SAMPLES
    scores: list[float] = []
    seconds = 0.0
    errors: dict[str, tuple[float, ...]] = {}
    layers: dict[str, tuple[float, ...]] = {}
    for index in range(first, min(first + PIECE_SAMPLES, len(dataset))):
        sample = dataset[index]
        start = time.perf_counter()
        outputs = loaded.execution.run(sample.inputs).outputs
        seconds += time.perf_counter() - start
        scores.append(_score(metric, outputs, sample, f"{job.dataset}: sample {index}"))
        for name, expected in sample.expected.items():
            if name in outputs:
                errors[name] = added(errors.get(name, NO_ERROR), sums_of_errors(outputs[name], expected))
        if index - first < job.layer_samples:
            for name, sums in loaded.layer_errors(sample.inputs).items():
                layers[name] = added(layers.get(name, NO_ERROR), sums)
    return Piece(number, len(scores), exact_sum(scores), seconds, errors, layers)


def _score(
    metric: Callable[[Mapping[str, np.ndarray], Sample], float],
    outputs: Mapping[str, np.ndarray],
    sample: Sample,
    where: str,
) -> float:
    try:
        check_expected(outputs, sample)
        with np.errstate(all="ignore"):  # infinities and NaNs of a model are results like any other
            return metric(outputs, sample)
    except OpenaneError as error:
        raise error.at(where) from error


def evaluate(
    job: EvaluationJob,
    journal: Journal,
    spread: Callable[[EvaluationJob, Sequence[int]], Iterable[dict[str, object]]] | None = None,
) -> Iterator[tuple[int, int]]:
    """Runs what is left of an evaluation; yields (pieces done, pieces in all) as it goes on.

    Args:
        job: what to evaluate.
        journal: where finished pieces go.
        spread: runs pieces somewhere and yields their results in any order; in this process by default.

    Raises:
        OpenaneError: the model, the data set or a sample does not fit, or what runs the pieces went away.
    """
    samples = len(open_dataset(job))
    if not samples:
        raise InputError("the data set holds no samples", where=job.dataset)
    count = -(-samples // PIECE_SAMPLES)
    left = [number for number in range(count) if number not in journal.pieces]
    results = spread(job, left) if spread else (run_piece(job, number) for number in left)
    yield count - len(left), count
    for result in results:
        journal.add(Piece(**result))  # type: ignore[arg-type]
        yield len(journal.pieces), count


def summarize(job: EvaluationJob, pieces: Iterable[Piece]) -> Evaluation:
    """The totals; the same for any order of the pieces."""
    ordered = sorted(pieces, key=lambda piece: piece.number)
    samples = sum(piece.samples for piece in ordered)
    total = exact_sum(piece.score for piece in ordered)
    return Evaluation(
        job.metric,
        total / samples if samples else 0.0,
        samples,
        exact_sum(piece.seconds for piece in ordered),
        _statistics([piece.errors for piece in ordered]),
        _statistics([piece.layers for piece in ordered]),
    )


def _statistics(pieces: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, dict[str, float]]:
    """By name, in the order of first appearance."""
    names = dict.fromkeys(name for sums in pieces for name in sums)
    return {name: statistics([sums[name] for sums in pieces if name in sums]) for name in names}
