"""Policies on placements: `core_ml.ane >= 95%`, `engine.can NAME`. Parsed here, never evaluated as code."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from openane.analysis.layer_placement import LayerPlacement, ModelPlacement
from openane.core.errors import InputError
from openane.core.suggestions import suggest


@dataclass(frozen=True, slots=True)
class Policy:
    """A condition that a model must meet.

    Attributes:
        text: as it was given.
        subject: what it is about, "core_ml.ane".
        relation: how the share compares; empty for a condition on one layer.
        percent: that it is compared with.
        layer: that has to meet it; empty for a share.
    """

    text: str
    subject: str
    relation: str = ""
    percent: float = 0.0
    layer: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a policy.

    Attributes:
        policy: in question.
        met: whether the model meets it; what is not known does not.
        found: the value or the reason.
    """

    policy: Policy
    met: bool
    found: str


Answer = Callable[[LayerPlacement], bool | None]
"""Whether a layer counts; None where nobody knows."""


def _backend(name: str) -> Answer:
    def answer(layer: LayerPlacement) -> bool | None:
        return None if layer.core_ml.backend == "unknown" else layer.core_ml.backend == name

    return answer


SUBJECTS: Mapping[str, Answer] = MappingProxyType(
    {
        "core_ml.ane": _backend("ANE"),
        "core_ml.cpu": _backend("CPU"),
        "core_ml.gpu": _backend("GPU"),
        "engine.can": lambda layer: layer.engine.can,
        "openane.engine": lambda layer: (
            None if layer.openane.where == "unknown" else layer.openane.where not in ("host", "engine + host")
        ),
    }
)
"""What a policy can be about."""
_RELATIONS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt, "==": operator.eq, "!=": operator.ne}
)
_SHARE = re.compile(r"(>=|<=|==|!=|>|<)\s*(\d{1,3}(?:\.\d{1,6})?)\s*%?")
_LONGEST = 1000


def parse_policy(text: str) -> Policy:
    """A policy from its text: SUBJECT RELATION PERCENT, or SUBJECT LAYER (the name may be in quotes).

    Raises:
        InputError: unknown subject, a share that is not a percentage, or nothing to compare with.
    """
    if len(text) > _LONGEST:
        raise InputError("the policy is too long", value=f"{len(text)} characters", limit=_LONGEST)
    subject, _, rest = text.strip().partition(" ")
    split = re.match(r"([\w.]+)\s*([<>=!].*)$", text.strip())
    if split:
        subject, rest = split.groups()
    rest = rest.strip()
    if subject not in SUBJECTS:
        raise InputError(
            f"unknown subject {subject[:80]!r} of a policy",
            where=f"policy {text!r}",
            limit=", ".join(SUBJECTS),
            hint=suggest(subject[:80], SUBJECTS),
        )
    example = f"Try '{subject} >= 95%' or '{subject} LAYER'."
    if not rest:
        raise InputError("the policy compares with nothing", where=f"policy {text!r}", hint=example)
    if rest[0] not in "<>=!":
        quoted = len(rest) > 1 and rest[0] == rest[-1] and rest[0] in "'\""
        return Policy(text, subject, layer=rest[1:-1] if quoted else rest)
    share = _SHARE.fullmatch(rest)
    if share is None or float(share.group(2)) > 100:
        raise InputError(
            "the policy has no relation and percentage",
            where=f"policy {text!r}",
            value=rest,
            limit=f"{', '.join(_RELATIONS)} and 0 to 100 %",
            hint=example,
        )
    return Policy(text, subject, share.group(1), float(share.group(2)))


def check(policy: Policy, placed: ModelPlacement) -> Outcome:
    """Whether a model meets a policy. Shares are of layers; layers that Core ML's program does not have do not count.

    Raises:
        InputError: the model has no layer of that name.
    """
    answer = SUBJECTS[policy.subject]
    if policy.layer:
        return _on_layer(policy, placed, answer)
    answers = [answer(layer) for layer in placed.layers if layer.core_ml.backend != "none"]
    doubtful, yes = answers.count(None), answers.count(True)
    total = max(1, len(answers))
    lowest, highest = 100 * yes / total, 100 * (yes + doubtful) / total
    compare = _RELATIONS[policy.relation]
    met = compare(lowest, policy.percent) and (not doubtful or compare(highest, policy.percent))
    found = f"{lowest:.1f} %" + (f" to {highest:.1f} %: {doubtful} layers are unknown" if doubtful else "")
    return Outcome(policy, met, found)


def _on_layer(policy: Policy, placed: ModelPlacement, answer: Answer) -> Outcome:
    layers = [layer for layer in placed.layers if layer.name == policy.layer]
    if not layers:
        names = [layer.name for layer in placed.layers]
        raise InputError(
            f"the model has no layer {policy.layer[:80]!r}",
            where=f"policy {policy.text!r}",
            hint=suggest(policy.layer[:80], names),
        )
    answers = [answer(layer) for layer in layers]
    layer = layers[0]
    if all(answers):
        return Outcome(policy, True, f"{layer.engine.evidence}")
    why = layer.engine.reason if policy.subject.startswith("engine") else layer.core_ml.reason
    why = layer.openane.reason if policy.subject.startswith("openane") else why
    return Outcome(policy, False, f"{'unknown' if None in answers else 'no'}: {why}")
