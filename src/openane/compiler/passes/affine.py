"""Scales and shifts folded into the weights of the convolution or matrix product before or after them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from openane.compiler.passes.rewriting import Editor, Replacement, Rules
from openane.graph import Graph, Node
from openane.graph.ops import Add, Affine, BatchNorm, Conv, ConvTranspose, MatMul, Mul
from openane.numerics.limits import HALF_LARGEST


def fold_scales(graph: Graph) -> Graph:
    """Folds BatchNorm, per-channel Mul and Add, and Affine into convolutions and matrix products."""
    return Editor(graph, "scale").run(_RULES)


@dataclass(frozen=True, slots=True)
class Scaling:
    """y = scale * x + shift, one value of each per position of an axis, in float64."""

    scale: np.ndarray
    shift: np.ndarray


def along_axis(array: np.ndarray, rank: int, axis: int, extent: int) -> np.ndarray | None:
    """A constant that broadcasts to `rank` axes as one value per position of `axis`, float64; None if it is not one."""
    if array.ndim > rank or array.dtype.kind != "f":
        return None
    shape = (1,) * (rank - array.ndim) + array.shape
    if any(e != 1 for i, e in enumerate(shape) if i != axis) or shape[axis] not in (1, extent):
        return None
    return np.broadcast_to(array.astype(np.float64).reshape(-1), (extent,))


def scaling_of(editor: Editor, node: Node, axis: int) -> Scaling | None:
    """What a node does to its first operand, as a scaling along an axis of it; None if it is none."""
    shape = editor.shape(node.inputs[0])
    if editor.shape(node.outputs[0]) != shape or not 0 <= axis < len(shape):
        return None
    extent = shape[axis]
    zero, one = np.zeros(extent), np.ones(extent)
    match node.operation:
        case Affine(alpha, beta):
            return Scaling(one * alpha, zero + beta)
        case BatchNorm(epsilon):
            values = [editor.constant(name) for name in node.inputs[1:]]
            if axis != 1 or any(value is None for value in values):
                return None
            gamma, beta_array, mean, variance = (v.astype(np.float64) for v in values if v is not None)
            scale = gamma / np.sqrt(variance + epsilon)
            return Scaling(scale, beta_array - mean * scale)
        case Mul() | Add():
            array = editor.constant(node.inputs[1])
            vector = None if array is None else along_axis(array, len(shape), axis, extent)
            if vector is None:
                return None
            return Scaling(vector, zero) if isinstance(node.operation, Mul) else Scaling(one, vector)
        case _:
            return None


def _new_constants(
    editor: Editor, node: Node, weight: np.ndarray, bias: np.ndarray, like: np.ndarray
) -> tuple[str, str] | None:
    """Names of a new weight and bias in the type of the old weight; None if they leave the range of fp16."""
    arrays = [np.ascontiguousarray(a.astype(like.dtype)) for a in (weight, bias)]
    if not all(_held(a) for a in arrays):
        return None
    names = (editor.add_constant(a, f"{node.name}/{what}") for a, what in zip(arrays, ("weight", "bias"), strict=True))
    first, second = names
    return first, second


def _held(array: np.ndarray) -> bool:
    """Whether fp16 holds every value; a constant that grows beyond would keep the layer off the engine."""
    return bool(np.all(np.abs(array) <= HALF_LARGEST))


def _weights(editor: Editor, conv: Node) -> tuple[np.ndarray, np.ndarray] | None:
    """Constant weight and bias (zeros where there is none) of a convolution; None where they are not constant."""
    weight = editor.constant(conv.inputs[1])
    channels = editor.shape(conv.outputs[0])[1]
    if weight is None or weight.dtype.kind != "f":
        return None
    if len(conv.inputs) < 3 or not conv.inputs[2]:
        return weight, np.zeros(channels)
    bias = editor.constant(conv.inputs[2])
    return None if bias is None else (weight, bias.astype(np.float64))


def _fold_into_convolution(editor: Editor, node: Node) -> Replacement | None:
    """conv, then a scaling per channel: the scale goes into the kernel, the shift into the bias."""
    conv = editor.only(node.inputs[0], Conv, ConvTranspose)
    found = None if conv is None else _weights(editor, conv)
    scaling = scaling_of(editor, node, 1)
    if conv is None or found is None or scaling is None:
        return None
    weight, bias = found
    if isinstance(conv.operation, ConvTranspose):
        groups = conv.operation.groups
        per_group = scaling.scale.reshape(groups, 1, -1, *(1,) * (weight.ndim - 2))
        scaled = weight.reshape(groups, -1, *weight.shape[1:]) * per_group
    else:
        scaled = weight * scaling.scale.reshape(-1, *(1,) * (weight.ndim - 1))
    names = _new_constants(editor, conv, scaled.reshape(weight.shape), bias * scaling.scale + scaling.shift, weight)
    return None if names is None else editor.put(node, conv.operation, (conv.inputs[0], *names))


def _fold_into_next_convolution(editor: Editor, node: Node) -> Replacement | None:
    """A scaling per channel, then conv: folded where padding stays 0, that is without shift or without pads."""
    before = editor.only(node.inputs[0], Mul, Add, BatchNorm, Affine)
    found = _weights(editor, node)
    scaling = None if before is None else scaling_of(editor, before, 1)
    operation = node.operation
    assert isinstance(operation, Conv)
    if before is None or found is None or scaling is None:
        return None
    if bool(np.any(scaling.shift)) and any(operation.pads):
        return None
    weight, bias = found
    groups = operation.groups
    kernel = weight.astype(np.float64).reshape(groups, -1, *weight.shape[1:])
    ones = (1,) * (weight.ndim - 2)
    shift = kernel * scaling.shift.reshape(groups, 1, -1, *ones)
    scaled = (kernel * scaling.scale.reshape(groups, 1, -1, *ones)).reshape(weight.shape)
    extra = shift.reshape(weight.shape).sum(tuple(range(1, weight.ndim)))
    names = _new_constants(editor, node, scaled, bias + extra, weight)
    return None if names is None else editor.put(node, operation, (before.inputs[0], *names))


def _matrix(editor: Editor, product: Node) -> np.ndarray | None:
    """The constant matrix that a product multiplies by from the right, as (inner, columns)."""
    matrix, operation = editor.constant(product.inputs[1]), product.operation
    assert isinstance(operation, MatMul)
    if matrix is None or matrix.ndim != 2 or matrix.dtype.kind != "f" or editor.rank(product.inputs[0]) < 2:
        return None
    return matrix.T if operation.transpose_b else matrix


def _put_product(editor: Editor, node: Node, product: Node, matrix: np.ndarray, x: str) -> str | None:
    """A new product with another matrix; its value name, None if the matrix leaves its range."""
    like = editor.constant(product.inputs[1])
    assert like is not None and isinstance(product.operation, MatMul)
    names = _new_constants(editor, product, matrix, np.zeros(0), like)
    if names is None:
        return None
    operation = MatMul(product.operation.transpose_a, False)
    return editor.add(operation, (x, names[0]), product)


def _fold_into_product(editor: Editor, node: Node) -> Replacement | None:
    """Matrix product, maybe plus a constant, then a scaling per column: scale into the matrix, shift after."""
    rank = editor.rank(node.inputs[0])
    scaling = scaling_of(editor, node, rank - 1)
    total = editor.only(node.inputs[0], Add)
    inner = None if total is None else scaling_of(editor, total, rank - 1)
    source = total.inputs[0] if total is not None and inner is not None else node.inputs[0]
    product = editor.only(source, MatMul)
    matrix = None if product is None else _matrix(editor, product)
    if scaling is None or product is None or matrix is None or bool(np.all(scaling.scale == 1)):
        return None
    scaled = _put_product(editor, node, product, matrix * scaling.scale, product.inputs[0])
    if scaled is None:
        return None
    shift = scaling.shift + (0 if inner is None else inner.shift * scaling.scale)
    if not bool(np.any(shift)):
        return editor.alias(node, scaled)
    bias = editor.add_constant(shift.astype(editor.type_of(scaled).dtype.numpy), f"{node.name}/bias")
    return editor.put(node, Add(), (scaled, bias))


def _fold_into_next_product(editor: Editor, node: Node) -> Replacement | None:
    """A scale per row of the matrix, then the product."""
    operation = node.operation
    assert isinstance(operation, MatMul)
    before = editor.only(node.inputs[0], Mul)
    matrix = _matrix(editor, node)
    if before is None or matrix is None or operation.transpose_a:
        return None
    scaling = scaling_of(editor, before, editor.rank(node.inputs[0]) - 1)
    if scaling is None:
        return None
    scaled = _put_product(editor, node, node, matrix * scaling.scale[:, None], before.inputs[0])
    return None if scaled is None else editor.alias(node, scaled)


def _fold_into_norm(editor: Editor, node: Node) -> Replacement | None:
    """BatchNorm, then a scaling per channel, is a BatchNorm."""
    norm = editor.only(node.inputs[0], BatchNorm)
    scaling = scaling_of(editor, node, 1)
    if norm is None or scaling is None:
        return None
    gamma, beta = (editor.constant(name) for name in norm.inputs[1:3])
    if gamma is None or beta is None:
        return None
    shift = beta.astype(np.float64) * scaling.scale + scaling.shift
    names = _new_constants(editor, norm, gamma.astype(np.float64) * scaling.scale, shift, gamma)
    if names is None:
        return None
    return editor.put(node, norm.operation, (norm.inputs[0], *names, *norm.inputs[3:]))


def _merge_constants(editor: Editor, node: Node) -> Replacement | None:
    """(x * a) * b = x * (a * b), and the same for sums, where that makes no larger constant."""
    kind = type(node.operation)
    inner = editor.only(node.inputs[0], kind)
    if inner is None:
        return None
    first, second = editor.constant(inner.inputs[1]), editor.constant(node.inputs[1])
    if first is None or second is None or first.dtype.kind != "f":
        return None
    if np.broadcast_shapes(first.shape, second.shape) not in (first.shape, second.shape):
        return None
    wide = first.astype(np.float64), second.astype(np.float64)
    merged = (wide[0] * wide[1] if kind is Mul else wide[0] + wide[1]).astype(first.dtype)
    if not _held(merged) and (kind is Mul or not bool(np.all(np.isfinite(merged)))):
        return None
    return editor.put(node, node.operation, (inner.inputs[0], editor.add_constant(merged, node.name)))


_RULES: Rules = {
    BatchNorm: (_fold_into_convolution, _fold_into_product),
    Affine: (_fold_into_convolution, _fold_into_product),
    Mul: (_fold_into_convolution, _fold_into_product, _fold_into_norm, _merge_constants),
    Add: (_fold_into_convolution, _fold_into_norm, _merge_constants),
    Conv: (_fold_into_next_convolution,),
    MatMul: (_fold_into_next_product,),
}
