"""The units of the engine: their parameters, shape rules and reference arithmetic, one file a family."""

from openane.net.units.affine import GOC
from openane.net.units.convolution import Conv
from openane.net.units.dimensions import Dimension, Pads
from openane.net.units.elementwise import ElementWise, ElementWiseKind, Select
from openane.net.units.matmul import Linear, MatMul
from openane.net.units.neuron import Neuron, NeuronKind
from openane.net.units.normalization import LayerNorm, Softmax
from openane.net.units.pooling import Pooling, PoolingKind, Reduction, ReductionKind
from openane.net.units.shape import (
    Broadcast,
    Concat,
    Constant,
    InputView,
    Pad,
    PadMode,
    Reshape,
    Tile,
    Transpose,
)

__all__ = [
    "GOC",
    "Broadcast",
    "Concat",
    "Constant",
    "Conv",
    "Dimension",
    "ElementWise",
    "ElementWiseKind",
    "InputView",
    "LayerNorm",
    "Linear",
    "MatMul",
    "Neuron",
    "NeuronKind",
    "Pad",
    "PadMode",
    "Pads",
    "Pooling",
    "PoolingKind",
    "Reduction",
    "ReductionKind",
    "Reshape",
    "Select",
    "Softmax",
    "Tile",
    "Transpose",
]
