"""From the framework-neutral Graph to the Net of engine units, and why an operation cannot go there."""

from openane.artifact.options import Functions
from openane.compiler.lowering.context import LoweringOptions
from openane.compiler.lowering.lower import HANDLERS, alone, becomes_integers, lower, why_not
from openane.compiler.lowering.refusals import REFUSALS, Refusal

__all__ = [
    "HANDLERS",
    "REFUSALS",
    "Functions",
    "LoweringOptions",
    "Refusal",
    "alone",
    "becomes_integers",
    "lower",
    "why_not",
]
