"""Level 3: task descriptors, surfaces and constants, as the engine sees them."""

from openane.program.fields import Block, Evidence, Field, FieldKind, Register
from openane.program.program import Program, Relocation, Role, StreamCodec, Surface
from openane.program.registers import RegisterMap
from openane.program.stream import TaskStream
from openane.program.task import Burst, Task

__all__ = [
    "Block",
    "Burst",
    "Evidence",
    "Field",
    "FieldKind",
    "Program",
    "Register",
    "RegisterMap",
    "Relocation",
    "Role",
    "StreamCodec",
    "Surface",
    "Task",
    "TaskStream",
]
