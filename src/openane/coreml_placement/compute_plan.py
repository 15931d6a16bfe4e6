"""A plan that Core ML measured (a dump of MLComputePlan), joined with the prediction operation by operation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from openane.core.errors import FormatError, InputError
from openane.coreml_placement.prediction import AppleDevice, PredictedPlacement, Prediction
from openane.coreml_placement.program import INPUT_OUTPUT

_LARGEST_BYTES = 1 << 28
_LEAST_MATCH = 0.5
"""Share of the plan's operations that the program must have; below that it is the plan of another model."""
_LISTS = ("operations", "layers", "ops", "plan")
_NAMES = ("name", "output", "outputs", "layer", "layer_name", "layerName")
_KINDS = ("operator", "operatorName", "operator_name", "op", "type", "kind")
_DEVICES = ("preferred", "preferred_device", "preferredDevice", "preferredComputeDevice", "device")
_SKIPPED = frozenset({"const", *INPUT_OUTPUT})


@dataclass(frozen=True, slots=True)
class Measured:
    """One operation of a plan.

    Attributes:
        name: of its first output, or of the layer; empty where the plan has none.
        kind: the MIL name without its operation set.
        device: that Core ML prefers.
    """

    name: str
    kind: str
    device: AppleDevice


@dataclass(frozen=True, slots=True)
class Match:
    """A predicted operation and what was measured; None where the plan does not have it."""

    placement: PredictedPlacement
    measured: Measured | None

    @property
    def agrees(self) -> bool | None:
        """Whether both name the same device; None where one of them is missing or unknown."""
        if self.measured is None or self.placement.device is AppleDevice.UNKNOWN:
            return None
        return self.placement.device is self.measured.device

    @property
    def tied(self) -> bool:
        """Whether they differ at equal cost."""
        return self.agrees is False and self.placement.tie


@dataclass(frozen=True, slots=True)
class PlanComparison:
    """A plan and a prediction, joined.

    Attributes:
        matches: one per predicted operation, in order.
        extra: operations of the plan that the program does not have.
    """

    matches: tuple[Match, ...]
    extra: tuple[Measured, ...]

    @property
    def agreed(self) -> int:
        """Operations on which both agree."""
        return sum(match.agrees is True for match in self.matches)

    @property
    def tied(self) -> int:
        """Operations on which they differ at equal cost."""
        return sum(match.tied for match in self.matches)

    @property
    def compared(self) -> int:
        """Operations of which both say something."""
        return sum(match.agrees is not None for match in self.matches)


def read_plan(path: Path) -> tuple[Measured, ...]:
    """The operations of a plan, constants left out.

    Takes an object with a list `operations`, or the list itself. An operation is an object with a name (`name` or
    `outputs`), an operator (`operator`, such as "ios18.conv") and a device (`preferred`: "ANE", "CPU", "GPU" or a class
    name of Core ML such as "MLNeuralEngineComputeDevice").

    Raises:
        InputError: the file cannot be read.
        FormatError: not JSON, not a plan, or an operation without a device.
    """
    where = str(path)
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise FormatError("the plan is too large", where=where, limit=f"{_LARGEST_BYTES} bytes")
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read the plan: {error.strerror or error}", where=where) from error
    except (ValueError, RecursionError) as error:
        raise FormatError("the plan is not JSON", where=where, value=str(error)[:100], hint=_HINT) from error
    items = content
    if isinstance(content, dict):
        items = next((content[key] for key in _LISTS if isinstance(content.get(key), list)), None)
    if not isinstance(items, list) or not items:
        raise FormatError("the plan has no list of operations", where=where, limit=" or ".join(_LISTS), hint=_HINT)
    found = (_measured(item, f"{where}: operation {i}") for i, item in enumerate(items))
    return tuple(each for each in found if each is not None)


_HINT = "docs/placement.md has the snippets that write it."


def _measured(item: object, where: str) -> Measured | None:
    if not isinstance(item, dict):
        raise FormatError(
            "an operation of the plan is not an object", where=where, value=type(item).__name__, hint=_HINT
        )
    kind = _text(item, _KINDS).rpartition(".")[2]
    if kind in _SKIPPED or kind.startswith("constexpr_"):
        return None
    given = [item[key] for key in _DEVICES if key in item]
    if not given:
        what = "an operation of the plan has no preferred device"
        raise FormatError(what, where=where, limit=_DEVICES[0], hint=_HINT)
    device = next((each for each in given if each is not None), None)
    # Core ML says nothing of some operations; they are as if they were not in the plan.
    return None if device is None else Measured(_text(item, _NAMES), kind, _device(device, where))


def _text(item: Mapping[str, object], keys: Sequence[str]) -> str:
    """The first of these keys that is a text, or a list or object that holds one."""
    for key in keys:
        value = item.get(key)
        if isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, dict):
            value = value.get("name")
        if isinstance(value, str) and value:
            return value
    return ""


def _device(value: object, where: str) -> AppleDevice:
    if isinstance(value, dict):
        value = value.get("name") or value.get("type") or ""
    plain = str(value).strip().lower()
    if plain == "ne":
        return AppleDevice.ANE
    for word, device in (
        ("neural", AppleDevice.ANE),
        ("ane", AppleDevice.ANE),
        ("gpu", AppleDevice.GPU),
        ("cpu", AppleDevice.CPU),
    ):
        if word in plain:
            return device
    raise FormatError("an unknown device in the plan", where=where, value=str(value)[:80], limit="ANE, CPU, GPU")


def compare(prediction: Prediction, plan: Sequence[Measured], where: str = "plan") -> PlanComparison:
    """Joins a plan with a prediction, by names; by order where the plan has none.

    Raises:
        FormatError: the plan is of another model.
    """
    placements = prediction.placements
    named = {each.name: each for each in plan if each.name}
    found: list[Measured | None] = [_by_name(each, named) for each in placements]
    if not any(found) and [each.kind for each in plan] == [each.operation.kind for each in placements]:
        found = list(plan)
    used = {id(each) for each in found if each is not None}
    wrong = [
        m for p, m in zip(placements, found, strict=True) if m is not None and m.kind not in ("", p.operation.kind)
    ]
    if len(used) - len(wrong) < _LEAST_MATCH * max(len(plan), 1):
        raise FormatError(
            "the plan is of another model",
            where=where,
            value=f"{len(used) - len(wrong)} of its {len(plan)} operations are in {prediction.program.name!r}",
            limit="at least half of them",
            hint="Dump the plan of this very file.",
        )
    matches = tuple(Match(placement, each) for placement, each in zip(placements, found, strict=True))
    return PlanComparison(matches, tuple(each for each in plan if id(each) not in used))


def _by_name(placement: PredictedPlacement, named: Mapping[str, Measured]) -> Measured | None:
    names = [*(result.name for result in placement.operation.results), placement.operation.name]
    return next((named[name] for name in names if name in named), None)
