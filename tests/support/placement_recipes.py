"""The measured models rebuilt from their descriptions, as the operations that Core ML's compiler sees.

Default input: fp16 (1, 64, 32, 32); matrices (1, 128, 256). In context, two 3x3 convolutions with ReLU (64
channels; for rank 3 two linear layers with ReLU) come before every fp16 input of rank 3 or 4 and after such an output.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from openane.coreml_placement.program import PlacedOperation, PlacedProgram, PlacedTensor

Shape = tuple[int, ...]
IMAGE: Shape = (1, 64, 32, 32)
MATRIX: Shape = (1, 128, 256)


def numbers(*values: int, dtype: str = "int32") -> PlacedTensor:
    """A constant list of integers."""
    return PlacedTensor("", dtype, (len(values),), True, values)


def scalar(value: float | bool | int, dtype: str = "int32") -> PlacedTensor:
    """A constant number."""
    return PlacedTensor("", dtype, (), True, (value,))


def text(value: str) -> PlacedTensor:
    return PlacedTensor("", "string", (), True, (value,))


def weight(*shape: int) -> PlacedTensor:
    """A constant whose values do not matter."""
    return PlacedTensor("", "fp16", shape, True)


class Builder:
    """Makes the operations of one model."""

    def __init__(self, context: bool = False) -> None:
        self.operations: list[PlacedOperation] = []
        self.context = context
        self.inputs = 0

    def input(self, shape: Shape = IMAGE, dtype: str = "fp16") -> PlacedTensor:
        self.inputs += 1
        return self._wrapped(PlacedTensor(f"x{self.inputs - 1}", dtype, shape))

    def op(self, kind: str, shape: Shape | None = None, dtype: str | None = None, **inputs: object) -> PlacedTensor:
        """Adds an operation; shape and type are those of x where they are not given."""
        operands = {
            name: tuple(value) if isinstance(value, (list, tuple)) else (value,) for name, value in inputs.items()
        }
        x = next(t for tensors in operands.values() for t in tensors)
        result = PlacedTensor(f"v{len(self.operations)}", dtype or x.dtype, x.shape if shape is None else shape)
        self.operations.append(PlacedOperation(kind, result.name, operands, (result,)))
        return result

    def open(self, kind: str, **inputs: PlacedTensor) -> PlacedTensor:
        """Adds an operation whose integer result has as many elements as the data says."""
        result = PlacedTensor(f"v{len(self.operations)}", "int32", None)
        self.operations.append(
            PlacedOperation(kind, result.name, {key: (value,) for key, value in inputs.items()}, (result,))
        )
        return result

    def cast(self, x: PlacedTensor, dtype: str) -> PlacedTensor:
        return self.op("cast", dtype=dtype, x=x, dtype_=text(dtype))

    def conv(
        self, x: PlacedTensor, out: int, kernel: Shape, shape: Shape, groups: int = 1, **inputs: object
    ) -> PlacedTensor:
        given = {"weight": weight(out, x.shape[1] // groups, *kernel), **inputs}
        return self.op("conv", shape, x=x, groups=scalar(groups), **given)

    def linear(self, x: PlacedTensor, out: int) -> PlacedTensor:
        return self.op("linear", (*x.shape[:-1], out), x=x, weight=weight(out, x.shape[-1]), bias=weight(out))

    def _wrapped(self, x: PlacedTensor) -> PlacedTensor:
        if not self.context or x.dtype != "fp16" or x.shape is None or len(x.shape) not in (3, 4):
            return x
        for _ in range(2):
            if len(x.shape) == 4:
                groups = x.shape[1] if x.shape[1] > 512 else 1
                x = self.conv(x, x.shape[1], (3, 3), x.shape, groups)
            elif x.shape[2] <= 2048:
                x = self.linear(x, x.shape[2])
            else:
                return x
            x = self.op("relu", x=x)
        return x

    def program(self, name: str, output: PlacedTensor) -> PlacedProgram:
        output = self._wrapped(output)
        return PlacedProgram(name, tuple(self.operations), (output.name,), "rebuilt from its description")


Recipe = Callable[[Builder], PlacedTensor]
RECIPES: dict[str, Recipe] = {}


def _recipe(name: str) -> Callable[[Recipe], Recipe]:
    def add(recipe: Recipe) -> Recipe:
        RECIPES[name] = recipe
        return recipe

    return add


def model(name: str, context: bool = False) -> PlacedProgram:
    """The model of that name, alone or in context."""
    builder = Builder(context)
    return builder.program(name, RECIPES[name](builder))


def _one(kind: str, shape: Shape = IMAGE, dtype: str = "fp16", out: Shape | None = None, **inputs: object) -> Recipe:
    return lambda b: b.op(kind, out, x=b.input(shape, dtype), **inputs)


def _two(kind: str, x: Shape = IMAGE, y: Shape = IMAGE, out: Shape | None = None, dtype: str = "fp16") -> Recipe:
    return lambda b: b.op(kind, out, x=b.input(x, dtype), y=b.input(y, dtype))


half = partial(scalar, dtype="fp16")

for _name in [
    "relu",
    "sigmoid",
    "tanh",
    "silu",
    "softplus",
    "softsign",
    "erf",
    "exp",
    "exp2",
    "log",
    "sqrt",
    "rsqrt",
    "inverse",
    "abs",
    "sign",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "atanh",
    "floor",
    "ceil",
    "round",
    "square",
    "relu6",
]:
    RECIPES[_name] = _one(_name)
for _name, _kind, _inputs in (
    ("gelu_exact", "gelu", {"mode": text("EXACT")}),
    ("gelu_tanh", "gelu", {"mode": text("TANH_APPROXIMATION")}),
    ("gelu_sigmoid", "gelu", {"mode": text("SIGMOID_APPROXIMATION")}),
    ("leaky_relu", "leaky_relu", {"alpha": scalar(0.1, "fp32")}),
    ("elu", "elu", {"alpha": scalar(1.0, "fp32")}),
    ("prelu", "leaky_relu", {"alpha": half(0.1)}),
    ("clip", "clip", {"alpha": half(-1), "beta": half(1)}),
    ("thresholded_relu", "thresholded_relu", {"alpha": half(0.5)}),
    ("hard_sigmoid", "sigmoid_hard", {"alpha": half(0.2), "beta": half(0.5)}),
    ("scaled_tanh", "scaled_tanh", {"alpha": half(1), "beta": half(1)}),
    ("linear_act", "linear_activation", {"alpha": half(2), "beta": half(1)}),
    ("pow_const", "pow", {"y": half(3)}),
    ("pow_half", "pow", {"y": half(0.5)}),
):
    RECIPES[_name] = _one(_kind, **_inputs)
for _name in ["add", "sub", "mul", "real_div", "maximum", "minimum", "pow", "floor_div", "mod"]:
    RECIPES[_name] = _two(_name)
for _name, _x, _y, _out in (
    ("add_bc_ch", IMAGE, (1, 64, 1, 1), IMAGE),
    ("add_bc_hw", IMAGE, (1, 1, 32, 32), IMAGE),
    ("add_bc_w", IMAGE, (1, 1, 1, 32), IMAGE),
    ("add_bc_both", (1, 64, 1, 32), (1, 1, 32, 1), IMAGE),
    ("add_bc_batch", (4, 64, 32, 32), IMAGE, (4, 64, 32, 32)),
):
    RECIPES[_name] = _two("add", _x, _y, _out)


def _compared(kind: str) -> Recipe:
    return lambda b: b.cast(b.op(kind, dtype="bool", x=b.input(), y=b.input()), "fp16")


for _name in ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]:
    RECIPES[_name] = _compared(_name)


@_recipe("select")
def _select(b: Builder) -> PlacedTensor:
    m, x, y = b.input(), b.input(), b.input()
    return b.op("select", dtype="fp16", cond=b.op("greater", dtype="bool", x=m, y=half(0)), a=x, b=y)


@_recipe("logical_and")
def _logical_and(b: Builder) -> PlacedTensor:
    x, y = b.input(), b.input()
    both = [b.op("greater", dtype="bool", x=each, y=half(0)) for each in (x, y)]
    return b.cast(b.op("logical_and", x=both[0], y=both[1]), "fp16")


def _single(kind: str, x: Shape = IMAGE, y: Shape | None = None, out: Shape | None = None) -> Recipe:
    """A float32 model: coremltools casts its inputs to fp16 and its output back."""

    def recipe(b: Builder) -> PlacedTensor:
        operands = {"x": b.cast(b.input(x, "fp32"), "fp16")}
        if y is not None:
            operands["y"] = b.cast(b.input(y, "fp32"), "fp16")
        return b.cast(b.op(kind, out, **operands), "fp32")

    return recipe


RECIPES |= {
    "relu_f32": _single("relu"),
    "add_f32": _single("add", IMAGE, IMAGE),
    "matmul_f32": _single("matmul", MATRIX, (1, 256, 128), (1, 128, 128)),
    "add_i32": _two("add", dtype="int32"),
    "mul_i32": _two("mul", dtype="int32"),
    "matmul_i32": _two("matmul", MATRIX, (1, 256, 128), (1, 128, 128), "int32"),
    "cast_f16_i32": lambda b: b.cast(b.input(), "int32"),
    "cast_i32_f16": lambda b: b.cast(b.input(IMAGE, "int32"), "fp16"),
    "cast_f16_f32": lambda b: b.cast(b.input(), "fp32"),
    "cast_f16_i8": lambda b: b.cast(b.input(), "int8"),
    "quantize_i8": lambda b: b.cast(b.op("quantize", dtype="int8", input=b.input(), scale=half(0.1)), "int32"),
    "relu_r1": _one("relu", (65536,)),
    "relu_r2": _one("relu", (256, 256)),
    "relu_r3": _one("relu", MATRIX),
    "relu_r5": _one("relu", (1, 4, 16, 32, 32)),
    "relu_n64": _one("relu", (64, 64, 8, 8)),
}
for _axis, _letter in ((1, "c"), (2, "h"), (3, "w")):
    for _extent in (16384, 16385, 65536, 65537):
        _shape = tuple(_extent if axis == _axis else 1 for axis in range(4))
        RECIPES[f"relu_{_letter}{_extent}"] = _one("relu", _shape)


def _conv(out: Shape, kernel: Shape, groups: int = 1, shape: Shape = IMAGE, **inputs: object) -> Recipe:
    return lambda b: b.conv(b.input(shape), out[1], kernel, out, groups, **inputs)


RECIPES |= {
    "conv1x1": _conv(IMAGE, (1, 1)),
    "conv3x3": _conv(IMAGE, (3, 3)),
    "conv3x3_dw": _conv(IMAGE, (3, 3), 64),
    "conv3x3_d2": _conv(IMAGE, (3, 3), dilations=numbers(2, 2)),
    "conv7x7_s2": _conv((1, 64, 16, 16), (7, 7)),
    "conv_s5": _conv((1, 64, 6, 6), (5, 5)),
    "conv1d": _conv((1, 64, 1024), (3,), shape=(1, 64, 1024)),
    "conv3d": _conv((1, 16, 8, 16, 16), (3, 3, 3), shape=(1, 16, 8, 16, 16)),
    "conv_dynw": lambda b: b.op("conv", x=b.input(), weight=b.input((64, 64, 1, 1))),
}
for _height, _width in (
    [(k, k) for k in range(13, 18)]
    + [(k, 1) for k in (16, 24, 25, 28, 31, 32, 64)]
    + [(1, k) for k in (9, 11, 12, 13, 15, 16, 17, 31, 32, 64)]
):
    _recipe_of = _conv(IMAGE, (_height, _width))
    RECIPES[f"conv_k{_height}" if _height == _width else f"conv_k{_height}x{_width}"] = _recipe_of


def _transposed(x: Shape, out: Shape, kernel: Shape) -> Recipe:
    return lambda b: b.op("conv_transpose", out, x=b.input(x), weight=weight(x[1], out[1], *kernel))


RECIPES |= {
    "conv_transpose": _transposed(IMAGE, (1, 64, 64, 64), (2, 2)),
    "conv_transpose_k3s2": _transposed(IMAGE, (1, 64, 64, 64), (3, 3)),
    "conv_transpose_1d": _transposed((1, 64, 256), (1, 64, 514), (4,)),
    "conv_transpose_3d": _transposed((1, 16, 4, 8, 8), (1, 16, 8, 16, 16), (2, 2, 2)),
    "linear": lambda b: b.linear(b.input(MATRIX), 512),
    "matmul_const": lambda b: b.op("matmul", (1, 128, 512), x=b.input(MATRIX), y=weight(256, 512)),
    "matmul_dyn": _two("matmul", MATRIX, (1, 256, 128), (1, 128, 128)),
    "matmul_dyn_tr": lambda b: b.op(
        "matmul", (1, 128, 128), x=b.input(MATRIX), y=b.input(MATRIX), transpose_y=scalar(True, "bool")
    ),
    "matmul_batched4d": _two("matmul", (1, 8, 128, 64), (1, 8, 64, 128), (1, 8, 128, 128)),
    "matmul_bc": _two("matmul", (1, 8, 128, 64), (1, 1, 64, 128), (1, 8, 128, 128)),
    **{
        f"matmul_k{k}": _two("matmul", (1, 16, k), (1, k, 16), (1, 16, 16)) for k in (16384, 32768, 40000, 49152, 65536)
    },
}
_HEADS = (1, 8, 128, 64)


@_recipe("sdpa")
def _sdpa(b: Builder) -> PlacedTensor:
    return b.op("scaled_dot_product_attention", query=b.input(_HEADS), key=b.input(_HEADS), value=b.input(_HEADS))


@_recipe("sdpa_mask")
def _sdpa_mask(b: Builder) -> PlacedTensor:
    q, k, v, m = (b.input(shape) for shape in (_HEADS, _HEADS, _HEADS, (1, 1, 128, 128)))
    return b.op("scaled_dot_product_attention", query=q, key=k, value=v, attn_mask=m)


for _name, _gates in (("lstm", 256), ("gru", 192), ("rnn", 64)):
    RECIPES[_name] = _one(_name, (16, 1, 64), weight_ih=weight(_gates, 64), weight_hh=weight(_gates, 64))


def _pool(kind: str, out: Shape, *kernel: int, shape: Shape = IMAGE) -> Recipe:
    return _one(kind, shape, out=out, kernel_sizes=numbers(*kernel))


RECIPES |= {
    "avg_pool": _pool("avg_pool", (1, 64, 16, 16), 2, 2),
    "l2_pool": _pool("l2_pool", (1, 64, 16, 16), 2, 2),
    "avg_pool3d": _pool("avg_pool", (1, 16, 4, 8, 8), 2, 2, 2, shape=(1, 16, 8, 16, 16)),
    "max_pool": _pool("max_pool", IMAGE, 3, 3),
    "max_pool_k15": _pool("max_pool", IMAGE, 15, 15),
    "avgpool_k13": _pool("avg_pool", IMAGE, 13, 13),
    **{f"maxpool_k{k}": _pool("max_pool", IMAGE, k, k) for k in (4, 5, 7, 8, 9, 13, 14, 15)},
    "maxpool_k1x9": _pool("max_pool", IMAGE, 1, 9),
    "maxpool_k9x1": _pool("max_pool", IMAGE, 9, 1),
    "global_avg": _one("reduce_mean", out=(1, 64, 1, 1), axes=numbers(2, 3), keep_dims=scalar(True, "bool")),
    "softmax_c": _one("softmax", axis=scalar(1)),
    "softmax_h": _one("softmax", axis=scalar(2)),
    "softmax_w": _one("softmax", axis=scalar(3)),
    "softmax_n": _one("softmax", (8, 64, 16, 16), axis=scalar(0)),
    "layer_norm_c": _one("layer_norm", axes=numbers(1)),
    "layer_norm_w": _one("layer_norm", MATRIX, axes=numbers(2), gamma=weight(256), beta=weight(256)),
    "layer_norm_hw": _one("layer_norm", axes=numbers(2, 3)),
    "layer_norm_chw": _one("layer_norm", axes=numbers(1, 2, 3)),
    "instance_norm": _one("instance_norm", gamma=weight(64), beta=weight(64)),
    "batch_norm": _one("batch_norm", mean=weight(64), variance=weight(64)),
    "l2_norm": _one("l2_norm"),
    "lrn": _one("local_response_norm", size=scalar(5)),
}


@_recipe("log_softmax")
def _log_softmax(b: Builder) -> PlacedTensor:
    x = b.input()
    return b.op("sub", x=x, y=b.op("reduce_log_sum_exp", (1, 1, 32, 32), x=x, axes=numbers(1)))


def _reduced(kind: str, out: Shape, *axes: int) -> Recipe:
    return _one(kind, out=out, axes=numbers(*axes), keep_dims=scalar(True, "bool"))


for _kind in [
    "reduce_sum",
    "reduce_mean",
    "reduce_max",
    "reduce_min",
    "reduce_prod",
    "reduce_l1_norm",
    "reduce_l2_norm",
    "reduce_sum_square",
    "reduce_log_sum",
    "reduce_log_sum_exp",
]:
    RECIPES[f"{_kind}_c"] = _reduced(_kind, (1, 1, 32, 32), 1)
RECIPES["reduce_sum_w"] = _reduced("reduce_sum", (1, 64, 32, 1), 3)
RECIPES["reduce_sum_all"] = _reduced("reduce_sum", (1, 1, 1, 1), 0, 1, 2, 3)


def _indexed(kind: str, out: Shape) -> Recipe:
    return lambda b: b.cast(b.op(kind, out, "int32", x=b.input(), axis=scalar(1)), "fp16")


RECIPES |= {
    "reduce_argmax_c": _indexed("reduce_argmax", (1, 1, 32, 32)),
    "reduce_argmax_w": _indexed("reduce_argmax", (1, 64, 32, 1)),
    "argsort_w": _indexed("argsort", IMAGE),
    "cumsum_w": _one("cumsum", axis=scalar(3)),
    "cumsum_c": _one("cumsum", axis=scalar(1)),
    "reshape": _one("reshape", out=(1, 64, 1024), shape_=numbers(1, 64, 1024)),
    "reshape_split_c": _one("reshape", out=(1, 8, 8, 32, 32), shape_=numbers(1, 8, 8, 32, 32)),
    "transpose_hw": _one("transpose", perm=numbers(0, 1, 3, 2)),
    "transpose_cw": _one("transpose", out=(1, 32, 32, 64), perm=numbers(0, 3, 2, 1)),
    "transpose_nc": _one("transpose", (8, 64, 16, 16), out=(64, 8, 16, 16), perm=numbers(1, 0, 2, 3)),
    "transpose_r5": _one("transpose", (1, 4, 16, 16, 16), out=(1, 16, 4, 16, 16), perm=numbers(0, 2, 1, 4, 3)),
}


def _joined(kind: str, out: Shape) -> Recipe:
    return lambda b: b.op(kind, out, values=[b.input(), b.input()], axis=scalar(1))


RECIPES |= {
    "concat_c": _joined("concat", (1, 128, 32, 32)),
    "concat_w": _joined("concat", (1, 64, 32, 64)),
    "concat_n": _joined("concat", (2, 64, 32, 32)),
    "concat_interleave": _joined("concat", (1, 128, 32, 32)),
    "stack": _joined("stack", (1, 2, 64, 32, 32)),
    "split_c": _one("split", out=(1, 32, 32, 32), axis=scalar(1), num_splits=scalar(2)),
    "slice_c": _one("slice_by_index", out=(1, 32, 32, 32), begin=numbers(0, 8, 0, 0), end=numbers(1, 40, 32, 32)),
    "slice_w_stride2": _one("slice_by_index", out=(1, 64, 32, 16), begin=numbers(0, 0, 0, 0)),
    "slice_by_size": _one("slice_by_size", out=(1, 64, 16, 16), begin=numbers(0, 0, 4, 4)),
    "slice_dyn": lambda b: b.op("slice_by_size", (1, 32, 16, 16), x=b.input(), begin=b.input((4,), "int32")),
    "reverse_w": _one("reverse", axes=numbers(3)),
    "tile": _one("tile", out=(1, 128, 32, 64), reps=numbers(1, 2, 1, 2)),
    "pad_const": _one("pad", out=(1, 64, 34, 34), pad=numbers(1, 1, 1, 1), mode=text("constant")),
    "pad_reflect": _one("pad", out=(1, 64, 36, 36), pad=numbers(2, 2, 2, 2), mode=text("reflect")),
    "pad_replicate": _one("pad", out=(1, 64, 36, 36), pad=numbers(2, 2, 2, 2), mode=text("replicate")),
    "pad_c": _one("pad", out=(1, 72, 32, 32), pad=numbers(0, 0, 4, 4, 0, 0, 0, 0), mode=text("constant")),
    "space_to_depth": _one("space_to_depth", out=(1, 256, 16, 16), block_size=scalar(2)),
    "depth_to_space": _one("depth_to_space", out=(1, 16, 64, 64), block_size=scalar(2)),
    "pixel_shuffle": _one("pixel_shuffle", out=(1, 16, 64, 64), upscale_factor=scalar(2)),
    "pixel_unshuffle": _one("pixel_unshuffle", out=(1, 256, 16, 16), downscale_factor=scalar(2)),
    "space_to_batch": _one("space_to_batch", out=(4, 64, 16, 16)),
    "batch_to_space": _one("batch_to_space", (4, 64, 16, 16), out=IMAGE),
    "sliding_windows": _one("sliding_windows", (1, 64, 256), out=(1, 64, 63, 8)),
    "band_part": _one("band_part", (1, 128, 128)),
    "squeeze_expand": lambda b: b.op(
        "expand_dims", (1, 64, 32, 1), x=b.op("squeeze", (1, 64, 32), x=b.input((1, 64, 1, 32)))
    ),
    "upsample_nearest": _one("upsample_nearest_neighbor", out=(1, 64, 64, 64)),
    "upsample_nearest_x3": _one("upsample_nearest_neighbor", out=(1, 64, 96, 96)),
    "upsample_nearest_frac": _one("upsample_nearest_neighbor", out=(1, 64, 48, 48)),
    "upsample_bilinear": _one("upsample_bilinear", out=(1, 64, 64, 64)),
    "resize_bilinear": _one("resize_bilinear", out=(1, 64, 48, 48)),
    "resize_nearest": _one("resize_nearest_neighbor", out=(1, 64, 48, 48)),
    "resize_down": _one("resize", out=(1, 64, 20, 20)),
    "crop_resize": _one("crop_resize", out=(4, 64, 8, 8)),
    "affine": _one("affine"),
    "resample": lambda b: b.op("resample", x=b.input(), coordinates=b.input((1, 32, 32, 2))),
    "gather_c": _one("gather", out=(1, 32, 32, 32), indices=numbers(*range(32)), axis=scalar(1)),
    "gather_w": _one("gather", out=(1, 64, 32, 16), indices=numbers(*range(16)), axis=scalar(3)),
    "topk_w": _one("topk", out=(1, 64, 32, 4), k=scalar(4)),
    "topk_c": _one("topk", out=(1, 4, 32, 32), k=scalar(4)),
    "topk_large": _one("topk", (1, 32000), out=(1, 40), k=scalar(40)),
    "fill_like": lambda b: b.cast(b.op("fill_like", ref_tensor=b.input(), value=half(1)), "fp32"),
    "shape": _one("identity"),
    "one_hot": lambda b: b.op("one_hot", (1, 64, 128), "fp16", indices=b.input((1, 64), "int32")),
    "nonzero": lambda b: b.cast(b.open("non_zero", x=b.input((1, 256))), "fp16"),
    "random_normal": lambda b: b.op("add", x=b.input(), y=b.op("random_normal", IMAGE, "fp16", shape_=numbers(*IMAGE))),
}


def _prepared(b: Builder, indices: PlacedTensor, limit: int) -> PlacedTensor:
    """Indices as coremltools prepares them: negative ones get the extent added."""
    wide = b.cast(b.cast(indices, "int16"), "int32")
    positive = b.op("greater_equal", dtype="bool", x=wide, y=scalar(0))
    chosen = b.op("select", dtype="int32", cond=positive, a=wide, b=b.op("add", x=wide, y=scalar(limit)))
    return b.cast(chosen, "int16")


@_recipe("embedding")
def _embedding(b: Builder) -> PlacedTensor:
    indices = _prepared(b, b.input((1, 64), "int32"), 32000)
    return b.op("gather", (1, 64, 256), "fp16", x=weight(32000, 256), indices=indices, axis=scalar(0))


@_recipe("gather_dyn")
def _gather_dyn(b: Builder) -> PlacedTensor:
    table, indices = b.input((1000, 256)), b.input((1, 64), "int32")
    return b.op("gather", (1, 64, 256), x=table, indices=_prepared(b, indices, 1000), axis=scalar(0))


@_recipe("gather_nd")
def _gather_nd(b: Builder) -> PlacedTensor:
    x, indices = b.input(), b.input((8, 2), "int32")
    return b.op("gather_nd", (8, 32, 32), x=x, indices=_prepared(b, indices, 64))


@_recipe("gather_along_axis")
def _gather_along_axis(b: Builder) -> PlacedTensor:
    x, indices = b.input(), b.input(IMAGE, "int32")
    return b.op("gather_along_axis", x=x, indices=b.cast(indices, "int16"), axis=scalar(3))


def _scattered(kind: str) -> Recipe:
    return lambda b: b.op(kind, data=b.input(), indices=b.input(IMAGE, "int32"), updates=b.input())


RECIPES["scatter"], RECIPES["scatter_along_axis"] = _scattered("scatter"), _scattered("scatter_along_axis")


@_recipe("range_1d")
def _range(b: Builder) -> PlacedTensor:
    end = b.cast(b.input((1,), "int32"), "int16")
    wide = b.cast(b.op("squeeze", (), x=end), "int32")
    return b.cast(b.open("range_1d", end=wide, start=scalar(0), step=scalar(1)), "fp16")
