"""Level 3: task descriptors, surfaces and constants, as the engine sees them."""

from openane.program.program import Program, Relocation, Role, Surface
from openane.program.task import Burst, Task

__all__ = ["Burst", "Program", "Relocation", "Role", "Surface", "Task"]
