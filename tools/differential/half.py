"""What the engine should give, and how far it may be off: its nets in half precision, and the same with noise.

The expectation rounds every unit's result to half precision, adds up products as the accumulator does
(`differential.accumulator`), and evaluates functions of one element by the very tables that the back end uses. The
tolerance is measured, not set: the net runs a few times more with every inexact result off by up to a few units in the
last place, and the spread of the outputs is what rounding can do. Movements of elements have no noise, so a net of
those alone must agree to the bit.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from differential.accumulator import accumulated
from differential.sketch import EXACT
from openane.artifact.plan import EngineStep, HostStep, Plan
from openane.backend.functions.accuracy import evaluate as evaluate_recipe
from openane.backend.functions.recipes import recipe
from openane.core.errors import OpenaneError
from openane.graph import Graph, TensorType, ops
from openane.net import Net, Unit, UnitParams
from openane.net import units as u

ULP = 2.0**-10
"""Distance of neighboring half-precision numbers, relative to the smaller power of two."""
SMALLEST_NORMAL = 2.0**-14
HOST_FACTOR = 8.0
"""How many times the error of the reference in single precision the host's library may be off."""
HOST_ROUNDING = 2.0**-16
"""The least error of what is not exact there, relative to the largest value."""
SUM_ROUNDING = 2.0**-24
"""What a term of a long sum may add to that, relative: onnxruntime adds up one after another in single precision."""
RESAMPLING = 1e-4
"""What single-precision positions change in resampled pictures, relative to the largest value."""
RUNS = 4
SECOND_LOOK_RUNS = 32
"""Four samples of an element's spread are now and then all small by chance; so many are not."""
FACTOR = 4.0
"""How many times the spread counts as agreement."""
_CHOICES = (ops.ArgMax, ops.ArgMin, ops.TopK, ops.Hardmax)
LIMIT = 30_000.0
"""Sums of products from 32768 on leave the engine as infinity; nothing near that is judged."""


@dataclass(frozen=True)
class Noise:
    """How inexact a unit is, beyond the one rounding of its result.

    Attributes:
        result: relative error of the result, in units in the last place.
        operand: relative error of every operand element, in the same units: intermediate results are rounded.
        shift: error common to all operand elements, in units in the last place of the largest.
        floor: absolute error of the result.
    """

    result: float = 0.0
    operand: float = 0.0
    shift: float = 0.0
    floor: float = 0.0


_ROUNDED = Noise(result=1.0)
_PRODUCTS = Noise(result=1.0, floor=SMALLEST_NORMAL)
#: By unit; a unit that is not named moves or chooses elements and is exact.
NOISE: Mapping[type[UnitParams], Noise] = MappingProxyType(
    {
        u.ConvParams: _PRODUCTS,
        u.LinearParams: _PRODUCTS,
        u.MatMulParams: _PRODUCTS,
        u.GOCParams: _ROUNDED,
        u.PoolingParams: _ROUNDED,
        u.ReductionParams: Noise(result=1.0, operand=1.0, floor=2.0**-24),
        u.SoftmaxParams: Noise(result=4.0, operand=1.0, shift=1.0, floor=2.0**-20),
        u.LayerNormParams: Noise(result=4.0, operand=1.0, shift=1.0, floor=2.0**-20),
    }
)
_KINDS = u.ElementWiseKind
#: By kind of element by element unit; a kind that is not named compares or chooses.
ELEMENTWISE: Mapping[u.ElementWiseKind, Noise] = MappingProxyType(
    {
        **dict.fromkeys((_KINDS.ADD, _KINDS.SUB, _KINDS.MULT, _KINDS.SUM_SQUARE), _ROUNDED),
        _KINDS.DIV: Noise(result=4.0),
        _KINDS.POW: Noise(result=16.0, floor=2.0**-16),
    }
)
#: Functions that give a number of half precision back as it is, its negative, an integer, or one of two bounds.
EXACT_NEURONS = frozenset(
    {
        *(u.NeuronKind.IDENTITY, u.NeuronKind.RELU, u.NeuronKind.ABS, u.NeuronKind.NEGATE, u.NeuronKind.SIGN),
        *(u.NeuronKind.FLOOR, u.NeuronKind.CEIL, u.NeuronKind.ROUND, u.NeuronKind.TRUNC, u.NeuronKind.CLAMP),
        *(u.NeuronKind.THRESHOLDED_RELU,),
    }
)


def noise_of(params: UnitParams) -> Noise:
    """The noise of a unit."""
    if isinstance(params, u.ElementWiseParams):
        noise = ELEMENTWISE.get(params.kind, Noise())
        return _ROUNDED if params.scale != 1.0 and noise == Noise() else noise
    if isinstance(params, u.NeuronParams):
        return Noise() if params.kind in EXACT_NEURONS else _ROUNDED
    if isinstance(params, u.PoolingParams) and params.kind is u.PoolingKind.MAX:
        return Noise()
    if isinstance(params, u.ReductionParams) and params.kind in (u.ReductionKind.MAX, u.ReductionKind.MIN):
        return Noise()
    return NOISE.get(type(params), Noise())


@dataclass(frozen=True)
class Expectation:
    """What a compiled network should give.

    Attributes:
        outputs: arrays in half precision by name, as float64.
        tolerances: for every element, by name; 0 where the bits must agree.
        tables: how far tables of functions and the accumulator move every element from what the definitions give, by
            name.
        largest: magnitude of any intermediate result on the engine; infinite when one overflows.
        products: whether some unit multiplies, and so might make infinities of large numbers.
    """

    outputs: Mapping[str, np.ndarray]
    tolerances: Mapping[str, np.ndarray]
    tables: Mapping[str, np.ndarray]
    largest: float
    products: bool


def expect(plan: Plan, inputs: Mapping[str, np.ndarray], runs: int = RUNS) -> Expectation:
    """Runs the nets of a plan in half precision, then with noise; steps of the host run as they are.

    Args:
        plan: of a compiled graph.
        inputs: as `Graph.evaluate` takes them.
        runs: with noise.
    """
    largest = [0.0]
    outputs = _run_plan(plan, inputs, None, largest)
    defined = _run_plan(plan, inputs, None, [0.0], tables=False)
    tables = {name: np.abs(_difference(array, outputs[name])) for name, array in defined.items()}
    squares = {name: np.zeros(array.shape) for name, array in outputs.items()}
    for number in range(runs):
        noisy = _run_plan(plan, inputs, np.random.default_rng([number, 5]), largest)
        for name, array in noisy.items():
            squares[name] += np.square(_difference(array, outputs[name]))
    tolerances = {}
    for name, total in squares.items():
        mean = total / runs
        tolerances[name] = FACTOR * np.sqrt(mean + mean.mean())
    nets = [step.net for step in plan.steps if isinstance(step, EngineStep) and step.net is not None]
    return Expectation(outputs, tolerances, tables, largest[0], has_products(nets))


def has_products(nets: Iterable[Net]) -> bool:
    """Whether some unit multiplies: infinities and numbers near the limit then differ from level to level."""
    return any(
        isinstance(unit.params, (u.ConvParams, u.LinearParams, u.MatMulParams, u.GOCParams))
        or noise_of(unit.params).result
        for net in nets
        for unit in net.units
    )


def precise(plan: Plan, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The nets of a plan and its steps of the host in double precision, without any rounding."""
    values: dict[str, np.ndarray] = {**plan.constants, **inputs}
    for step in plan.steps:
        if isinstance(step, HostStep):
            values.update(_run_host(step, values, None))
        else:
            assert step.net is not None, "a plan of a graph has nets"
            fed = {name: values[value].astype(np.float64) for name, value in step.inputs.items()}
            results = step.net.evaluate(fed)
            values.update((value, _logical(plan, value, results[name])) for name, value in step.outputs.items())
    return {name: np.asarray(values[name], np.float64) for name in plan.outputs}


def _logical(plan: Plan, name: str, array: np.ndarray) -> np.ndarray:
    kind = plan.types[name]
    shaped = array.reshape(kind.shape)
    return shaped if kind.dtype.is_float else shaped.astype(kind.dtype.numpy)


def _difference(array: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The distance of two arrays; infinities of one sign agree."""
    with np.errstate(invalid="ignore"):
        return np.where(array == other, 0.0, array - other)


def _run_plan(
    plan: Plan,
    inputs: Mapping[str, np.ndarray],
    random: np.random.Generator | None,
    largest: list[float],
    *,
    tables: bool = True,
) -> dict[str, np.ndarray]:
    values: dict[str, np.ndarray] = {**plan.constants, **inputs}
    for step in plan.steps:
        if isinstance(step, HostStep):
            values.update(_run_host(step, values, random))
            continue
        assert step.net is not None, "a plan of a graph has nets"
        fed = {name: _half(values[value].astype(np.float64)) for name, value in step.inputs.items()}
        results = _run(step.net, fed, random, largest, tables)
        values.update((value, _logical(plan, value, results[name])) for name, value in step.outputs.items())
    return {name: np.asarray(values[name], np.float64) for name in plan.outputs}


def _run_host(
    step: HostStep, values: Mapping[str, np.ndarray], random: np.random.Generator | None
) -> dict[str, np.ndarray]:
    """A step of the host in double precision; the noise is what single precision changes."""
    given = {name: values[name].astype(_host_type(kind)) for name, kind in step.graph.inputs.items()}
    results = step.graph.evaluate(given)
    if random is None:
        return results
    single = step.graph.evaluate(
        {name: array.astype(np.float32) if array.dtype.kind == "f" else array for name, array in given.items()}
    )
    exact = all(isinstance(node.operation, (*EXACT, *_CHOICES)) for node in step.graph.nodes)
    for name, array in results.items():
        if array.dtype.kind == "f":
            own = np.abs(_difference(single[name].astype(np.float64), array))
            size = HOST_FACTOR * (own + own.max(initial=0.0))
            if not exact:
                size = size + HOST_ROUNDING * np.abs(array).max(initial=0.0)
                size = size + SUM_ROUNDING * longest_sum(step.graph) * np.abs(array).max(initial=0.0)
            if resamples(step.graph):
                size = size + RESAMPLING * np.abs(array).max(initial=0.0)
            results[name] = array + random.uniform(-1, 1, array.shape) * size
    return results


def longest_sum(graph: Graph) -> int:
    """The longest sum over axes of a value."""
    most = 1
    for node in graph.nodes:
        operation, shape = node.operation, graph.types[node.inputs[0]].shape
        axes = getattr(operation, "axes", None) or getattr(operation, "axis", ())
        if isinstance(operation, (ops.InstanceNorm, ops.GroupNorm)):
            axes = range(1, len(shape))
        most = max(most, math.prod(shape[axis] for axis in (axes if isinstance(axes, (tuple, range)) else (axes,))))
    return most


def resamples(graph: Graph) -> bool:
    """Whether values between positions are computed; onnxruntime computes those positions in single precision."""
    found = [node.operation for node in graph.nodes if isinstance(node.operation, ops.Resize)]
    return any(operation.mode is not ops.ResizeMode.NEAREST for operation in found)


def _host_type(kind: TensorType) -> np.dtype[np.generic]:
    return np.dtype(np.float64) if kind.dtype.is_float else kind.dtype.numpy


def _half(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return array.astype(np.float16).astype(np.float64)


def _run(
    net: Net,
    inputs: Mapping[str, np.ndarray],
    random: np.random.Generator | None,
    largest: list[float],
    tables: bool,
) -> dict[str, np.ndarray]:
    values = {name: inputs[name].reshape(shape.ndchw) for name, shape in net.inputs.items()}
    for unit in net.units:
        bottoms = [values[name] for name in unit.bottoms]
        result = _unit(unit, bottoms, random, tables)
        if random is None:
            finite = result[np.isfinite(result)]
            if not isinstance(unit.params, u.ConstantParams):
                largest[0] = max(largest[0], float(np.abs(finite).max(initial=0.0)))
            if finite.size < result.size and all(np.isfinite(bottom).all() for bottom in bottoms):
                largest[0] = np.inf
        values[unit.name] = result
    return {name: values[source] for name, source in net.outputs.items()}


def _unit(unit: Unit, bottoms: Sequence[np.ndarray], random: np.random.Generator | None, tables: bool) -> np.ndarray:
    params, noise = unit.params, noise_of(unit.params)
    if random is not None:
        params = _rounded_weights(params, random)
        bottoms = [_disturbed(bottom, noise, random) for bottom in bottoms]
    with np.errstate(all="ignore"):
        result = _evaluate(params, bottoms, tables)
        if random is None or isinstance(params, u.ConstantParams):
            return _half(result)
        # The same sign for all elements in half of the runs: errors of tables are not independent.
        spread = random.uniform(-1, 1, result.shape) if random.integers(2) else random.uniform(-1, 1)
        size = np.where(np.isfinite(result), noise.result * ULP * np.abs(result) + noise.floor, 0.0)
        return result + spread * size


def _disturbed(array: np.ndarray, noise: Noise, random: np.random.Generator) -> np.ndarray:
    if not (noise.operand or noise.shift):
        return array
    own = noise.operand * random.uniform(-1, 1, array.shape) * np.abs(array)
    common = noise.shift * random.uniform(-1, 1) * np.abs(array).max(initial=0.0)
    disturbed: np.ndarray = array + ULP * (own + common)
    return disturbed


def _rounded_weights(params: UnitParams, random: np.random.Generator) -> UnitParams:
    """The parameters with weights that half precision does not hold off by up to a unit in the last place."""
    changed = {}
    for each in dataclasses.fields(params):  # type: ignore[arg-type]
        array = getattr(params, each.name)
        if isinstance(array, np.ndarray) and array.dtype.kind == "f" and not isinstance(params, u.ConstantParams):
            inexact = _half(array) != array
            if inexact.any():
                changed[each.name] = array * (1 + inexact * ULP * random.uniform(-1, 1, array.shape))
    return dataclasses.replace(params, **changed) if changed else params  # type: ignore[type-var]


def _evaluate(params: UnitParams, bottoms: Sequence[np.ndarray], tables: bool) -> np.ndarray:
    if tables and isinstance(params, u.NeuronParams) and params.kind not in _BY_DEFINITION:
        try:
            steps = recipe(params.kind, params.alpha, params.beta)
        except OpenaneError:
            return params.evaluate(bottoms)
        return evaluate_recipe(steps, bottoms[0].astype(np.float16)).astype(np.float64).reshape(bottoms[0].shape)
    sums = accumulated(params, bottoms) if tables else None
    if sums is not None:
        return sums
    return np.asarray(params.evaluate(bottoms), np.float64)


_BY_DEFINITION = frozenset({u.NeuronKind.PRELU, u.NeuronKind.RELU, u.NeuronKind.IDENTITY})
