"""Why a layer is off: one small rule a cause, each of which looks at the layer's values and says what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass

import numpy as np

from openane.analysis.isolated_run import IsolatedLayer
from openane.analysis.layers import Group
from openane.analysis.mac_loss import Activations, MacLoss, predict_losses
from openane.analysis.measure import Error, half, range_of
from openane.analysis.stages import Steps
from openane.graph import Operation
from openane.graph import ops as g
from openane.numerics.limits import HALF_LARGEST, HALF_SMALLEST, HALF_SMALLEST_NORMAL, SUM_LIMIT, SUM_STEP

CANCELLATION = 64.0
"""Terms this many times larger than their sum cost six of the eleven bits of fp16."""
_EXACT_INTEGERS = 2048
_NOTICEABLE_SHARE = 0.1


@dataclass(frozen=True, eq=False, slots=True)
class LayerEvidence:
    """All that is known about one layer.

    Attributes:
        level, group: the layer and where it is.
        operands, results: of the reference.
        engine: results of the layer alone, fed with the reference's operands; None when it did not run.
        ideal_error, engine_error: isolated, where known.
        alone: facts about its program.
    """

    level: Steps
    group: Group
    operands: Mapping[str, np.ndarray]
    results: Mapping[str, np.ndarray]
    engine: Mapping[str, np.ndarray] | None
    ideal_error: Error
    engine_error: Error | None
    alone: IsolatedLayer | None

    @property
    def floats(self) -> list[np.ndarray]:
        """The operands with a fraction."""
        return [array for array in self.operands.values() if array.dtype.kind == "f"]

    @property
    def beyond_rounding(self) -> bool:
        """Whether the engine is clearly further off than fp16 alone explains."""
        if self.engine_error is None:
            return False
        return self.engine_error.max_ulp > 2 * self.ideal_error.max_ulp + 1

    @property
    def odd(self) -> bool:
        """Whether values are not finite that should be."""
        return bool(self.ideal_error.not_finite or (self.engine_error is not None and self.engine_error.not_finite))


Rule = Callable[[LayerEvidence], Iterator[str]]


def causes(evidence: LayerEvidence) -> tuple[str, ...]:
    """What makes a layer inexact, most certain first; one clause each."""
    return tuple(text for rule in _RULES for text in rule(evidence))


def _overflow(e: LayerEvidence) -> Iterator[str]:
    peak = range_of(list(e.results.values())).peak
    if peak > HALF_LARGEST:
        yield f"overflow: results reach {peak:.4g}, fp16 ends at {HALF_LARGEST:.0f}"


def _operand_overflow(e: LayerEvidence) -> Iterator[str]:
    peak = range_of(e.floats).peak
    if peak > HALF_LARGEST:
        yield f"overflow: operands reach {peak:.4g}, fp16 ends at {HALF_LARGEST:.0f}"


def _inner_overflow(e: LayerEvidence) -> Iterator[str]:
    """A value between two steps of the layer."""
    if len(e.group.steps) < 2:
        return
    values = dict(e.operands)
    e.level.run_steps(e.group.steps, values)
    inner = {name: v for name, v in values.items() if name not in e.operands and name not in e.results}
    for name, array in inner.items():
        peak = range_of([array]).peak if array.dtype.kind == "f" else 0.0
        if peak > HALF_LARGEST:
            yield f"overflow inside: {name!r} reaches {peak:.4g}, fp16 ends at {HALF_LARGEST:.0f}"


def _mac_limit(e: LayerEvidence) -> Iterator[str]:
    if e.alone is None or not e.alone.macs or e.engine is None:
        return
    for name, wanted in e.results.items():
        found = e.engine[name].reshape(wanted.shape)
        lost = np.isfinite(wanted) & ~np.isfinite(found) & (np.abs(wanted) <= HALF_LARGEST)
        if lost.any():
            yield (
                f"saturation: {int(lost.sum())} sums of the MAC engine reach {SUM_LIMIT:.0f}, from where on they leave "
                f"it as infinity (results here reach {float(np.abs(wanted[lost]).max()):.4g})"
            )


def _weights(e: LayerEvidence) -> Iterator[str]:
    for step in e.group.steps:
        for name, array in e.level.weights(step).items():
            found = range_of([array])
            if found.peak > HALF_LARGEST:
                yield f"weight {name!r} reaches {found.peak:.4g}, fp16 ends at {HALF_LARGEST:.0f}"
            lost = int(np.count_nonzero((array != 0) & (half(array) == 0)))
            if lost:
                what = "vanishes" if array.size == 1 else f": {lost} of {array.size} values vanish"
                yield f"constant {name!r} {what} in fp16 (down to {found.smallest:.3g}, fp16 to {HALF_SMALLEST:.2g})"


def _epsilon(e: LayerEvidence) -> Iterator[str]:
    for step in e.group.steps:
        if not is_dataclass(step.settings):
            continue
        for each in fields(step.settings):
            value = getattr(step.settings, each.name)
            if "epsilon" in each.name and isinstance(value, float) and 0 < value < HALF_SMALLEST_NORMAL:
                gone = "vanishes" if value < HALF_SMALLEST / 2 else "is below the normal numbers"
                yield f"epsilon {value:.3g} of {step.name!r} {gone} in fp16"


def _tiny(e: LayerEvidence) -> Iterator[str]:
    values = np.concatenate([np.abs(array).reshape(-1) for array in e.results.values()] or [np.zeros(1)])
    share = float(np.mean((values > 0) & (values < HALF_SMALLEST_NORMAL))) if values.size else 0.0
    if share > _NOTICEABLE_SHARE:
        yield f"underflow: {share:.0%} of the results are below fp16's normal numbers ({HALF_SMALLEST_NORMAL:.2g})"


def _integers(e: LayerEvidence) -> Iterator[str]:
    for name, array in {**e.operands, **e.results}.items():
        if array.dtype.kind in "iu" and array.size and int(np.abs(array.astype(np.int64)).max()) > _EXACT_INTEGERS:
            yield f"{name!r} holds integers above {_EXACT_INTEGERS}, which fp16 does not hold exactly"


def _table(e: LayerEvidence) -> Iterator[str]:
    if e.alone is None or not e.alone.has_table or e.engine_error is None or e.odd:
        return
    if e.engine_error.max_ulp > e.ideal_error.max_ulp + 0.5:
        yield (
            f"table: the lookup table interpolates, {e.engine_error.max_ulp:.1f} ulp at most, where exact arithmetic "
            f"in fp16 is {e.ideal_error.max_ulp:.1f} off"
        )


def _cancellation(e: LayerEvidence) -> Iterator[str]:
    condition = _condition(e)
    if condition > CANCELLATION:
        yield f"cancellation: the terms are {condition:.0f} times larger than their sum"


def _sum(e: LayerEvidence) -> Iterator[str]:
    if e.alone is None or not e.alone.macs or not e.beyond_rounding or e.odd:
        return
    loss = _mac_loss(e.alone, e.operands)
    if loss is not None and loss.error > loss.ideal_error:
        yield (
            f"MAC array: {loss.vanishing:.1%} of the products vanish, the others are rounded to {SUM_STEP:.2g}; sums "
            f"are off by {loss.error:.2g} of their root mean square, in ideal fp16 by {loss.ideal_error:.2g}. "
            f"{loss.remedy}"
        )
    elif not e.alone.has_table:
        yield "fp16 sum: more than rounding the result explains; partial sums or parts of the layer are kept in fp16"


def _mac_loss(alone: IsolatedLayer, operands: Mapping[str, np.ndarray]) -> MacLoss | None:
    """The worst loss that is predicted for a layer on its operands; None for a rescaled one."""
    if alone.execution is None or alone.execution.artifact.options.rescale:
        return None
    artifact = alone.execution.artifact
    inputs = {name: np.asarray(operands[name]).reshape(kind.shape) for name, kind in artifact.plan.inputs.items()}
    return next(iter(predict_losses(artifact, inputs, Activations.GIVEN)), None)


def _rounding(e: LayerEvidence) -> Iterator[str]:
    if not e.odd and not e.beyond_rounding:
        yield f"rounding of operands, weights and results to fp16 ({e.ideal_error.max_ulp:.1f} ulp)"


_RULES: Sequence[Rule] = (
    _overflow,
    _operand_overflow,
    _inner_overflow,
    _mac_limit,
    _weights,
    _epsilon,
    _integers,
    _tiny,
    _table,
    _cancellation,
    _sum,
    _rounding,
)


def _condition(e: LayerEvidence) -> float:
    """How much larger the terms of a layer's first, linear step are than their sum: the median over the results."""
    step = e.group.steps[0]
    operation = step.settings
    if not isinstance(operation, Operation) or not operation.is_linear:
        return 0.0
    operands = [_single(e, name) for name in step.reads]
    sizes = [None if each is None or each.dtype.kind != "f" else np.abs(each) for each in operands]
    if any(size is None and each is not None for size, each in zip(sizes, operands, strict=True)):
        return 0.0
    with np.errstate(all="ignore"):
        total = np.abs(e.level.compute(step, operands, halves=False)[0])
        if isinstance(operation, g.Sub):
            terms = np.asarray(sizes[0]) + np.asarray(sizes[1])
        else:
            terms = e.level.compute(step, sizes, halves=False)[0]
    kept = (total > 0) & np.isfinite(total) & np.isfinite(terms)
    return float(np.median(terms[kept] / total[kept])) if kept.any() else 0.0


def _single(e: LayerEvidence, name: str) -> np.ndarray | None:
    if not name:
        return None
    array = np.asarray(e.operands[name] if name in e.operands else e.level.constants[name])
    return array.astype(np.float32) if array.dtype.kind == "f" else array
