"""The units of the engine: their parameters, shape rules, reference arithmetic and keys in a net.plist, by family."""

from openane.net.units.affine import *
from openane.net.units.convolution import *
from openane.net.units.dimensions import *
from openane.net.units.elementwise import *
from openane.net.units.matmul import *
from openane.net.units.neuron import *
from openane.net.units.normalization import *
from openane.net.units.pooling import *
from openane.net.units.shape import *
