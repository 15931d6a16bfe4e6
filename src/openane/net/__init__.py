"""Level 2: networks of ANE units, and their net.plist form."""

from openane.net import units as units
from openane.net.net import Net as Net
from openane.net.net import TensorShape as TensorShape
from openane.net.net import Unit as Unit
from openane.net.net import UnitParams as UnitParams
from openane.net.units import *
