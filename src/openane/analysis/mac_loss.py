"""What the MAC array will lose of each layer: predicted from sampled sums, before anything runs on an engine.

For some random results of a layer all products are formed, rounded to the step of the accumulator and dropped as the
engine does it (arithmetic.md#mac), and the sum is compared with the exact one. The activations come from the model in
single precision on given or made-up inputs, or they are assumed to be normal with variance 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from openane.analysis.sampled_sums import Array, SampledSums, sample
from openane.artifact.plan import Artifact, EngineStep
from openane.backend.passes.rescaling import exponents
from openane.backend.pipeline import fused
from openane.backend.sums import Sums, sums_of
from openane.compiler.calibration import Calibration
from openane.core.report import Column, Report, numbers, texts
from openane.net.net import Net, TensorShape, Unit
from openane.net.units import MatMulParams
from openane.numerics.fp16 import rounded, saturated
from openane.numerics.limits import SUM_LIMIT
from openane.numerics.products import rounded_products, rounded_to_step
from openane.targets import get


class Activations(Enum):
    """Where the activations of a prediction come from."""

    GIVEN = "given inputs"
    MADE_UP = "generated inputs"
    ASSUMED = "assumed: variance 1"


@dataclass(frozen=True, slots=True)
class MacLoss:
    """The prediction for the sums of one unit.

    Attributes:
        layer: of the user's model.
        operation: "Conv", "Linear", "ColumnProduct" or "MatMul".
        products: of one sum.
        vanishing: share of the products other than 0 that the accumulator takes as 0.
        headroom: how many times the largest sum of magnitudes fits into the range of the accumulator.
        error: root mean square error of the sums against exact ones of the same fp16 operands, relative to their root
            mean square.
        ideal_error: the same of ideal fp16: exact sums of fp16 operands, rounded to fp16, against unrounded operands.
        doublings: exponent of the power of two that rescaling multiplies the kernel by.
        rescaled_error: `error` after rescaling.
        activations: what the prediction assumes.
        remedy: what to do; empty where the array loses less than ideal fp16.
    """

    layer: str
    operation: str
    products: int
    vanishing: float
    headroom: float
    error: float
    ideal_error: float
    doublings: int
    rescaled_error: float
    activations: Activations
    remedy: str

    @property
    def expected_error(self) -> float:
        """Of the results in total: what ideal fp16 and the array lose is independent."""
        return math.hypot(self.error, self.ideal_error)


@dataclass(frozen=True, slots=True)
class Gain:
    """What rescaling saves in a model, as predicted.

    Attributes:
        kernels: convolutions and products by a constant.
        rescaled: of them, multiplied by a power of two.
        worst_error, worst_rescaled_error: of the layer of which the MAC array loses most.
        median_error, median_rescaled_error: of all layers, run-time products included.
        activations: what the prediction assumes.
    """

    kernels: int
    rescaled: int
    worst_error: float
    worst_rescaled_error: float
    median_error: float
    median_rescaled_error: float
    activations: str

    def __str__(self) -> str:
        return (
            f"rescaled {self.rescaled} of {self.kernels} kernels; predicted error of the MAC array: worst layer "
            f"{self.worst_error:.2g} -> {self.worst_rescaled_error:.2g}, median layer {self.median_error:.2g} -> "
            f"{self.median_rescaled_error:.2g} ({self.activations})"
        )


def gain_of(artifact: Artifact, inputs: Mapping[str, np.ndarray], activations: Activations) -> Gain:
    """What rescaling saves; arguments and errors as of `predict_losses`."""
    losses = predict_losses(artifact, inputs, activations)
    before = [loss.error for loss in losses] or [0.0]
    after = [loss.rescaled_error for loss in losses] or [0.0]
    return Gain(
        kernels=sum(loss.operation != MatMulParams.plist_type for loss in losses),
        rescaled=sum(loss.doublings > 0 and loss.operation != MatMulParams.plist_type for loss in losses),
        worst_error=max(before),
        worst_rescaled_error=max(after),
        median_error=float(np.median(before)),
        median_rescaled_error=float(np.median(after)),
        activations=activations.value,
    )


def predict_losses(
    artifact: Artifact, inputs: Mapping[str, np.ndarray], activations: Activations
) -> tuple[MacLoss, ...]:
    """The losses of every convolution and product on the engine, the worst one first.

    Args:
        artifact: a compiled model; its networks are needed, without them nothing is predicted.
        inputs: one array per input of the model; ignored when activations are assumed.
        activations: what the inputs are. Only given ones are calibration data.

    Raises:
        InputError: an input is missing, or does not fit.
    """
    found: list[MacLoss] = []
    values: Callable[[str], np.ndarray] = inputs.__getitem__
    known = set(inputs)
    if artifact.graph is not None:
        part = artifact.graph.repeatable_part
        known = set(part.types)
        given = {name: inputs[name] for name in part.inputs if name in inputs}
        values = Calibration(part, {} if activations is Activations.ASSUMED else given)
    for step in artifact.plan.steps:
        if isinstance(step, EngineStep) and step.net is not None:
            net = fused(step.net, get(artifact.target).spec)
            chosen = activations if known >= net.inputs.keys() else Activations.ASSUMED
            arrays = {} if chosen is Activations.ASSUMED else {name: values(name) for name in net.inputs}
            found += losses_of_net(net, arrays, chosen)
    return tuple(sorted(found, key=lambda loss: -loss.error))


def losses_of_net(net: Net, inputs: Mapping[str, np.ndarray], activations: Activations) -> Iterator[MacLoss]:
    """The losses of a network after fusion, in its order; arguments as in `predict_losses`."""
    chosen = exponents(net, inputs if activations is Activations.GIVEN else {})
    for unit, bottoms in _operands(net, inputs, activations):
        loss = loss_of_unit(
            unit, bottoms, [net.shapes[name] for name in unit.bottoms], chosen.of(unit.name), activations
        )
        if loss is not None:
            yield loss


def loss_of_unit(
    unit: Unit,
    bottoms: Sequence[np.ndarray] | None,
    shapes: Sequence[TensorShape],
    exponent: int,
    activations: Activations,
) -> MacLoss | None:
    """The loss of one unit; None when it adds no products, or when they are all zero or not finite.

    Args:
        unit: of a network after fusion.
        bottoms: (N, D, C, H, W) arrays that it reads; None for normal values of variance 1.
        shapes: of the bottoms.
        exponent: of the power of two that rescaling multiplies its kernel by.
        activations: what the bottoms come from.
    """
    sums = sums_of(unit.params)
    if sums is None:
        return None
    return _loss(unit, sums, sample(sums, bottoms, shapes), exponent, activations)


def _operands(
    net: Net, inputs: Mapping[str, np.ndarray], activations: Activations
) -> Iterator[tuple[Unit, Sequence[np.ndarray] | None]]:
    if activations is Activations.ASSUMED:
        yield from ((unit, None) for unit in net.units)
        return
    single = {name: a.astype(np.float32) if a.dtype.kind == "f" else a for name, a in inputs.items()}
    yield from ((unit, bottoms) for unit, bottoms, _ in net.trace(single))


def _loss(unit: Unit, sums: Sums, sampled: SampledSums, exponent: int, activations: Activations) -> MacLoss | None:
    x, weight, bias = (rounded(saturated(each)) for each in (sampled.x, sampled.weight, sampled.bias))
    if not all(np.isfinite(each).all() for each in (x, weight, bias)):
        return None
    products = x * weight
    wanted = (sampled.x * sampled.weight).sum(1) + sampled.bias
    exact = products.sum(1) + bias
    if not np.any(exact) or not np.any(wanted):
        return None
    taken = rounded_products(x, weight)
    larger = math.ldexp(1.0, exponent)
    scaled_weight = rounded(saturated(sampled.weight * larger))
    scaled = (rounded_products(x, scaled_weight).sum(1) + rounded_to_step(rounded(sampled.bias * larger))) / larger
    there = products != 0
    error = _relative(taken.sum(1) + rounded_to_step(bias), exact)
    ideal_error = _relative(rounded(saturated(exact)), wanted)
    rescaled_error = _relative(scaled, (x * scaled_weight).sum(1) / larger + bias) if exponent else error
    remedy = _remedy(sums, error, ideal_error, exponent, rescaled_error, activations) if error > ideal_error else ""
    return MacLoss(
        layer=unit.origin.layers[0] if unit.origin.layers else unit.name,
        operation=sums.main.plist_type,
        products=x.shape[1],
        vanishing=float((there & (taken == 0)).sum() / max(int(there.sum()), 1)),
        headroom=SUM_LIMIT / float((np.abs(products).sum(1) + np.abs(bias)).max()),
        error=error,
        ideal_error=ideal_error,
        doublings=exponent,
        rescaled_error=rescaled_error,
        activations=activations,
        remedy=remedy,
    )


def _relative(found: Array, wanted: Array) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def _remedy(
    sums: Sums, error: float, ideal_error: float, exponent: int, rescaled_error: float, activations: Activations
) -> str:
    if exponent:
        doubled = "one operand" if sums.kernel is None else "its kernel"
        return f"Compile with --rescale: {doubled} times 2^{exponent} leaves {rescaled_error:.2g}."
    if activations is not Activations.GIVEN:
        return "Compile with --rescale and typical inputs (--calibrate): no bound on its sums holds for every input."
    if sums.kernel is None:
        return "Scale one operand up by a power of two in the model, and the result down; or keep it on the host."
    return "Its sums need the whole range of the accumulator; keep it on the host (--keep-on-host)."


def report(losses: Sequence[MacLoss]) -> Report:
    """One row per unit."""
    rows = [
        (
            loss.layer,
            loss.operation,
            loss.products,
            loss.vanishing,
            loss.headroom,
            loss.error,
            loss.ideal_error,
            loss.expected_error,
            loss.doublings,
            loss.rescaled_error,
            loss.activations.value,
            loss.remedy,
        )
        for loss in losses
    ]
    columns = (
        *texts("layer", "operation"),
        *numbers("products"),
        *numbers("vanishing", form="{:.1%}"),
        *numbers("headroom", form="{:.3g}"),
        *numbers("error", "ideal_error", "expected_error", form="{:.2g}"),
        *numbers("doublings"),
        *numbers("rescaled_error", form="{:.2g}"),
        Column("activations", in_tables=False),
        *texts("remedy"),
    )
    about = f" ({losses[0].activations.value})" if losses else ""
    return Report(f"what the MAC array loses, worst first{about}", columns, rows)
