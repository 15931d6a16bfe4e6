"""The operations: one class each, with attributes, shape rule, reference arithmetic and sample cases, by family.

A class registers itself in `OPERATIONS`; the `__all__` of its family exports it here.
"""

from openane.graph.operation import OPERATIONS as OPERATIONS
from openane.graph.ops.activation import *
from openane.graph.ops.binary import *
from openane.graph.ops.blocks import *
from openane.graph.ops.convolution import *
from openane.graph.ops.foreign import *
from openane.graph.ops.indexing import *
from openane.graph.ops.logic import *
from openane.graph.ops.matrix import *
from openane.graph.ops.normalization import *
from openane.graph.ops.pooling import *
from openane.graph.ops.quantization import *
from openane.graph.ops.recurrent import *
from openane.graph.ops.reduction import *
from openane.graph.ops.resize import *
from openane.graph.ops.rounding import *
from openane.graph.ops.sampling import *
from openane.graph.ops.shape import *
from openane.graph.ops.unary import *
