"""Every function as a compiled program on the simulator: the same bits as its recipe, for every fp16 argument."""

import numpy as np
import pytest

import openane
from openane.backend.functions.accuracy import evaluate, half_numbers
from openane.backend.functions.recipes import kinds, recipe
from openane.net import Net, TensorShape, Unit
from openane.net.units.neuron import NeuronKind, NeuronParams

CONSTANTS = {
    NeuronKind.LEAKY_RELU: (0.01, 0.0),
    NeuronKind.CLAMP: (0.0, 6.0),
    NeuronKind.THRESHOLDED_RELU: (1.1, 0.0),
    NeuronKind.ELU: (1.0, 0.0),
    NeuronKind.HARD_SIGMOID: (1 / 6, 0.5),
    NeuronKind.RSQRT: (1e-3, 0.0),
    NeuronKind.RECIPROCAL: (1e-3, 0.0),
}
WIDTH = 64


@pytest.mark.parametrize("kind", kinds())
def test_same_bits(kind: NeuronKind) -> None:
    constants = CONSTANTS.get(kind, (0.0, 0.0))
    x = half_numbers().astype(np.float16)
    rows = -(-len(x) // WIDTH)
    image = np.zeros((1, 1, rows, WIDTH), np.float16)
    image.reshape(-1)[: len(x)] = x
    shape = TensorShape(height=rows, width=WIDTH)
    net = Net("net", {"x": shape}, {"y": "f"}, (Unit("f", NeuronParams(kind, *constants), ("x",)),))
    found = openane.run(openane.compile(net), {"x": image})["y"].astype(np.float16).reshape(-1)[: len(x)]
    wanted = evaluate(recipe(kind, *constants), x)
    same = (found.view(np.uint16) == wanted.view(np.uint16)) | ((found == 0) & (wanted == 0))
    assert same.all(), [(float(x[i]), float(found[i]), float(wanted[i])) for i in np.flatnonzero(~same)[:3]]
