"""The state that the passes of the back end take and give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from openane.backend.alloc.constants import ConstantSection
from openane.backend.describe import net_text, plan_text
from openane.backend.ir.placement import Placement
from openane.backend.ir.plan import ProgramPlan
from openane.backend.machine import Dialect
from openane.backend.target import CodeGenerator
from openane.net.net import Net
from openane.program import Program


@dataclass(frozen=True, slots=True)
class Compilation:
    """A network on its way to a program; each pass fills in or replaces one part.

    Attributes:
        target: the generation.
        dialect: whose layout habits to follow.
        net: the network of units.
        calibration, compress: as in `CompileOptions`.
        plan: its tasks without addresses.
        constants: the constant section.
        placement: its tasks with addresses.
        program: the result.
    """

    target: CodeGenerator
    dialect: Dialect
    net: Net
    calibration: Mapping[str, np.ndarray] = field(default_factory=dict)
    compress: bool = False
    plan: ProgramPlan | None = None
    constants: ConstantSection | None = None
    placement: Placement | None = None
    program: Program | None = None

    def text(self) -> str:
        """The part that was made last, as text."""
        return net_text(self.net) if self.plan is None else plan_text(self.plan, self.placement)
