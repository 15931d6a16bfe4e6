"""The reference machine: decoded tasks, one element at a time, in the arithmetic of `openane.numerics.definition`.

It is the definition of what a program computes. The fast paths of `openane.sim` are tested against it, and it runs the
options of the numerics profile that have no fast path.
"""

from openane.sim.reference.machine import ReferenceMachine

__all__ = ["ReferenceMachine"]
