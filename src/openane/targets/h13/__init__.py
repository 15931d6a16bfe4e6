"""H13, the Neural Engine of A14 and M1."""

from __future__ import annotations

from openane.core.errors import Diagnostic
from openane.net.net import Net
from openane.program import Program
from openane.targets.target import CompileOptions, Limit, Machine, RunOptions


class H13:
    """The target object of H13; see :class:`openane.targets.target.Target`."""

    name = "h13"

    def lower(self, net: Net, options: CompileOptions) -> Program:
        """Compiles a network of units into one program.

        Raises:
            UnsupportedError: a unit breaks a rule of the hardware or of this back end.
        """
        from openane.targets.h13.compile import compile_net

        return compile_net(net, options)

    def refusals(self, net: Net) -> tuple[Diagnostic, ...]:
        """Every rule that the units of a network break, each with unit, limit, value and hint."""
        from openane.targets.h13.compile import refusals

        return refusals(net)

    def limits(self) -> tuple[Limit, ...]:
        """Every rule of the back end, in the order in which they are checked."""
        from openane.backend.units.families import limits

        return limits()

    def machine(self, program: Program, options: RunOptions) -> Machine:
        """Loads a program into the simulator.

        Raises:
            FaultError: the program is not one this machine can run.
        """
        from openane.targets.h13.machine import machine

        return machine(program, options)


TARGET = H13()
