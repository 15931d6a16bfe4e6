"""Makes the demo's model and test set: src/openane/data/digits.onnx and digits.npz.

    python tools/train_digits.py            (needs torch, scikit-learn, onnx)

The data are scikit-learn's copy of the UCI optical digits (1,797 pictures of 8x8 pixels, values 0 to 16; E. Alpaydin
and C. Kaynak; CC BY 4.0). The last 400 are the test set and are never trained on. Pictures are enlarged to 28x28 by
bilinear interpolation. Weights are stored so that two runs on one machine give the same file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from openane.cli.demo import enlarge

if TYPE_CHECKING:
    import onnx
    import torch

DATA = Path(__file__).resolve().parents[1] / "src" / "openane" / "data"
TEST_COUNT = 400


def main() -> None:
    """Trains, exports and saves."""
    import onnx
    import torch
    from sklearn.datasets import load_digits

    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    digits = load_digits()
    images, labels = enlarge(digits.images), digits.target
    network = trained(torch.from_numpy(images[:-TEST_COUNT]), torch.from_numpy(labels[:-TEST_COUNT]))
    DATA.mkdir(exist_ok=True)
    onnx.save(onnx_model(network), DATA / "digits.onnx")
    np.savez_compressed(
        DATA / "digits.npz",
        pictures=digits.images[-TEST_COUNT:].astype(np.uint8),
        labels=labels[-TEST_COUNT:].astype(np.uint8),
    )
    with torch.no_grad():
        guesses = network(torch.from_numpy(images[-TEST_COUNT:])).argmax(1).numpy()
    print(f"{np.sum(guesses == labels[-TEST_COUNT:])} of {TEST_COUNT} test digits right")


def trained(images: torch.Tensor, labels: torch.Tensor) -> torch.nn.Sequential:
    """The network after 30 epochs of training on shifted pictures (N, 1, 28, 28), in evaluation mode."""
    import torch

    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1, bias=False),
        torch.nn.BatchNorm2d(16),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(16, 32, 3, padding=1, bias=False),
        torch.nn.BatchNorm2d(32),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(32 * 7 * 7, 10),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, weight_decay=1e-4)
    for epoch in range(30):
        for batch in torch.randperm(len(images)).split(64):
            shift = torch.randint(-2, 3, (2,)).tolist()
            x = torch.roll(images[batch], shift, (2, 3))
            loss = torch.nn.functional.cross_entropy(network(x), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch == 20:
            optimizer.param_groups[0]["lr"] = 4e-4
    return network.eval()


def onnx_model(network: torch.nn.Sequential) -> onnx.ModelProto:
    """The network with a softmax, as a checked ONNX model."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    conv1, norm1, _, _, conv2, norm2, _, _, _, linear = network
    initializers = []

    def constant(name: str, tensor: torch.Tensor) -> str:
        initializers.append(numpy_helper.from_array(tensor.detach().numpy(), name))
        return name

    def norm(prefix: str, layer: torch.nn.BatchNorm2d) -> list[str]:
        names = ("weight", "bias", "running_mean", "running_var")
        return [constant(f"{prefix}_{n}", getattr(layer, n)) for n in names]

    node = helper.make_node
    nodes = [
        node("Conv", ["image", constant("conv1_weight", conv1.weight)], ["c1"], "conv1", pads=[1] * 4),
        node("BatchNormalization", ["c1", *norm("norm1", norm1)], ["n1"], "norm1"),
        node("Relu", ["n1"], ["r1"], "relu1"),
        node("MaxPool", ["r1"], ["p1"], "pool1", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["p1", constant("conv2_weight", conv2.weight)], ["c2"], "conv2", pads=[1] * 4),
        node("BatchNormalization", ["c2", *norm("norm2", norm2)], ["n2"], "norm2"),
        node("Relu", ["n2"], ["r2"], "relu2"),
        node("MaxPool", ["r2"], ["p2"], "pool2", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["p2"], ["flat"], "flatten"),
        node(
            "Gemm",
            ["flat", constant("linear_weight", linear.weight), constant("linear_bias", linear.bias)],
            ["logits"],
            "linear",
            transB=1,
        ),
        node("Softmax", ["logits"], ["probabilities"], "softmax", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 28, 28])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 10])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    main()
