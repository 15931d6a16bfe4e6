"""Chains of steps (encoding.md#linear, #layer-norm, #residual): what goes from one step to the next stays in L2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from openane.backend.alloc.staging import odd_row
from openane.backend.alloc.surfaces import align
from openane.backend.ir.chain_units import (
    FunctionProduct,
    NormalizedProduct,
    ResidualFunction,
    ResidualProduct,
    TwoProducts,
)
from openane.backend.ir.plan import (
    KernelPlan,
    NeMode,
    NeWork,
    PeArithmetic,
    PeMode,
    PeWork,
    Strides,
    TaskPlan,
    TensorPlace,
    View,
)
from openane.backend.lowering import UnitLowering
from openane.backend.machine import MachineSpec
from openane.backend.rules import Family
from openane.backend.units.conv import ConvolutionJob
from openane.backend.units.functions import ne_function, with_table
from openane.backend.units.linear import (
    is_tiled,
    operand_strides,
    product_of,
    product_tasks,
    tile_product,
    tile_task,
    tiled_bytes,
    tiles,
    transpose_task,
    untile_tasks,
)
from openane.backend.units.multi_task import COPY, Band, Ends
from openane.backend.units.norm_band import NormBand
from openane.backend.units.normalization import row_steps
from openane.backend.units.rows import (
    as_matrix,
    flat,
    image,
    matrix_view,
    odd_pitch,
    planar_row,
    rows_of,
    segments,
    vector_pair,
)
from openane.net.net import TensorShape, Unit
from openane.net.units import ElementWiseKind, GOCParams, NeuronParams

_ADD = PeWork(PeMode.BINARY)


def _row(machine: MachineSpec, columns: int) -> int:
    """L2 bytes of a row of a matrix."""
    return align(2 * columns, machine.bank_bytes)


# Normalization and product -----------------------------------------------------------------------------


def normalized_bytes(machine: MachineSpec, rows: int, inner: int, outputs: int) -> int:
    """L2 bytes of a normalized product."""
    operand = odd_pitch(machine, rows) * inner
    result = align(2 * rows, machine.bank_bytes) * outputs
    return 2 * vector_pair(machine, rows).row + operand + max(2 * rows * _row(machine, inner), result)


def lower_normalized(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """Statistics, normalized rows, their transposition, and the product."""
    params = unit.params
    assert isinstance(params, NormalizedProduct)
    source, result = as_matrix(lowering.shape(unit.bottoms[0])), as_matrix(lowering.shape(unit.name))
    ends = Ends(unit, lowering)
    run = NormBand(unit.name, ends.source(), ends.result(), lowering, params.norm.epsilon)
    return ends.around(_normalized(run, params, source, result))


def _normalized(
    run: NormBand, params: NormalizedProduct, source: TensorShape, result: TensorShape
) -> Iterator[TaskPlan]:
    machine = run.machine
    rows, inner = source.height, source.width
    pair, values, operand_layout = (
        vector_pair(machine, rows),
        flat(_row(machine, inner), rows),
        operand_strides(machine, rows, inner),
    )
    base = 2 * pair.row
    past = base + operand_layout.row
    shape = TensorShape(channels=rows, width=inner)
    normalized = run.tensor("normalized", shape, past, values)
    operand = run.tensor("operand", TensorShape(channels=inner, width=rows), base, operand_layout)
    kept = run.kept(shape)
    x = replace(rows_of(run.x, source), keep=kept.tensor, staging_base=past + values.row, staging=values)
    view = matrix_view(rows, inner)
    yield from row_steps(run, view, (x, kept), pair, 0, normalized)
    yield run.task(COPY, view, (normalized,), replace(operand, swapped=True))
    y = replace(rows_of(run.y, result), swapped=True, staging_base=past)
    yield from product_tasks(run, product_of(params.product), View(width=rows, channels=inner), operand, y)


# Function and product ----------------------------------------------------------------------------------


def function_product_bytes(machine: MachineSpec, rows: int, inner: int, outputs: int) -> int:
    """L2 bytes of a product of a function."""
    result = align(2 * rows, machine.bank_bytes) * outputs
    return odd_pitch(machine, rows) * inner + max(2 * rows * _row(machine, inner), result)


def lower_function_product(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """The function of rows, their transposition, and the product: as after a normalization, with one task in front."""
    machine = lowering.machine
    params = unit.params
    assert isinstance(params, FunctionProduct)
    source, result = as_matrix(lowering.shape(unit.bottoms[0])), as_matrix(lowering.shape(unit.name))
    task, ends = product_of(params.product), Ends(unit, lowering)
    run = Band(unit.name, ends.source(), ends.result(), lowering)
    rows, inner = source.height, source.width

    def tasks() -> Iterator[TaskPlan]:
        values, layout = flat(_row(machine, inner), rows), operand_strides(machine, rows, inner)
        past = layout.row
        computed = run.tensor("function", TensorShape(channels=rows, width=inner), past, values)
        operand = run.tensor("operand", TensorShape(channels=inner, width=rows), 0, layout)
        view = matrix_view(rows, inner)
        x = replace(rows_of(run.x, source), staging_base=past + values.row, staging=segments(machine, rows, inner))
        work, kernel = _function_work(machine, params.function, rows)
        if kernel is None and isinstance(work, PeWork):
            x = replace(x, staging=values)
        yield run.task(work, view, (x,), computed, kernel)
        yield run.task(COPY, view, (computed,), replace(operand, swapped=True))
        y = replace(rows_of(run.y, result), swapped=True, staging_base=past)
        yield from product_tasks(run, task, View(width=rows, channels=inner), operand, y)

    return ends.around(tasks())


def _function_work(
    machine: MachineSpec, params: NeuronParams | GOCParams, channels: int
) -> tuple[NeWork | PeWork, KernelPlan | None]:
    """One task of a function, or of a scale and a bias of one number."""
    if isinstance(params, GOCParams):
        return PeWork(PeMode.UNARY, scale=float(params.scale), bias=float(params.bias)), None
    function = ne_function(params)
    assert function is not None, "only functions of one NE task make a chain"
    work = NeWork(NeMode.BYPASS, function.nonlinearity, post_scale=function.post_scale)
    if function.table is None:
        return work, None
    return work, with_table(None, function.table, min(channels, machine.lanes))


# Two products ------------------------------------------------------------------------------------------


def two_products_bytes(machine: MachineSpec, rows: int, inner: int, hidden: int, outputs: int) -> int:
    """L2 bytes of two products."""
    middle, operand = _row(machine, rows) * hidden, odd_pitch(machine, rows) * inner
    return middle + max(operand + segments(machine, rows, inner).row, _row(machine, rows) * outputs)


def lower_two_products(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """The transposed operand, the first product left as it is, the second transposed back; or all three in tiles."""
    params = unit.params
    assert isinstance(params, TwoProducts)
    first, second = product_of(params.first), product_of(params.second)
    source, result = as_matrix(lowering.shape(unit.bottoms[0])), as_matrix(lowering.shape(unit.name))
    ends = Ends(unit, lowering)
    run = Band(unit.name, ends.source(), ends.result(), lowering)
    run = replace(run, x=rows_of(run.x, source), y=rows_of(run.y, result))
    hidden = first.kernel.shape[0]
    tiled = _is_tiled_pair(source.height, source.width, hidden, result.width)
    return ends.around((_tiled_pair if tiled else _plain_pair)(run, first, second, source.height))


def _plain_pair(run: Band, first: ConvolutionJob, second: ConvolutionJob, rows: int) -> Iterator[TaskPlan]:
    hidden, inner = first.kernel.shape[:2]
    middle_layout, layout = flat(_row(run.machine, rows), hidden), operand_strides(run.machine, rows, inner)
    middle = run.tensor("middle", TensorShape(channels=hidden, width=rows), 0, middle_layout)
    base = middle_layout.row
    operand = run.tensor("operand", TensorShape(channels=inner, width=rows), base, layout, TensorPlace.HANDOVER)
    yield transpose_task(run, rows, inner, operand, base=base + layout.row)
    yield from product_tasks(run, first, View(width=rows, channels=inner), operand, middle)
    y = replace(run.y, swapped=True, staging_base=base)
    yield from product_tasks(run, second, View(width=rows, channels=hidden), middle, y)


def _tiled_pair(run: Band, first: ConvolutionJob, second: ConvolutionJob, rows: int) -> Iterator[TaskPlan]:
    """One tile, two products, one untile; the form is reported, its addresses are not on record."""
    hidden, inner = first.kernel.shape[:2]
    shape, layout = tiles(run.machine, rows, hidden)
    middle = run.tensor("middle", shape, 0, layout)
    base = layout.row * shape.height
    source_shape, source_layout = tiles(run.machine, rows, inner)
    operand, copy = tile_task(run, rows, inner, base, base + source_layout.row * source_shape.height)
    yield copy
    yield from tile_product(run, first, View(shape.width, shape.height, inner), operand, middle)
    yield from untile_tasks(run, second, rows, middle, base)


def two_products_fit(machine: MachineSpec, rows: int, inner: int, hidden: int, outputs: int) -> bool:
    """Whether two products are joined: in tiles or not, they fit into L2."""
    if _is_tiled_pair(rows, inner, hidden, outputs):
        return (
            tiled_bytes(machine, rows, hidden, outputs)
            + tiled_bytes(machine, rows, inner, 0)
            + segments(machine, rows, inner).row
            <= machine.l2_bytes
        )
    return two_products_bytes(machine, rows, inner, hidden, outputs) <= machine.l2_bytes


def _is_tiled_pair(rows: int, inner: int, hidden: int, outputs: int) -> bool:
    return is_tiled(rows, hidden * (inner + outputs), inner + outputs)


# Product and sum ---------------------------------------------------------------------------------------


def residual_bytes(machine: MachineSpec, rows: int, columns: int) -> int:
    """L2 bytes of a residual product."""
    row = odd_row(machine, _row(machine, columns))
    return 2 * row * rows + odd_pitch(machine, rows) * columns + _row(machine, columns) * rows


def lower_residual(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """x stays in L2 as an image; the product comes back as an image, and both are added."""
    machine = lowering.machine
    params = unit.params
    assert isinstance(params, ResidualProduct)
    task, ends = product_of(params.product), Ends(unit, lowering)
    matrix = as_matrix(lowering.shape(unit.name))
    rows, columns = matrix.height, matrix.width
    run = Band(unit.name, ends.source(), ends.result(), lowering)

    def tasks() -> Iterator[TaskPlan]:
        used, row = _row(machine, columns), odd_row(machine, _row(machine, columns))
        view, size = View(width=columns, height=rows), odd_row(machine, _row(machine, columns)) * rows
        layout = operand_strides(machine, rows, columns)
        copy = run.tensor("copy", matrix, 0, Strides(used, row, used, used))
        operand = run.tensor("operand", TensorShape(channels=columns, width=rows), size, layout)
        product = run.tensor("product", matrix, size + layout.row, Strides(size, row, size, size))
        staged = min(0x100, used)
        x = replace(run.x, shape=matrix, staging_base=size, staging=Strides(staged, staged, staged, staged))
        yield run.task(COPY, view, (x,), copy)
        as_rows = replace(rows_of(copy, matrix), l2=Strides(row, used, used, 0))
        yield run.task(COPY, matrix_view(rows, columns), (as_rows,), replace(operand, swapped=True))
        written = replace(rows_of(product, matrix), swapped=True, l2=Strides(row, size, size, 0))
        yield from product_tasks(run, task, View(width=rows, channels=columns), operand, written)
        y = replace(run.y, shape=matrix, staging_base=2 * size + layout.row)
        yield run.task(_ADD, view, (copy, product), y)

    return ends.around(tasks())


# Function and sum --------------------------------------------------------------------------------------


def residual_function_bytes(machine: MachineSpec, shape: TensorShape) -> int:
    """L2 bytes of x, its function and their combination."""
    return 3 * planar_row(machine, shape.channels, shape.width) * shape.height


def lower_residual_function(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """The function by table, x being kept, and the planar task of both (encoding.md#residual)."""
    machine = lowering.machine
    params = unit.params
    assert isinstance(params, ResidualFunction)
    shape, ends = lowering.shape(unit.name), Ends(unit, lowering)
    function = ne_function(params.function)
    assert function is not None, "only functions of one NE task make a chain"
    run = Band(unit.name, ends.source(), ends.result(), lowering)
    operation = PeArithmetic.ADD if params.main.kind is ElementWiseKind.ADD else PeArithmetic.MULTIPLY

    def tasks() -> Iterator[TaskPlan]:
        view, row = View.of(shape), planar_row(machine, shape.channels, shape.width)
        size = row * shape.height
        kept = run.kept(shape)
        value = run.tensor("function", shape, 0, image(machine, shape.channels, row, shape.width))
        work = NeWork(NeMode.BYPASS, function.nonlinearity, post_scale=function.post_scale)
        kernel = None
        if function.table is not None:
            kernel = with_table(None, function.table, min(shape.channels, machine.lanes))
        x = replace(run.x, keep=kept.tensor, staging_base=size, staging=_kept_strides(machine, shape, row))
        yield run.task(work, view, (x,), value, kernel)
        y = replace(run.y, staging_base=2 * size)
        yield run.task(PeWork(PeMode.BINARY, operation, scale=params.main.scale), view, (kept, value), y)

    return ends.around(tasks())


def _kept_strides(machine: MachineSpec, shape: TensorShape, row: int) -> Strides:
    strides = image(machine, shape.channels, row, shape.width)
    return replace(strides, group=strides.depth)


FAMILIES = (
    Family("normalized product", (NormalizedProduct,), lower_normalized),
    Family("product of a function", (FunctionProduct,), lower_function_product),
    Family("two products", (TwoProducts,), lower_two_products),
    Family("residual product", (ResidualProduct,), lower_residual),
    Family("residual function", (ResidualFunction,), lower_residual_function),
)
