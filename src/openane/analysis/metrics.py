"""What an evaluation averages: a number for the outputs of one sample; and sums of errors that can be added up."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from openane.analysis.choices import METRIC_NAMES
from openane.analysis.dataset import Sample
from openane.core.errors import FormatError, InputError

Metric = Callable[[Mapping[str, np.ndarray], Sample], float]

NO_ERROR = (0.0, 0.0, 0.0, 0.0, 0.0)
"""Sums of nothing: squared errors, squares expected, largest error, elements, elements that are not finite alike."""


def _top(count: int) -> Metric:
    def metric(outputs: Mapping[str, np.ndarray], sample: Sample) -> float:
        if sample.label is None:
            raise InputError(f"top{count} needs labels", hint='Name an array "labels", or folders by class number.')
        name, scores = next(iter(outputs.items()))
        if not 0 <= sample.label < scores.size:
            raise InputError(
                "the label is not a class of the model",
                where=f"output {name!r}",
                value=sample.label,
                limit=f"0 to {scores.size - 1}",
            )
        best = np.argsort(-scores.reshape(-1).astype(np.float64), kind="stable")[:count]
        return float(sample.label in best)

    return metric


def _cosine(outputs: Mapping[str, np.ndarray], sample: Sample) -> float:
    found, expected = _paired(outputs, sample)
    scale = math.sqrt(float(found @ found) * float(expected @ expected))
    return float(found @ expected) / scale if scale else float(not found.any() and not expected.any())


def _rmse(outputs: Mapping[str, np.ndarray], sample: Sample) -> float:
    found, expected = _paired(outputs, sample)
    return math.sqrt(float(np.mean((found - expected) ** 2))) if found.size else 0.0


def _max_error(outputs: Mapping[str, np.ndarray], sample: Sample) -> float:
    found, expected = _paired(outputs, sample)
    return float(np.abs(found - expected).max(initial=0.0))


def _paired(outputs: Mapping[str, np.ndarray], sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    common = [name for name in outputs if name in sample.expected]
    if not common:
        raise InputError(
            "the metric needs expected outputs",
            value=", ".join(sample.expected) or "none",
            limit=", ".join(outputs),
            hint='Name their arrays "out:NAME".',
        )
    flat = [
        np.concatenate([np.ravel(each[name]).astype(np.float64) for name in common])
        for each in (outputs, sample.expected)
    ]
    return flat[0], flat[1]


METRICS: Mapping[str, Metric] = MappingProxyType(
    dict(zip(METRIC_NAMES, (_top(1), _top(5), _cosine, _rmse, _max_error), strict=True))
)


def check_expected(outputs: Mapping[str, np.ndarray], sample: Sample) -> None:
    """Whether what a sample expects fits the outputs.

    Raises:
        FormatError: another number of elements.
    """
    for name, expected in sample.expected.items():
        if name in outputs and outputs[name].size != expected.size:
            raise FormatError(
                f"what is expected of {name!r} has another size", value=expected.shape, limit=outputs[name].shape
            )


def sums_of_errors(found: np.ndarray, expected: np.ndarray) -> tuple[float, ...]:
    """The sums of NO_ERROR for an array against what it should be; both have the same number of elements."""
    a, b = (np.ravel(array).astype(np.float64) for array in (found, expected))
    both = np.isfinite(a) & np.isfinite(b)
    odd = np.count_nonzero(~both & ~((a == b) | (np.isnan(a) & np.isnan(b))))
    wanted = b[both]
    gap = a[both] - wanted
    return float(gap @ gap), float(wanted @ wanted), float(np.abs(gap).max(initial=0.0)), float(a.size), float(odd)


def added(first: Sequence[float], second: Sequence[float]) -> tuple[float, ...]:
    """Both sums as one."""
    squares, energy, largest, elements, odd = zip(first, second, strict=True)
    return sum(squares), sum(energy), max(largest), sum(elements), sum(odd)


def statistics(rows: Iterable[Sequence[float]]) -> dict[str, float]:
    """Root mean square, relative root mean square and largest error, and how many elements are not finite alike."""
    squares, energy, largest, elements, odd = (list(column) for column in zip(*rows, strict=True))
    total, size = exact_sum(squares), exact_sum(elements) - exact_sum(odd)
    return {
        "rms": math.sqrt(total / size) if size else 0.0,
        "relative_rms": math.sqrt(total / exact_sum(energy)) if exact_sum(energy) else math.inf if total else 0.0,
        "largest": max(largest),
        "not_finite": exact_sum(odd),
    }


def exact_sum(values: Iterable[float]) -> float:
    """The same for any order of the values, except where they have no sum in range."""
    values = list(values)
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # beyond the largest number; infinities of both signs
        return sum(values)
