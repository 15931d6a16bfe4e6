"""What the engine's arithmetic should make of a layer, computed without the simulator and without the program.

The units of the layer are evaluated by numpy in fp16 steps; lookup tables interpolate as the engine does, and the sums
of the MAC array get random errors as large as `mac_loss` predicts from the definition of its accumulator. The distance
to the same units without any rounding is how far off a correct program may be; a wrong lowering does not enlarge it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from openane.analysis.mac_loss import Activations, loss_of_unit
from openane.analysis.measure import Error, half, measure, root_mean_square
from openane.analysis.verdicts import is_explained
from openane.artifact.plan import Artifact, EngineStep
from openane.backend.functions.accuracy import evaluate
from openane.backend.functions.recipes import find_recipe
from openane.backend.ir.fused import Fused
from openane.backend.passes.rescaling import exponents
from openane.backend.pipeline import fused
from openane.net import Net
from openane.net.net import Unit, UnitParams
from openane.net.units import NeuronParams
from openane.numerics.fp16 import saturated, to_fp16
from openane.numerics.limits import HALF_LARGEST
from openane.targets import get

SEED = 0x584550
"""Of the errors of sums; the same in every call."""


def expected_error(artifact: Artifact, operands: Mapping[str, np.ndarray]) -> Error | None:
    """The error that the arithmetic of a compiled layer makes in its outputs, all taken as one.

    Args:
        artifact: compiled, of one program; None is returned for every other plan.
        operands: one array per input of the plan.
    """
    (first, *others) = artifact.plan.steps
    if others or not isinstance(first, EngineStep) or first.net is None:
        return None
    net = fused(first.net, get(artifact.target).spec)
    inputs = {name: half(np.asarray(operands[value])) for name, value in first.inputs.items()}
    calibration = artifact.options.calibration if artifact.options.rescale else None
    rounded = _run(net, inputs, None if calibration is None else {n: calibration[v] for n, v in first.inputs.items()})
    with np.errstate(all="ignore"):
        exact = net.evaluate(inputs)
    pairs = [(rounded[source], exact[name]) for name, source in net.outputs.items()]
    kept = [np.isfinite(a) & np.isfinite(b) for a, b in pairs]
    return measure(
        [a[both] for (a, _), both in zip(pairs, kept, strict=True)],
        [b[both] for (_, b), both in zip(pairs, kept, strict=True)],
    )


def _run(
    net: Net, inputs: Mapping[str, np.ndarray], calibration: Mapping[str, np.ndarray] | None
) -> dict[str, np.ndarray]:
    """Every value of a network, rounded as the engine rounds."""
    random = np.random.default_rng(SEED)
    chosen = None if calibration is None else exponents(net, calibration)
    values = {name: inputs[name].reshape(shape.ndchw).astype(np.float32) for name, shape in net.inputs.items()}
    with np.errstate(all="ignore"):
        for unit in net.units:
            bottoms = [values[name] for name in unit.bottoms]
            sums, function = _parts(unit.params)
            result = sums.evaluate(bottoms)
            exponent = chosen.of(unit.name) if chosen is not None else 0
            noise = _noise(unit, bottoms, net, exponent)
            if noise:
                size = noise * root_mean_square(result[np.isfinite(result)].astype(np.float64))
                result = result + random.normal(0.0, size, result.shape).astype(np.float32)
            if function is not None:
                result = _through(function, half(result))
            values[unit.name] = half(result)
    return values


def _parts(params: UnitParams) -> tuple[UnitParams, NeuronParams | None]:
    """What a unit computes before its function, and the function."""
    if isinstance(params, Fused):
        return replace(params, function=None), params.function
    if isinstance(params, NeuronParams):
        return _Same(), params
    return params, None


class _Same(UnitParams):
    """Its bottom."""

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        return bottoms[0]


def _noise(unit: Unit, bottoms: Sequence[np.ndarray], net: Net, exponent: int) -> float:
    """The predicted error of the unit's sums, as a share of their root mean square."""
    loss = loss_of_unit(unit, bottoms, [net.shapes[name] for name in unit.bottoms], exponent, Activations.GIVEN)
    if loss is None:
        return 0.0
    return loss.rescaled_error if exponent else loss.error


def _through(function: NeuronParams, x: np.ndarray) -> np.ndarray:
    """A function as the engine interpolates it; exactly, where it has no table."""
    steps = find_recipe(function)
    if steps is None:
        return function.evaluate([x])
    return evaluate(steps, to_fp16(saturated(x))).astype(np.float32)


def explains(
    artifact: Artifact,
    operands: Mapping[str, np.ndarray],
    runs: tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray], Mapping[str, np.ndarray]],
) -> bool:
    """Whether the arithmetic of a layer explains what it computes on the reference's operands.

    Values beyond fp16, and those that are not finite in one of the runs, are left out: they have causes of their own.

    Args:
        artifact: the layer, compiled alone.
        operands: of the layer, from the reference.
        runs: the results of the reference, of ideal fp16 and of the engine, by name.
    """
    flat = [[np.asarray(run[name], np.float64).reshape(-1) for name in runs[0]] for run in runs]
    wanted, ideal, engine = (np.concatenate(arrays) if arrays else np.zeros(0) for arrays in flat)
    kept = np.isfinite(wanted) & np.isfinite(ideal) & np.isfinite(engine) & (np.abs(wanted) <= HALF_LARGEST)
    wanted, ideal, engine = wanted[kept], ideal[kept], engine[kept]
    peak = float(np.abs(wanted).max(initial=0.0))
    found, known = measure([engine], [wanted]), measure([ideal], [wanted])
    if is_explained(found, [known], peak):
        return True
    expected = expected_error(artifact, operands)
    return expected is not None and is_explained(found, [known, expected], peak)
