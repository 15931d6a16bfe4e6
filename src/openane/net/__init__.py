"""Level 2: networks of ANE units, and their net.plist form."""

from openane.net import units
from openane.net.net import Net, TensorShape, Unit, UnitParams
from openane.net.units import *  # noqa: F403

__all__ = ["Net", "TensorShape", "Unit", "UnitParams", "units", *units.__all__]
