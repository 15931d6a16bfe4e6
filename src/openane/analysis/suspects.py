"""What may go wrong with one operation in half precision, and the words for it: one small rule per cause.

A rule looks at the values of one node only. Whether the finding reaches an output is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

import numpy as np

from openane.analysis.bounds import Interval
from openane.analysis.effects import Use
from openane.compiler.eligibility import layers_of
from openane.graph import Graph, Node, Operation
from openane.graph import ops as g
from openane.numerics.fp16 import to_fp16
from openane.numerics.limits import HALF_LARGEST, HALF_SMALLEST, HALF_SMALLEST_NORMAL, SUM_LIMIT, SUM_STEP

LOGIT_LIMIT = 256.0
"""From here on neighboring fp16 numbers are 0.25 apart: a softmax's results are off by a tenth or more."""
CENTER_LIMIT = 512.0
"""A mean so many deviations away from zero leaves two digits of the differences."""
ANGLE_STEP = 0.01
"""Radians: an angle that fp16 knows less exactly has no sine to speak of."""

SMALL = 32 * HALF_SMALLEST
"""Values up to here have at most five bits in fp16."""
SMALL_SUM = 4096 * SUM_STEP
"""Sums up to here have at most twelve bits in the accumulator, less what its many products are rounded by."""


class HazardKind(Enum):
    """What may go wrong."""

    OVERFLOW = "overflow"
    UNDERFLOW = "underflow"
    EPSILON = "epsilon"
    ZERO = "zero"
    RANGE = "range"
    NOT_A_NUMBER = "not a number"


class HazardSource(Enum):
    """How it was found."""

    CALIBRATION = "calibration"
    CONSTANTS = "constants"
    BOUNDS = "bounds"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class Suspect:
    """What one rule says about one node; `limit` is what half precision allows."""

    kind: HazardKind
    what: str
    value: float
    limit: str
    source: HazardSource = HazardSource.CALIBRATION


Check = Callable[[Use], Iterator[Suspect]]


def findings(use: Use, graph: Graph) -> Iterator[Suspect]:
    """What the rules say about a node, most specific first; nothing where none applies."""
    for check in CHECKS.get(type(use.node.operation), ()):
        with np.errstate(all="ignore"):  # rules look at values that are infinite or not numbers
            found = tuple(check(use))
        yield from found
    yield from _not_a_number(use)
    yield from constant_findings(use.node, graph)
    yield from _unfit_result(use)
    yield from _small_operands(use)


def value_finding(array: np.ndarray) -> Suspect | None:
    """Why a value that the engine reads from outside is beyond half precision; None where it is not."""
    strange = int(np.isnan(array).sum()) if array.dtype.kind == "f" else 0
    if strange:
        return Suspect(HazardKind.NOT_A_NUMBER, "it reads NaNs, which the engine takes for infinity", strange, "0")
    largest = _largest(array)
    if largest > HALF_LARGEST:
        what = "it reads values that are beyond half precision"
        return Suspect(HazardKind.OVERFLOW, what, largest, f"{HALF_LARGEST:.0f}")
    return None


def epsilon_finding(use: Use) -> Suspect | None:
    """What is said of the operation after a node that adds an epsilon, or that keeps values above one."""
    operation = use.node.operation
    small = [
        abs(float(a.reshape(-1)[0])) for a in use.operands if a is not None and a.size == 1 and a.dtype.kind == "f"
    ]
    if isinstance(operation, g.Clip):
        small.append(operation.minimum)
    elif not isinstance(operation, (g.Add, g.Max, g.Where)):
        small = []
    lost = [each for each in small if 0 < each < HALF_SMALLEST]
    if not lost:
        return None
    what = f"the epsilon of layer {layers_of(use.node)[-1]!r} before it is 0 in half precision"
    return Suspect(HazardKind.EPSILON, what, lost[0], f"at least {HALF_SMALLEST:.2g}")


def unnamed(use: Use, operands: Sequence[np.ndarray | None]) -> Suspect:
    """The finding for a node that is off and to which no rule applies.

    Args:
        use: the node with the arrays of the reference.
        operands: as the engine reads them.
    """
    floats = [a for a in operands if a is not None and a.dtype.kind == "f"]
    if len(floats) == 1:
        name = use.node.operation.title
        what = f"what the engine computes for {name} is off for arguments of this size"
        return Suspect(HazardKind.RANGE, what, _largest(floats[0]), "magnitudes that its tables and sums resolve")
    worst = max((_step(a) / max(_largest(a), HALF_SMALLEST) for a in floats), default=0.0)
    what = "its result is off by more than the rounding of its operands: an intermediate value leaves half precision"
    return Suspect(HazardKind.RANGE, what, _largest(use.results[0]), f"operands known to {worst:.1g} of their size")


def amplified_finding(use: Use) -> Suspect:
    """The finding for a node whose errors matter only because later layers take differences of its results."""
    what = "the layers after it amplify its rounding"
    largest = max(map(_largest, use.results), default=0.0)
    return Suspect(HazardKind.RANGE, what, largest, f"known to {max(map(_step, use.results), default=0.0):.2g}")


def _step(array: np.ndarray) -> float:
    """The distance of neighboring fp16 numbers at the largest magnitude of an array."""
    last_binade = (HALF_LARGEST + 32) / 2  # from here on the distance is the same
    return float(np.spacing(to_fp16(min(_largest(array), last_binade))))


def _largest(array: np.ndarray) -> float:
    """The largest finite magnitude; 0 for integers and booleans, which half precision is not asked to hold."""
    if array.dtype.kind != "f" or not array.size:
        return 0.0
    magnitude = np.abs(array[np.isfinite(array)])
    return float(magnitude.max()) if magnitude.size else 0.0


def _first(use: Use) -> np.ndarray:
    first = use.operands[0]
    assert first is not None
    return first.astype(np.float64)


def _smallest(magnitude: np.ndarray) -> float:
    return float(magnitude.min(initial=np.inf))


def _unfit_result(use: Use) -> Iterator[Suspect]:
    largest = max((_largest(array) for array in use.results), default=0.0)
    if largest > HALF_LARGEST:
        yield Suspect(HazardKind.OVERFLOW, "its result is infinite in half precision", largest, f"{HALF_LARGEST:.0f}")
    elif 0 < largest <= SMALL:
        what = "its results are too small for half precision"
        yield Suspect(HazardKind.UNDERFLOW, what, largest, f"above {SMALL:.2g}")


def _small_operands(use: Use) -> Iterator[Suspect]:
    largest = min((_largest(a) for a in use.operands if a is not None and _largest(a)), default=0.0)
    if 0 < largest <= SMALL:
        yield Suspect(
            HazardKind.UNDERFLOW, "it reads values too small for half precision", largest, f"above {SMALL:.2g}"
        )


def _not_a_number(use: Use) -> Iterator[Suspect]:
    arrays = [a for a in (*use.operands, *use.results) if a is not None and a.dtype.kind == "f"]
    strange = sum(int(np.isnan(array).sum()) for array in arrays)
    if strange:
        what = "it reads or makes values that are not numbers, which the engine takes for infinity"
        yield Suspect(HazardKind.NOT_A_NUMBER, what, strange, "0")


def _products(use: Use) -> Iterator[Suspect]:
    largest = _largest(use.results[0])
    if largest >= SUM_LIMIT:
        what = "sums of products of this size leave the MAC array as infinity"
        yield Suspect(HazardKind.OVERFLOW, what, largest, f"below {SUM_LIMIT:.0f}")
    elif 0 < largest < SMALL_SUM:
        what = f"its products are rounded in the MAC array, which adds multiples of {SUM_STEP:.2g}"
        yield Suspect(HazardKind.UNDERFLOW, what, largest, f"above {SMALL_SUM:.2g}")
    else:
        what = "a partial sum of its products leaves the MAC array as infinity"
        yield Suspect(HazardKind.OVERFLOW, what, largest, f"below {SUM_LIMIT:.0f}")


def _sums(use: Use) -> Iterator[Suspect]:
    largest = _largest(use.results[0])
    if SUM_LIMIT <= largest <= HALF_LARGEST:
        yield from _products(use)


def _squares(use: Use) -> Iterator[Suspect]:
    """The sum of squares inside a norm."""
    axes = tuple(getattr(use.node.operation, "axes", ())) or None
    yield from _sum_of_squares(np.sum(np.square(_first(use)), axis=axes), "sum of squares")


def _sum_of_squares(total: np.ndarray, name: str) -> Iterator[Suspect]:
    largest = _largest(np.asarray(total))
    if largest > HALF_LARGEST:
        what = f"its {name} is infinite in half precision"
        yield Suspect(HazardKind.OVERFLOW, what, largest, f"{HALF_LARGEST:.0f}")
    smallest = _smallest(np.where(total > 0, total, np.inf))
    if smallest < HALF_SMALLEST_NORMAL:
        what = f"the squares of its {name} vanish in half precision"
        yield Suspect(HazardKind.UNDERFLOW, what, smallest, f"above {HALF_SMALLEST_NORMAL:.2g}")


def _standardized_axes(use: Use) -> tuple[np.ndarray, tuple[int, ...]]:
    """The operand of a norm, reshaped, and the axes over which it is standardized."""
    operation, x = use.node.operation, _first(use)
    if isinstance(operation, g.LayerNorm):
        return x, operation.axes
    groups = operation.groups if isinstance(operation, g.GroupNorm) else x.shape[1]
    return x.reshape(x.shape[0], groups, -1), (2,)


def _standardization(use: Use) -> Iterator[Suspect]:
    x, axes = _standardized_axes(use)
    mean, variance = x.mean(axes), x.var(axes)
    spread = np.sqrt(variance)
    far = np.divide(np.abs(mean), spread, out=np.zeros_like(mean), where=spread > 0)
    if far.size and float(far.max()) > CENTER_LIMIT:
        what = "the mean is so many deviations from zero that little is left of the differences"
        yield Suspect(HazardKind.RANGE, what, float(far.max()), f"{CENTER_LIMIT:.0f}")
    yield from _epsilon(getattr(use.node.operation, "epsilon", 0.0), variance)
    yield from _sum_of_squares(variance, "variance")


def _mean_of_squares(use: Use) -> Iterator[Suspect]:
    mean = np.mean(np.square(_first(use)), axis=getattr(use.node.operation, "axes", None))
    yield from _epsilon(getattr(use.node.operation, "epsilon", 0.0), mean)
    yield from _sum_of_squares(mean, "mean of squares")


def _epsilon(epsilon: float, added_to: np.ndarray) -> Iterator[Suspect]:
    """An epsilon that rounds to zero, where what it is added to rounds to zero as well."""
    if 0 < epsilon < HALF_SMALLEST and _smallest(added_to) < HALF_SMALLEST:
        what = "its epsilon is 0 in half precision, and so is what it should keep from 0"
        yield Suspect(HazardKind.EPSILON, what, epsilon, f"at least {HALF_SMALLEST:.2g}")


def _argument(use: Use) -> Iterator[Suspect]:
    """Logarithms, reciprocals and roots of what half precision takes for zero."""
    epsilon = getattr(use.node.operation, "epsilon", 0.0)
    yield from _epsilon(epsilon, np.abs(_first(use)))
    name = use.node.operation.title.lower()
    yield from _zero(np.abs(_first(use) + epsilon), f"{name} of a number that is 0 in half precision")
    if _smallest(_first(use) + epsilon) < 0 and not isinstance(use.node.operation, g.Reciprocal):
        yield Suspect(HazardKind.RANGE, f"{name} of a negative number", _smallest(_first(use)), "at least 0")


def _division(use: Use) -> Iterator[Suspect]:
    divisor = use.operands[1]
    assert divisor is not None
    if divisor.dtype.kind == "f":
        yield from _zero(np.abs(divisor), "divides by a number that is 0 in half precision")


def _zero(magnitude: np.ndarray, what: str) -> Iterator[Suspect]:
    smallest = _smallest(magnitude)
    if smallest <= HALF_SMALLEST / 2:
        yield Suspect(HazardKind.ZERO, what, smallest, f"above {HALF_SMALLEST / 2:.2g}")


def _difference(use: Use) -> Iterator[Suspect]:
    """Operands that half precision rounds by more than a tenth of what is left of them."""
    operands = [a for a in use.operands if a is not None and a.size != 1]
    largest, left = max(map(_largest, operands), default=0.0), _largest(use.results[0])
    close = len(operands) == 2 and 0 < left < largest <= HALF_LARGEST
    if close and _step(np.asarray(largest)) > 0.1 * left:
        what = "its operands are so close that half precision leaves little of the difference"
        yield Suspect(HazardKind.RANGE, what, largest / left, "below 100")


def _logits(use: Use) -> Iterator[Suspect]:
    best = _first(use).max(getattr(use.node.operation, "axis", None), initial=-np.inf)
    largest = _largest(np.asarray(best))
    if LOGIT_LIMIT <= largest <= HALF_LARGEST:
        what = f"its largest arguments are known to {_step(np.asarray(best)):g} in half precision"
        yield Suspect(HazardKind.RANGE, what, largest, f"below {LOGIT_LIMIT:.0f}")


def _angles(use: Use) -> Iterator[Suspect]:
    largest, step = _largest(_first(use)), _step(_first(use))
    what = f"its angles are known to {step:g} radians in half precision"
    yield Suspect(HazardKind.RANGE, what, largest, f"steps below {ANGLE_STEP:g} radians")


def _moves(use: Use) -> Iterator[Suspect]:
    largest = _largest(_first(use))
    if largest >= SUM_LIMIT:
        what = "the MAC array moves its values, which leave it as infinity from this size on"
        yield Suspect(HazardKind.OVERFLOW, what, largest, f"below {SUM_LIMIT:.0f}")


def _added_epsilon(use: Use) -> Iterator[Suspect]:
    """A small constant that is added by hand, as exporters write an epsilon."""
    for summand, other in ((1, 0), (0, 1)):
        small, added_to = use.operands[summand], use.operands[other]
        assert small is not None and added_to is not None
        if small.size == 1 and small.dtype.kind == "f":
            yield from _epsilon(abs(float(small.reshape(-1)[0])), np.abs(added_to))


def constant_findings(node: Node, graph: Graph) -> Iterator[Suspect]:
    """Constants that half precision cannot hold."""
    for name in node.inputs:
        array = graph.constants.get(name)
        if array is None or array.dtype.kind != "f":
            continue
        largest = _largest(array)
        if largest > HALF_LARGEST:
            what = f"its constant {name!r} is infinite in half precision"
            yield Suspect(HazardKind.OVERFLOW, what, largest, f"{HALF_LARGEST:.0f}", HazardSource.CONSTANTS)
        elif 0 < largest <= HALF_SMALLEST / 2:
            what = f"its constant {name!r} is 0 in half precision"
            yield Suspect(HazardKind.UNDERFLOW, what, largest, f"above {HALF_SMALLEST / 2:.2g}", HazardSource.CONSTANTS)


def bound_findings(node: Node, bounds: Mapping[str, Interval]) -> Iterator[Suspect]:
    """What the ranges of bounded functions let happen, whatever the input is."""
    made = next((bounds[name] for name in node.outputs if name in bounds), None)
    if made is not None and isinstance(node.operation, (g.Conv, g.MatMul)) and made.magnitude >= SUM_LIMIT:
        what = "sums of products may reach this size, which leaves the MAC array as infinity"
        yield Suspect(HazardKind.OVERFLOW, what, made.magnitude, f"below {SUM_LIMIT:.0f}", HazardSource.BOUNDS)
    if isinstance(node.operation, (g.Log, g.Reciprocal, g.Rsqrt)) and node.inputs[0] in bounds:
        lowest = bounds[node.inputs[0]].low + node.operation.epsilon
        if 0 <= lowest <= HALF_SMALLEST / 2:
            what = f"{node.operation.title.lower()} of a number that may be 0 in half precision"
            yield Suspect(HazardKind.ZERO, what, lowest, f"above {HALF_SMALLEST / 2:.2g}", HazardSource.BOUNDS)


#: What is said of a node that is off, by operation.
CHECKS: Mapping[type[Operation], tuple[Check, ...]] = MappingProxyType(
    {
        **dict.fromkeys((g.Conv, g.ConvTranspose, g.MatMul, g.Einsum), (_products,)),
        **dict.fromkeys((g.ReduceL2, g.LpNorm, g.ReduceSumSquare), (_squares,)),
        **dict.fromkeys((g.LayerNorm, g.GroupNorm, g.InstanceNorm), (_standardization,)),
        **dict.fromkeys((g.Log, g.Reciprocal, g.Rsqrt, g.Sqrt), (_argument,)),
        **dict.fromkeys((g.Softmax, g.LogSoftmax), (_logits,)),
        **dict.fromkeys((g.Sin, g.Cos, g.Tan), (_angles,)),
        **dict.fromkeys(
            (g.Slice, g.Split, g.Gather, g.ChannelShuffle, g.Transpose, g.Pad, g.Tile, g.Expand), (_moves,)
        ),
        g.ReduceSum: (_sums,),
        g.RmsNorm: (_mean_of_squares,),
        g.Div: (_division,),
        g.Add: (_added_epsilon,),
        g.Sub: (_difference,),
    }
)
