"""Operations of ML programs that Core ML packages bring: resampling, positions, recurrence, compressed constants."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openane.core.errors import UnsupportedError
from openane.frontends.coreml import load
from openane.frontends.coreml.proto import module, parse_model
from openane.frontends.mil import loads


def run(inputs: dict[str, np.ndarray], kind: str, arguments: str, *results: str) -> list[np.ndarray]:
    """One MIL operation; `arguments` as in the text, `results` as "tensor<fp32, [2]> y"."""
    names = {np.dtype(np.float32): "fp32", np.dtype(np.int32): "int32"}
    parameters = ", ".join(
        f"tensor<{names[array.dtype]}, [{', '.join(map(str, array.shape))}]> {name}" for name, array in inputs.items()
    )
    made = ", ".join(results)
    outputs = ", ".join(result.split()[-1] for result in results)
    text = (
        f"program(1.3) {{ func main<ios18>({parameters}) {{ {made} = {kind}({arguments})"
        f'[name = string("op")]; }} -> ({outputs}); }}'
    )
    graph = loads(text)
    values = graph.evaluate(inputs)
    return [values[name] for name in graph.outputs]


X = np.random.default_rng(0).standard_normal((1, 2, 4, 6)).astype(np.float32)


def ints(*values: int) -> str:
    return f"tensor<int32, [{len(values)}]>([{', '.join(map(str, values))}])"


def test_crop() -> None:
    (y,) = run(
        {"x": X},
        "crop",
        f"x = x, crop_height = {ints(1, 0)}, crop_width = {ints(2, 1)}",
        "tensor<fp32, [1, 2, 3, 3]> y",
    )
    np.testing.assert_array_equal(y, X[:, :, 1:, 2:-1])


@pytest.mark.parametrize(
    ("arguments", "grid"),
    [
        ("align_corners = bool(true)", [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ("align_corners = bool(false)", [0, 0, 1 / 3, 2 / 3, 1, 1]),
        ("align_corners = bool(false), half_pixel_centers = bool(false)", [0, 1 / 3, 2 / 3, 1, 1, 1]),
    ],
)
def test_bilinear_upsampling_takes_the_documented_grid(arguments: str, grid: list[float]) -> None:
    x = np.float32([[[[0, 1]]]])
    factors = "scale_factor_height = fp32(1), scale_factor_width = fp32(3)"
    (y,) = run({"x": x}, "upsample_bilinear", f"x = x, {factors}, {arguments}", "tensor<fp32, [1, 1, 1, 6]> y")
    np.testing.assert_allclose(y.ravel(), grid, atol=1e-6)


@pytest.mark.parametrize(
    ("mode", "grid"),
    [
        ("STRICT_ALIGN_CORNERS", [0, 0.25, 0.5, 0.75, 1]),
        ("DEFAULT", [0, 0.4, 0.8, 1, 1]),
        ("UNALIGN_CORNERS", [0, 0.1, 0.5, 0.9, 1]),
    ],
)
def test_bilinear_resizing_takes_the_documented_grid(mode: str, grid: list[float]) -> None:
    x = np.float32([[[[0, 1]]]])
    arguments = f'x = x, target_size_height = int32(1), target_size_width = int32(5), sampling_mode = string("{mode}")'
    (y,) = run({"x": x}, "resize_bilinear", arguments, "tensor<fp32, [1, 1, 1, 5]> y")
    np.testing.assert_allclose(y.ravel(), grid, atol=1e-6)


def test_nearest_upsampling_repeats_pixels() -> None:
    arguments = "x = x, scale_factor_height = int32(2), scale_factor_width = int32(3)"
    (y,) = run({"x": X}, "upsample_nearest_neighbor", arguments, "tensor<fp32, [1, 2, 8, 18]> y")
    np.testing.assert_array_equal(y, X.repeat(2, 2).repeat(3, 3))


def test_gathers_and_bands() -> None:
    indices = np.int32([2, 0, -1])
    (y,) = run({"x": X, "i": indices}, "gather", "x = x, indices = i, axis = int32(3)", "tensor<fp32, [1, 2, 4, 3]> y")
    np.testing.assert_array_equal(y, X.take(indices, 3))
    matrix = X[0, 0]
    (y,) = run({"x": matrix}, "band_part", "x = x, lower = int32(1), upper = int32(0)", "tensor<fp32, [4, 6]> y")
    np.testing.assert_array_equal(y, np.tril(np.triu(matrix, -1)))
    places = np.int32(np.arange(24).reshape(4, 6) % 4)
    (y,) = run(
        {"x": matrix, "i": places}, "gather_along_axis", "x = x, indices = i, axis = int32(0)", "tensor<fp32, [4, 6]> y"
    )
    np.testing.assert_array_equal(y, np.take_along_axis(matrix, places, 0))


def constant(array: np.ndarray) -> str:
    extents = ", ".join(map(str, array.shape))
    elements = ", ".join(repr(float(value)) for value in array.ravel())
    return f"tensor<fp32, [{extents}]>([{elements}])"


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("reverse", [False, True])
def test_lstm_gates_are_input_forget_output_cell(reverse: bool) -> None:
    random = np.random.default_rng(1)
    steps, batch, features, hidden = 3, 2, 4, 5
    x = random.standard_normal((steps, batch, features)).astype(np.float32)
    w, r = (random.standard_normal((4 * hidden, n)).astype(np.float32) for n in (features, hidden))
    b = random.standard_normal(4 * hidden).astype(np.float32)
    h, c = (random.standard_normal((batch, hidden)).astype(np.float32) for _ in range(2))
    direction = "reverse" if reverse else "forward"
    arguments = (
        f"x = x, initial_h = h, initial_c = c, weight_ih = {constant(w)}, weight_hh = {constant(r)}, "
        f'bias = {constant(b)}, direction = string("{direction}"), output_sequence = bool(true)'
    )
    results = (
        f"tensor<fp32, [{steps}, {batch}, {hidden}]> y",
        f"tensor<fp32, [{batch}, {hidden}]> hn",
        f"tensor<fp32, [{batch}, {hidden}]> cn",
    )
    found = run({"x": x, "h": h, "c": c}, "lstm", arguments, *results)
    states = []
    for step in reversed(range(steps)) if reverse else range(steps):
        i, f, o, g = np.split(x[step] @ w.T + h @ r.T + b, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    wanted = np.stack(states[::-1] if reverse else states)
    for array, reference in zip(found, (wanted, h, c), strict=True):
        np.testing.assert_allclose(array, reference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("after", [False, True])
def test_gru_gates_are_reset_output_update(after: bool) -> None:
    random = np.random.default_rng(2)
    x = random.standard_normal((3, 1, 2)).astype(np.float32)
    w, r = random.standard_normal((9, 2)).astype(np.float32), random.standard_normal((9, 3)).astype(np.float32)
    h = random.standard_normal((1, 3)).astype(np.float32)
    arguments = (
        f"x = x, initial_h = h, weight_ih = {constant(w)}, weight_hh = {constant(r)}, "
        f"reset_after = bool({str(after).lower()})"
    )
    y, last = run({"x": x, "h": h}, "gru", arguments, "tensor<fp32, [1, 1, 3]> y", "tensor<fp32, [1, 3]> hn")
    for step in range(3):
        (xr, xo, xz), (rr, ro, rz) = np.split(x[step] @ w.T, 3, axis=1), np.split(r, 3)
        reset, update = sigmoid(xr + h @ rr.T), sigmoid(xz + h @ rz.T)
        inner = reset * (h @ ro.T) if after else (reset * h) @ ro.T
        h = (1 - update) * np.tanh(xo + inner) + update * h
    np.testing.assert_allclose(last, h, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(y[0], h, rtol=1e-4, atol=1e-5)


def test_what_recurrent_layers_lack_is_said() -> None:
    zeros = {name: constant(np.zeros(shape)) for name, shape in (("w", (4, 1)), ("r", (4, 1)), ("p", (3,)))}
    arguments = (
        f"x = x, initial_h = h, initial_c = h, weight_ih = {zeros['w']}, weight_hh = {zeros['r']}, "
        f"peephole = {zeros['p']}"
    )
    state = np.zeros((1, 1), np.float32)
    with pytest.raises(UnsupportedError, match="peepholes"):
        run({"x": np.zeros((1, 1, 1), np.float32), "h": state}, "lstm", arguments, "tensor<fp32, [1, 1, 1]> y")


def test_compressed_constants_of_the_older_form(shared: Path, tmp_path: Path) -> None:
    """Their parts stand among the attributes; an exact 8-bit copy of the weights must give the same answer."""
    package = tmp_path / "digits.mlpackage"
    shutil.copytree(shared / "models" / "digits_cnn.mlpackage", package, copy_function=shutil.copyfile)
    for path in [package, *package.rglob("*")]:
        path.chmod(0o755)
    specification = package / "Data" / "com.apple.CoreML" / "model.mlmodel"
    model = parse_model(specification.read_bytes(), "model")
    function = model.mlProgram.functions["main"]
    operations = function.block_specializations[function.opset].operations
    stored = next(
        o for o in operations if o.type == "const" and o.attributes["val"].WhichOneof("value") == "blobFileValue"
    )
    (result,) = stored.outputs
    shape = [d.constant.size for d in result.type.tensorType.dimensions]
    plain = load(package)
    original = plain.constants[result.name]
    numbers = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    types = module("MIL_pb2").DataType
    stored.type = "constexpr_affine_dequantize"
    stored.attributes.pop("val")

    def attribute(name: str, kind: int, extents: list[int], data: np.ndarray) -> Any:
        value = stored.attributes[name]
        value.type.tensorType.dataType = kind
        value.type.tensorType.rank = len(extents)
        for extent in extents:
            value.type.tensorType.dimensions.add().constant.size = extent
        value.immediateValue.tensor.bytes.values = data.tobytes()

    attribute("quantized_data", types.UINT8, shape, numbers)
    attribute("zero_point", types.UINT8, [], np.uint8(3))
    attribute("scale", types.FLOAT16, [], np.float16(0.25))
    stored.attributes["axis"].type.tensorType.dataType = types.INT32
    stored.attributes["axis"].immediateValue.tensor.ints.values.append(0)
    specification.write_bytes(model.SerializeToString())
    found = next(a for a in load(package).constants.values() if a.shape == original.shape and a.dtype == original.dtype)
    np.testing.assert_array_equal(found, ((numbers.astype(np.float32) - 3) * 0.25).astype(np.float16))
