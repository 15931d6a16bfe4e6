"""Time to read and place a model of 1,000 layers, against ONNX's checker and shape inference on as many layers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import onnx
from onnx import TensorProto, helper

from openane.coreml_placement.platforms import platform
from openane.coreml_placement.prediction import predict
from openane.coreml_placement.read import read_text
from openane.coreml_placement.reasons import reasons
from openane.coreml_placement.remedies import remedies

LAYERS = 1000
ROUNDS = 5
_TYPE = "tensor<fp16, [1, 64, 32, 32]>"
_WEIGHT = 'tensor<fp16, [64, 64, 3, 3]>(BLOBFILE(path = string("w.bin"), offset = uint64(64)))'


def mil_text() -> str:
    """A chain of convolutions, ReLUs and, every 100 layers, an operation that the engine does not run."""
    lines = [f"program(1.0)\n{{\nfunc main<ios17>({_TYPE} v0) {{"]
    for i in range(LAYERS):
        kind = "acos" if i % 100 == 50 else ("conv", "relu")[i % 2]
        weight = f"weight = {_WEIGHT}, " if kind == "conv" else ""
        lines.append(f'{_TYPE} v{i + 1} = {kind}({weight}x = v{i})[name = string("layer{i}")];')
    return "\n".join([*lines, f"}} -> (v{LAYERS});\n}}"])


def onnx_model() -> bytes:
    """As many layers without weights."""
    nodes = [helper.make_node(("Relu", "Abs")[i % 2], [f"v{i}"], [f"v{i + 1}"]) for i in range(LAYERS)]
    kind = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64, 32, 32]) for name in ("v0", f"v{LAYERS}")]
    data: bytes = helper.make_model(helper.make_graph(nodes, "chain", kind[:1], kind[1:])).SerializeToString()
    return data


def main() -> None:
    """Prints the medians; rounds are interleaved."""
    text, data, chip = mil_text(), onnx_model(), platform("M4")

    def peer() -> None:
        model = onnx.load_from_string(data)
        onnx.checker.check_model(model)
        onnx.shape_inference.infer_shapes(model)

    sides: dict[str, Callable[[], object]] = {
        "onnx check and shapes (peer)": peer,
        "read and place against onnx": lambda: reasons(predict(read_text(text), chip)),
        "with remedies against onnx": lambda: remedies(predict(read_text(text), chip)),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            times[name].append(time.perf_counter() - began)
    least = statistics.median(next(iter(times.values())))
    for name, measured in times.items():
        median = statistics.median(measured)
        print(f"{name}: {median * 1e3:.0f} ms, ratio {median / least:.3f}")


if __name__ == "__main__":
    main()
