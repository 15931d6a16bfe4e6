"""The passes that join units to chains (see `chain_units`), after epilogues have been fused."""

from __future__ import annotations

import numpy as np

from openane.backend.ir.chain_units import (
    Attention,
    FunctionProduct,
    NormalizedProduct,
    ResidualFunction,
    ResidualProduct,
    TwoProducts,
)
from openane.backend.ir.fused import Fused, FusedElementWise
from openane.backend.passes.editor import NetEditor
from openane.backend.units.attention import attention_bytes, is_head
from openane.backend.units.chains import (
    function_product_bytes,
    normalized_bytes,
    residual_bytes,
    residual_function_bytes,
    two_products_fit,
)
from openane.backend.units.functions import ne_function
from openane.backend.units.reduction import FlatReduction
from openane.backend.units.rows import as_matrix
from openane.net.net import Unit, UnitParams
from openane.net.units import (
    Dimension,
    ElementWiseKind,
    ElementWiseParams,
    GOCParams,
    LayerNormParams,
    LinearParams,
    MatMulParams,
    NeuronParams,
    ReductionParams,
    ReshapeParams,
    SoftmaxParams,
)

_ROWS = frozenset({Dimension.WIDTH})
_IMAGE = frozenset({Dimension.HEIGHT, Dimension.WIDTH})


def as_product(unit: Unit | None) -> Fused | None:
    """A product by a constant with what is fused after it; None for other units."""
    if unit is None:
        return None
    params = unit.params
    if isinstance(params, LinearParams):
        return Fused(params, dimension=Dimension.WIDTH)
    return params if isinstance(params, Fused) and isinstance(params.main, LinearParams) else None


def flat_reductions(editor: NetEditor) -> None:
    """A reduction over an image whose result is only seen as a row writes that row."""
    for unit in editor.net.units:
        if not isinstance(unit.params, ReshapeParams):
            continue
        before = editor.only_use(unit.bottoms[0])
        if before is None or not isinstance(before.params, ReductionParams) or before.params.dimensions != _IMAGE:
            continue
        shape, result = editor.net.shapes[before.name], editor.net.shapes[unit.name]
        if shape.batch * shape.depth == 1 and shape.channels > 1 and result.width == result.size:
            editor.merge(unit, FlatReduction(before.params), before, before.bottoms)


def products(editor: NetEditor) -> None:
    """A normalization of rows or another product before a product, and a sum with its operand after it."""
    for original in editor.net.units:
        unit = editor.units[original.name]
        product = as_product(unit)
        if product is not None:
            _join_front(editor, unit, product)
        elif isinstance(unit.params, (ElementWiseParams, FusedElementWise)):
            _join_sum(editor, unit)


def _join_front(editor: NetEditor, unit: Unit, product: Fused) -> None:
    before = editor.only_use(unit.bottoms[0])
    if before is None:
        return
    shapes = editor.net.shapes
    source, result = as_matrix(shapes[before.bottoms[0]]), as_matrix(shapes[unit.name])
    rows, inner, outputs = source.height, source.width, result.width
    norm, first = before.params, as_product(before)
    if isinstance(norm, LayerNormParams) and norm.dimensions == _ROWS and norm.center:
        if normalized_bytes(editor.machine, rows, inner, outputs) <= editor.machine.l2_bytes:
            editor.merge(unit, NormalizedProduct(norm, product), before, before.bottoms)
    elif _is_one_task(norm) and function_product_bytes(editor.machine, rows, inner, outputs) <= editor.machine.l2_bytes:
        assert isinstance(norm, (NeuronParams, GOCParams))
        editor.merge(unit, FunctionProduct(norm, product), before, before.bottoms)
    elif first is not None and two_products_fit(
        editor.machine, rows, inner, as_matrix(shapes[before.name]).width, outputs
    ):
        editor.merge(unit, TwoProducts(first, product), before, before.bottoms)


def _is_one_task(params: UnitParams) -> bool:
    """Whether a unit is a function that one task computes, with no numbers of its own for each channel."""
    if isinstance(params, GOCParams):
        return not np.ndim(params.scale) and not np.ndim(params.bias)
    function = ne_function(params) if isinstance(params, NeuronParams) else None
    return function is not None and not function.accumulate_bias


def _plain_sum(params: UnitParams) -> bool:
    """Whether a unit adds two tensors and does nothing else."""
    if isinstance(params, FusedElementWise):
        extras = params.relu or params.bias != 0.0 or any(params.source_relu)
        return not extras and _plain_sum(params.main)
    return isinstance(params, ElementWiseParams) and params.kind is ElementWiseKind.ADD and params.scale == 1.0


def _join_sum(editor: NetEditor, unit: Unit) -> None:
    if not _plain_sum(unit.params):
        return
    matrix = as_matrix(editor.net.shapes[unit.name])
    for position in (0, 1):
        other = unit.bottoms[1 - position]
        before = editor.only_use(unit.bottoms[position])
        product = as_product(before)
        if before is None or product is None or before.bottoms != (other,):
            continue
        if residual_bytes(editor.machine, matrix.height, matrix.width) <= editor.machine.l2_bytes:
            editor.merge(unit, ResidualProduct(product), before, (other,))
            return


def residual_functions(editor: NetEditor) -> None:
    """x combined with a function of x by a sum or product."""
    for original in editor.net.units:
        unit = editor.units[original.name]
        main = unit.params
        if not isinstance(main, ElementWiseParams) or main.kind not in (ElementWiseKind.ADD, ElementWiseKind.MULT):
            continue
        shape = editor.net.shapes[unit.name]
        if shape.batch * shape.depth > 1 or residual_function_bytes(editor.machine, shape) > editor.machine.l2_bytes:
            continue
        for position in (0, 1):
            before, other = editor.only_use(unit.bottoms[position]), unit.bottoms[1 - position]
            if before is None or not isinstance(before.params, NeuronParams) or before.bottoms != (other,):
                continue
            function = ne_function(before.params)
            if function is not None and not function.accumulate_bias:
                editor.merge(unit, ResidualFunction(main, before.params), before, (other,))
                break


def attention(editor: NetEditor) -> None:
    """query x key^T, a softmax of its rows, and a product with values."""
    for original in editor.net.units:
        unit = editor.units[original.name]
        second = _matmul(unit)
        if second is None or second.main != MatMulParams() or second.function is not None:
            continue
        softmax = editor.only_use(unit.bottoms[0])
        if softmax is None or softmax.params != SoftmaxParams(Dimension.WIDTH):
            continue
        scores_unit = editor.only_use(softmax.bottoms[0])
        scores = _matmul(scores_unit)
        if scores_unit is None or scores is None or scores.function is not None:
            continue
        if scores.main == MatMulParams(transpose_b=True) and _fits(editor, scores_unit, unit):
            editor.merge(softmax, softmax.params, scores_unit, scores_unit.bottoms)
            bottoms = (*scores_unit.bottoms, unit.bottoms[1])
            editor.merge(unit, Attention(scores, second), editor.units[softmax.name], bottoms)


def _matmul(unit: Unit | None) -> Fused | None:
    if unit is None:
        return None
    if isinstance(unit.params, MatMulParams):
        return Fused(unit.params, dimension=Dimension.WIDTH)
    return unit.params if isinstance(unit.params, Fused) and isinstance(unit.params.main, MatMulParams) else None


def _fits(editor: NetEditor, scores: Unit, second: Unit) -> bool:
    query, key = (editor.net.shapes[name] for name in scores.bottoms)
    value = editor.net.shapes[second.bottoms[1]]
    distinct = len({*scores.bottoms, second.bottoms[1]}) == 3
    size = attention_bytes(editor.machine, query.height, key.height, query.width, value.width)
    return distinct and is_head(editor.machine, query.height) and size <= editor.machine.l2_bytes
