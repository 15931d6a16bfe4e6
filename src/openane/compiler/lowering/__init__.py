"""From the framework-neutral Graph to the Net of engine units, and why an operation cannot go there."""

from openane.compiler.lowering.context import LoweringOptions
from openane.compiler.lowering.forms import Functions
from openane.compiler.lowering.lower import HANDLERS, REFUSALS, alone, becomes_integers, lower, why_not

__all__ = ["HANDLERS", "REFUSALS", "Functions", "LoweringOptions", "alone", "becomes_integers", "lower", "why_not"]
