"""The units of a network while a pass edits them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from openane.backend.machine import MachineSpec
from openane.net.net import Net, Unit, UnitParams

Edit = Callable[["NetEditor"], None]
"""A pass over the units: edits a network into one that computes the same."""


class NetEditor:
    """The units of a network with their uses, for passes that replace units and merge neighbors.

    Args:
        net: as it is before the pass; `units` changes, `net` and its shapes do not.
        machine: the generation that is compiled for.
    """

    def __init__(self, net: Net, machine: MachineSpec) -> None:
        self.net = net
        self.machine = machine
        self.units: dict[str, Unit] = {unit.name: unit for unit in net.units}
        self.uses: dict[str, int] = {}
        for unit in net.units:
            for bottom in unit.bottoms:
                self.uses[bottom] = self.uses.get(bottom, 0) + 1
        self.shown = set(net.outputs.values())

    def only_use(self, name: str) -> Unit | None:
        """The unit of that name, when nothing but one bottom reads it."""
        unit = self.units.get(name)
        alone = unit is not None and self.uses.get(name, 0) == 1 and name not in self.shown
        return unit if alone else None

    def merge(self, unit: Unit, params: UnitParams, gone: Unit, bottoms: tuple[str, ...]) -> Unit:
        """`unit` takes over the work of `gone`, which it alone reads."""
        del self.units[gone.name]
        merged = replace(unit, params=params, bottoms=bottoms, origin=gone.origin.merge(unit.origin))
        self.units[unit.name] = merged
        return merged

    def result(self) -> Net:
        """The network with the units that are left and that an output depends on."""
        needed = set(self.net.outputs.values())
        kept = []
        for unit in reversed(self.units.values()):
            if unit.name in needed:
                kept.append(unit)
                needed.update(unit.bottoms)
        return replace(self.net, units=tuple(reversed(kept)))


def edited(net: Net, machine: MachineSpec, *edits: Edit) -> Net:
    """The network after some passes, one after another."""
    for edit in edits:
        editor = NetEditor(net, machine)
        edit(editor)
        net = editor.result()
    return net
