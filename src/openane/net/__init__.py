"""Level 2: networks of ANE units, and their net.plist form."""

from openane.net.net import Net, TensorShape, Unit, UnitParams

__all__ = ["Net", "TensorShape", "Unit", "UnitParams"]
