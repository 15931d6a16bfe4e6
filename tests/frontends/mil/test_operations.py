"""What MIL operations compute, against numpy; defaults are those of MIL."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.support.mil_texts import evaluate, graph, program

from openane.core.errors import ModelError, UnsupportedError
from openane.frontends.mil import load, loads
from openane.frontends.mil.operations import OPERATIONS

X = np.random.default_rng(0).uniform(-2, 2, (1, 4, 5, 6))
XT = "tensor<fp32, [1, 4, 5, 6]>"
Reference = Callable[[np.ndarray], np.ndarray]


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """The plain formula."""
    e = np.exp(x)
    return e / e.sum(axis, keepdims=True)


def standardized(x: np.ndarray, axes: tuple[int, ...], epsilon: float) -> np.ndarray:
    """(x - mean) / sqrt(variance + epsilon)."""
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)


def ints(*values: int) -> str:
    """A constant list of integers."""
    return f"tensor<int32, [{len(values)}]>([{', '.join(map(str, values))}])"


#: Arguments after `x = x`, the result's shape, and the reference.
ONE_OPERAND: dict[str, tuple[str, str, Reference]] = {
    "relu6": ("", "1, 4, 5, 6", lambda x: np.clip(x, 0, 6)),
    "leaky_relu": (", alpha = fp32(0.25)", "1, 4, 5, 6", lambda x: np.where(x > 0, x, x / 4)),
    "clamped_relu": (
        ", alpha = fp32(0.5), beta = fp32(1)",
        "1, 4, 5, 6",
        lambda x: np.minimum(np.where(x > 0, x, x / 2), 1),
    ),
    "thresholded_relu": (", alpha = fp32(0.5)", "1, 4, 5, 6", lambda x: np.where(x > 0.5, x, 0)),
    "threshold": (", alpha = fp32(0.5)", "1, 4, 5, 6", lambda x: np.maximum(x, 0.5)),
    "clip": (", alpha = fp32(-1), beta = fp32(0.5)", "1, 4, 5, 6", lambda x: np.clip(x, -1, 0.5)),
    "linear_activation": (", alpha = fp32(2), beta = fp32(0.5)", "1, 4, 5, 6", lambda x: 2 * x + 0.5),
    "sigmoid_hard": ("", "1, 4, 5, 6", lambda x: np.clip(0.2 * x + 0.5, 0, 1)),
    "elu": ("", "1, 4, 5, 6", lambda x: np.where(x > 0, x, np.expm1(x))),
    "silu": ("", "1, 4, 5, 6", lambda x: x / (1 + np.exp(-x))),
    "gelu": (', mode = string("SIGMOID_APPROXIMATION")', "1, 4, 5, 6", lambda x: x / (1 + np.exp(-1.702 * x))),
    "inverse": (", epsilon = fp32(4)", "1, 4, 5, 6", lambda x: 1 / (x + 4)),
    "rsqrt": (", epsilon = fp32(4)", "1, 4, 5, 6", lambda x: 1 / np.sqrt(x + 4)),
    "softmax": (", axis = int32(1)", "1, 4, 5, 6", lambda x: softmax(x, 1)),
    "layer_norm": (f", axes = {ints(-1, 1)}", "1, 4, 5, 6", lambda x: standardized(x, (1, 3), 1e-5)),
    "instance_norm": (", epsilon = fp32(0.1)", "1, 4, 5, 6", lambda x: standardized(x, (2, 3), 0.1)),
    "l2_norm": (", epsilon = fp32(0.1)", "1, 4, 5, 6", lambda x: x / np.sqrt((x * x).sum() + 0.1)),
    "reduce_mean": (f", axes = {ints(2, -1)}", "1, 4", lambda x: x.mean((2, 3))),
    "reduce_l2_norm": (
        f", axes = {ints(1)}, keep_dims = bool(true)",
        "1, 1, 5, 6",
        lambda x: np.sqrt((x * x).sum(1, keepdims=True)),
    ),
    "reduce_log_sum_exp": ("", "", lambda x: np.log(np.exp(x).sum())),
    "cumsum": (", axis = int32(2), reverse = bool(true)", "1, 4, 5, 6", lambda x: x[:, :, ::-1].cumsum(2)[:, :, ::-1]),
    "reshape": (f", shape = {ints(0, 2, -1)}", "1, 2, 60", lambda x: x.reshape(1, 2, 60)),
    "expand_dims": (f", axes = {ints(0, -1)}", "1, 1, 4, 5, 6, 1", lambda x: x[None, ..., None]),
    "squeeze": ("", "4, 5, 6", lambda x: x[0]),
    "flatten2d": (", axis = int32(2)", "4, 30", lambda x: x.reshape(4, 30)),
    "transpose": (f", perm = {ints(0, 2, -1, 1)}", "1, 5, 6, 4", lambda x: x.transpose(0, 2, 3, 1)),
    "reverse": (f", axes = {ints(3)}", "1, 4, 5, 6", lambda x: x[..., ::-1]),
    "tile": (f", reps = {ints(1, 2, 1, 1)}", "1, 8, 5, 6", lambda x: np.tile(x, (1, 2, 1, 1))),
    "slice_by_size": (
        f", begin = {ints(0, 1, 0, -2)}, size = {ints(1, 2, -1, 2)}",
        "1, 2, 5, 2",
        lambda x: x[:, 1:3, :, -2:],
    ),
    "pad": (
        f', pad = {ints(1, 0, 2, 1)}, mode = string("reflect")',
        "1, 4, 6, 9",
        lambda x: np.pad(x, [(0, 0), (0, 0), (1, 0), (2, 1)], mode="reflect"),
    ),
    "max_pool": (
        f", kernel_sizes = {ints(2, 2)}, strides = {ints(2, 2)}",
        "1, 4, 2, 3",
        lambda x: x[:, :, :4].reshape(1, 4, 2, 2, 3, 2).max((3, 5)),
    ),
    "pixel_shuffle": (
        ", upscale_factor = int32(2)",
        "1, 1, 10, 12",
        lambda x: x.reshape(1, 1, 2, 2, 5, 6).transpose(0, 1, 4, 2, 5, 3).reshape(1, 1, 10, 12),
    ),
}


@pytest.mark.parametrize("operation", ONE_OPERAND)
def test_operations_of_one_tensor(operation: str) -> None:
    arguments, shape, reference = ONE_OPERAND[operation]
    body = f'tensor<fp32, [{shape}]> y = {operation}(x = x{arguments})[name = string("y")];'
    np.testing.assert_allclose(evaluate(body, f"{XT} x", x=X), reference(X), rtol=1e-6, atol=1e-7)


def test_slices_with_masks_and_steps() -> None:
    body = f"""
    tensor<fp32, [4, 3, 6]> y = slice_by_index(x = x, begin = {ints(0, 3, 4, 1)}, end = {ints(0, 0, 0, 0)},
      stride = {ints(1, 1, -2, 1)}, begin_mask = tensor<bool, [4]>([false, true, false, true]),
      end_mask = tensor<bool, [4]>([false, true, true, true]),
      squeeze_mask = tensor<bool, [4]>([true, false, false, false]))[];
    """
    np.testing.assert_array_equal(evaluate(body, f"{XT} x", x=X), X[0, :, 4::-2, :])


@pytest.mark.parametrize(
    ("kind", "pads"),
    [
        ("valid", ((0, 0), (0, 0))),
        ("same", ((0, 1), (1, 1))),
        ("same_lower", ((1, 0), (1, 1))),
        ("custom", ((1, 2), (0, 3))),
    ],
)
def test_padding_of_convolutions(kind: str, pads: tuple[tuple[int, int], tuple[int, int]]) -> None:
    (top, bottom), (left, right) = pads
    height, width = (5 + top + bottom - 2) // 2 + 1, (6 + left + right - 3) // 1 + 1
    height = (5 + 1 - 2) // 2 + 1 if kind.startswith("same") else height
    body = f"""
    tensor<fp32, [1, 4, 2, 3]> w = const()[val = tensor<fp32, [1, 4, 2, 3]>([{", ".join(["1"] * 24)}])];
    tensor<fp32, [1, 1, {height}, {width}]> y = conv(x = x, weight = w, strides = {ints(2, 1)},
      pad_type = string("{kind}"), pad = {ints(1, 2, 0, 3)}, groups = int32(1))[];
    """
    padded = np.pad(X.sum(1)[0], pads)
    wanted = [[padded[2 * i : 2 * i + 2, j : j + 3].sum() for j in range(width)] for i in range(height)]
    np.testing.assert_allclose(evaluate(body, f"{XT} x", x=X)[0, 0], wanted, rtol=1e-9)


def test_transposed_convolution_gives_the_shape_that_is_asked_for() -> None:
    body = f"""
    tensor<fp32, [4, 1, 3, 3]> w = const()[val = tensor<fp32, [4, 1, 3, 3]>([{", ".join(["1"] * 36)}])];
    tensor<fp32, [1, 1, 10, 12]> y = conv_transpose(x = x, weight = w, strides = {ints(2, 2)},
      pad_type = string("same"), output_shape = {ints(1, 1, 10, 12)})[];
    """
    assert evaluate(body, f"{XT} x", x=X).shape == (1, 1, 10, 12)


def test_products_and_attention() -> None:
    q, k, v = (np.random.default_rng(i).standard_normal((2, 5, 4)) for i in range(3))
    kind = "tensor<fp32, [2, 5, 4]>"
    body = f"{kind} y = scaled_dot_product_attention(query = q, key = k, value = v)[];"
    found = evaluate(body, f"{kind} q, {kind} k, {kind} v", q=q, k=k, v=v)
    scores = softmax(q @ k.swapaxes(1, 2) / math.sqrt(4), 2)
    np.testing.assert_allclose(found, scores @ v, rtol=1e-6)
    body = """
    tensor<fp32, [3, 4]> w = const()[val = tensor<fp32, [3, 4]>([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1])];
    tensor<fp32, [3]> b = const()[val = tensor<fp32, [3]>([1, 2, 3])];
    tensor<fp32, [2, 5, 3]> y = linear(x = q, weight = w, bias = b)[];
    """
    wanted = np.stack([q[..., 0] + 1, q[..., 1] + 2, q[..., 2] + q[..., 3] + 3], -1)
    np.testing.assert_allclose(evaluate(body, f"{kind} q", q=q), wanted)


PALETTE = "tensor<uint8, [2]>([228, 27])"


COMPRESSED = {
    "palette, iOS 16": (
        f"constexpr_lut_to_dense(indices = {PALETTE}, lut = tensor<fp32, [4]>([0, 10, 20, 30]),"
        " shape = tensor<uint32, [2]>([2, 4]))",
        [[0, 10, 20, 30], [30, 20, 10, 0]],
    ),
    "palette, iOS 18": (
        "constexpr_lut_to_dense(indices = tensor<uint2, [2, 4]>([0, 1, 2, 3, 3, 2, 1, 0]),"
        " lut = tensor<fp32, [2, 1, 4, 1]>([0, 1, 2, 3, 0, 10, 20, 30]))",
        [[0, 1, 2, 3], [30, 20, 10, 0]],
    ),
    "affine": (
        "constexpr_affine_dequantize(quantized_data = tensor<int8, [2, 4]>([1, 2, 3, 4, 1, 2, 3, 4]),"
        " zero_point = int8(1), scale = tensor<fp32, [2]>([0.5, 2]), axis = int32(0))",
        [[0, 0.5, 1, 1.5], [0, 2, 4, 6]],
    ),
    "blockwise": (
        "constexpr_blockwise_shift_scale(data = tensor<int4, [2, 4]>([1, 2, 3, 4, -1, -2, -3, -4]),"
        " scale = tensor<fp32, [1, 2]>([1, 10]))",
        [[1, 2, 30, 40], [-1, -2, -30, -40]],
    ),
    "sparse": (
        "constexpr_sparse_to_dense(nonzero_data = tensor<fp32, [3]>([7, 8, 9]),"
        " mask = tensor<uint1, [2, 4]>([1, 0, 0, 1, 0, 0, 1, 0]))",
        [[7, 0, 0, 8], [0, 0, 9, 0]],
    ),
}


@pytest.mark.parametrize("case", COMPRESSED)
def test_compressed_constants_are_spread_out(case: str) -> None:
    text, wanted = COMPRESSED[case]
    body = f"tensor<fp32, [2, 4]> c = {text}[];\n tensor<fp32, [2, 4]> y = add(x = x, y = c)[];"
    found = graph(body, "tensor<fp32, [2, 4]> x")
    assert [type(node.operation).__name__ for node in found.nodes] == ["Add"]
    assert found.evaluate({"x": np.zeros((2, 4))})["y"].tolist() == wanted


def test_what_only_depends_on_constants_is_computed_at_once() -> None:
    body = f"""
    tensor<int32, [4]> s = shape(x = x)[];
    tensor<int32, [1]> n = slice_by_size(x = s, begin = {ints(1)}, size = {ints(1)})[];
    tensor<int32, [2]> to = concat(values = (n, {ints(-1)}), axis = int32(0))[];
    tensor<fp32, [4, 30]> y = reshape(x = x, shape = to)[];
    """
    found = graph(body, f"{XT} x")
    assert [type(node.operation).__name__ for node in found.nodes] == ["Reshape"]


def test_bad_compressed_constants_are_refused() -> None:
    indices, table = "tensor<uint4, [1, 1]>([9])", "tensor<fp32, [1, 1, 4, 1]>([0, 1, 2, 3])"
    body = f"tensor<fp32, [1, 1]> c = constexpr_lut_to_dense(indices = {indices}, lut = {table})[];"
    with pytest.raises(ModelError, match=r"an index is outside the table \(found 9; allowed: 4\)"):
        loads(program(body))


def test_every_operation_has_parameters_and_a_reader() -> None:
    assert len(OPERATIONS) > 100
    for name, entry in OPERATIONS.items():
        assert entry.parameters and callable(entry.translate), name


def test_an_unsupported_mode_is_named() -> None:
    body = f'{XT} y = gelu(x = x, mode = string("FAST"))[];'
    with pytest.raises(UnsupportedError, match=r"argument 'mode' is not supported \(found FAST; allowed: EXACT"):
        loads(program(body, f"{XT} x"))


def test_a_compiled_folder_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "net.mlmodelc"
    (folder / "weights").mkdir(parents=True)
    data = np.arange(24, dtype=np.float32)
    header = struct.pack("<II", 1, 2).ljust(64, b"\0") + struct.pack("<IIQQ", 0xDEADBEEF, 2, 96, 128).ljust(64, b"\0")
    (folder / "weights" / "weight.bin").write_bytes(header + data.tobytes())
    blob = 'BLOBFILE(path = string("@model_path/weights/weight.bin"), offset = uint64(64))'
    body = f"""
    tensor<fp32, [4, 6]> c = const()[val = tensor<fp32, [4, 6]>({blob})];
    tensor<fp32, [4, 6]> y = mul(x = x, y = c)[];
    """
    (folder / "model.mil").write_text(program(body, "tensor<fp32, [4, 6]> x"))
    found = load(folder).evaluate({"x": np.ones((4, 6), np.float32)})["y"]
    np.testing.assert_array_equal(found, data.reshape(4, 6))
