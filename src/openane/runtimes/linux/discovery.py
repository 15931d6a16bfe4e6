"""Finding the engine's node among /dev/accel, and saying why not when there is none."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from openane.runtimes.linux import abi
from openane.runtimes.linux.faults import meaning_of
from openane.runtimes.linux.node import NodeInfo, System, driver_version
from openane.targets.registry import GENERATIONS, LINUX_CHIPS

CHIP_NAMES = {name: chip for each in GENERATIONS.values() for name, chip in each.device_trees.items()}
"""Device-tree names of machines that Linux runs on; the published driver supports one generation only."""


@dataclass(frozen=True, slots=True)
class Found:
    """A device that can be opened, or the reason why there is none.

    Attributes:
        path: of the node, empty when there is none.
        reason: one clause.
        hint: what to do next.
        facts: what was seen on the way.
    """

    path: str
    reason: str
    hint: str = ""
    facts: dict[str, str] = field(default_factory=dict)


def find_device(system: System, wanted: str = "") -> Found:
    """The first node whose driver calls itself "ane".

    Args:
        system: this machine.
        wanted: path of the one node to look at; empty looks at all.
    """
    facts = _board_facts(system)
    if system.platform != "Linux":
        return Found("", f"this is {system.platform}, not Linux", "Use --on simulator.", facts)
    nodes = (NodeInfo(wanted, "", (), True, ""),) if wanted else system.nodes()
    if not nodes:
        return Found(
            "",
            "there is no /dev/accel node",
            "Load the out-of-tree driver (eiln/ane) and its device-tree overlay on an "
            f"{LINUX_CHIPS} machine; or use --on simulator.",
            facts,
        )
    reasons = []
    for node in nodes:
        found = _try(system, node)
        facts.update(found.facts)
        if found.path:
            return Found(found.path, found.reason, "", facts)
        reasons.append(found)
    best = next((found for found in reasons if found.hint), reasons[0])
    return Found("", best.reason, best.hint or "Use --on simulator.", facts)


def _try(system: System, node: NodeInfo) -> Found:
    """Opens a node and asks its driver for its name."""
    key = f"node {node.path}"
    ours = node.driver == abi.DRIVER_NAME or any(name in abi.COMPATIBLE for name in node.compatible)
    access = "" if node.readable else "not accessible to this user"
    facts = {key: " ".join(filter(None, (node.driver, *node.compatible, node.owner, access))) or "no description"}
    try:
        opened = system.open(node.path)
    except OSError as error:
        meaning = meaning_of(error.errno or 0)
        hint = meaning.hint if ours or not node.driver else ""
        return Found("", f"{node.path}: {meaning.what}", hint, facts)
    with contextlib.closing(opened):
        try:
            version = driver_version(opened)
        except OSError as error:
            facts[key] += f"; version call: {meaning_of(error.errno or 0).what}"
            return Found("", f"{node.path} is not a DRM device", "", facts)
    facts[key] += f"; driver {version}"
    if version.name != abi.DRIVER_NAME:
        return Found("", f"{node.path} belongs to driver {version.name!r}, not {abi.DRIVER_NAME!r}", "", facts)
    facts["driver"] = f"{version} ({version.description})" if version.description else str(version)
    return Found(node.path, f"{node.path} answers as driver {version}", "", facts)


def _board_facts(system: System) -> dict[str, str]:
    board = system.board()
    chip = next((CHIP_NAMES[name] for name in board if name in CHIP_NAMES), "")
    facts = {"board": " ".join(board)} if board else {}
    return facts | {"chip": chip} if chip else facts
