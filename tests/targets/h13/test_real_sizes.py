"""Words of Apple's compiler at the sizes of real networks, read in public records that are not in the shared folder.

Source: joshuaswarren/mil-hwx-compiler, receipts/2026-09-16-compiler-leftover/oracles (broadcasts) and
receipts/2026-09-17-encoder-conv-lowering/oracles-idx (convolution), macOS 26.6.2 compiler, target h13.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

import openane
from openane.core.errors import FaultError
from openane.graph import Graph, Node, TensorType, ops
from openane.program import Program
from openane.sim.decoded_task import Lane
from openane.targets.h13.machine.kernels import KernelStreams

HEADER = "program(1.3)\n[buildInfo = dict<string, string>({})]\n{\n  func main<ios18>"
BINARY = HEADER + "(tensor<fp16, [%s]> x, tensor<fp16, [%s]> y) {\n    tensor<fp16, [%s]> z = %s(x = x, y = y)[name = string(\"z\")];\n  } -> (z);\n}\n"  # fmt: skip # noqa: E501

TILE_HEIGHT, PATCH, SOURCE, SECOND, RESULT_TYPE, RESULT = 0x28, 0x2C, 0x4808, 0x481C, 0x4830, 0x4834


def compiled(text: str, folder: Path, weights: bytes = b"") -> Program:
    (folder / "model.mil").write_text(text)
    (folder / "weights.bin").write_bytes(weights)
    return openane.compile(folder / "model.mil", like_apple=True).program


def words(program: Program, base: int, count: int, task: int = -1) -> tuple[int, ...]:
    registers = program.tasks[task].registers()
    return tuple(registers[base + 4 * index] for index in range(count))


@pytest.mark.parametrize(
    ("operation", "shape", "patch", "first", "second", "kind", "result"),
    [
        (
            "mul", "1, 1024, 375", 0x35, (0, 0x40, 0x40, 0x40, 0x40), 0x10040, 0x500172,
            (0x20040, 0x40, 0x40, 0x40, 0x40),
        ),
        (
            "add", "1, 8, 375, 375", 0x35, (0, 0x40, 0x210, 0x200, 0x200), 0x30570, 0x500172,
            (0x60AE0, 0x40, 0x210, 0x200, 0x200),
        ),
    ],
)  # fmt: skip
def test_planar_tasks_stage_one_patch_of_wide_rows(
    operation: str, shape: str, patch: int, first: tuple[int, ...], second: int, kind: int, result: tuple[int, ...],
    tmp_path: Path,
) -> None:  # fmt: skip
    program = compiled(BINARY % (shape, shape, shape, operation), tmp_path)
    assert len(program.tasks) == 1
    assert words(program, PATCH, 1) == (patch,)
    assert words(program, SOURCE, 5) == first
    assert words(program, SECOND, 5) == (second, *first[1:])
    assert words(program, RESULT_TYPE, 1) == (kind,)
    assert words(program, RESULT, 5) == result


def convolution(
    shape: tuple[int, int, int, int], kernel: tuple[int, ...], groups: int, pad: str, folder: Path
) -> Program:
    """A convolution of stride 1 with a bias that keeps the size of its image, compiled from MIL text."""
    image, weights, outputs = list(shape), list(kernel), kernel[0]
    declared = [
        f'tensor<fp16, {weights}> w = const()[name = string("w"), val = tensor<fp16, {weights}>'
        '(BLOBFILE(path = string("@model_path/weights.bin"), offset = uint64(64)))];',
        f'tensor<fp16, [{outputs}]> b = const()[name = string("b"), val = tensor<fp16, [{outputs}]>'
        '(BLOBFILE(path = string("@model_path/weights.bin"), offset = uint64(88)))];',
        f'string pt = const()[name = string("pt"), val = string("{pad}")];',
        'tensor<int32, [2]> st = const()[name = string("st"), val = tensor<int32, [2]>([1, 1])];',
        'tensor<int32, [4]> pd = const()[name = string("pd"), val = tensor<int32, [4]>([0, 0, 0, 0])];',
        'tensor<int32, [2]> dl = const()[name = string("dl"), val = tensor<int32, [2]>([1, 1])];',
        f'int32 gp = const()[name = string("gp"), val = int32({groups})];',
        f"tensor<fp16, {image}> y = conv(bias = b, dilations = dl, groups = gp, pad = pd, pad_type = pt,"
        ' strides = st, weight = w, x = x)[name = string("y")];',
    ]
    text = HEADER + f"(tensor<fp16, {image}> x) {{\n    " + "\n    ".join(declared) + "\n  } -> (y);\n}\n"
    count = int(np.prod(kernel))
    bits = (np.arange(count + outputs) % 0x7000 + 1).astype("<u2")
    head = struct.pack("<II", 2, 2).ljust(64, b"\0")
    for offset, size in ((128, 2 * count), (128 + 2 * count, 2 * outputs)):
        head += struct.pack("<IIQQ", 0xDEADBEEF, 1, size, offset)
    return compiled(text, folder, head.ljust(128, b"\0") + bits.tobytes())


def test_convolutions_leave_more_than_a_row_of_patches_to_the_result(tmp_path: Path) -> None:
    tall = convolution((1, 1024, 375, 1), (1024, 1, 9, 1), 1024, "same", tmp_path)
    assert words(tall, TILE_HEIGHT, 1) == (96,)
    assert words(tall, RESULT, 1) == (0x1A0D00,)
    wide = convolution((1, 256, 750, 32), (256, 256, 1, 1), 1, "valid", tmp_path)
    assert words(wide, TILE_HEIGHT, 1) == (120,)
    assert words(wide, RESULT, 1) == (0x1E0000,)
    program = convolution((1, 256, 375, 16), (256, 256, 1, 1), 1, "valid", tmp_path)
    assert words(program, TILE_HEIGHT, 1) == (240,)
    assert words(program, SOURCE, 5) == (0, 0x20, 0x2000, 0x2000, 0x2000)
    assert words(program, RESULT, 5) == (0x1E0000, 0, 0, 0, 0)
    assert program.tasks[0].header[1] & 0xFFFF == 0x16B


def test_a_product_with_a_repeated_row_stages_512_columns(tmp_path: Path) -> None:
    text = BINARY % ("1, 375, 4096", "1, 1, 4096", "1, 375, 4096", "mul")
    program = compiled(text, tmp_path)
    assert words(program, PATCH, 1) == (0x09,)
    assert words(program, SOURCE, 5) == (0x2000, 0x400, 0x400, 0x400, 0x400)
    assert words(program, RESULT, 5) == (0x5FC00, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("kernel", "height", "width"), [((1, 9), 1, 21), ((9, 9), 8, 8), ((3, 11), 5, 30), ((1, 9), 7, 19)]
)
def test_wide_depthwise_kernels_compute_pairs(kernel: tuple[int, int], height: int, width: int) -> None:
    random = np.random.default_rng(7)
    weights = random.standard_normal((20, 1, *kernel)).astype(np.float16).astype(np.float32)
    bias = random.standard_normal(20).astype(np.float16).astype(np.float32)
    pads = (kernel[0] // 2, kernel[1] // 2) * 2
    operation = ops.Conv(strides=(1, 1), pads=pads, dilations=(1, 1), groups=20)
    node = Node("n", operation, ("x", "w", "b"), ("y",))
    graph = Graph("pairs", {"x": TensorType((1, 20, height, width))}, ("y",), (node,), {"w": weights, "b": bias})
    artifact = openane.compile(graph, host=False)
    assert artifact.program.tasks[0].registers()[0x1C] >> 28 & 3 == 2
    assert len(artifact.program.tasks) == 1 + width % 2
    inputs = {"x": random.standard_normal((1, 20, height, width)).astype(np.float16).astype(np.float32)}
    (expected,) = graph.evaluate(inputs).values()
    (found,) = openane.run(artifact, inputs).values()
    np.testing.assert_allclose(found, expected, atol=2e-2)


def test_two_outputs_with_different_kernels_are_refused() -> None:
    streams = KernelStreams(1, (Lane(0, 0, 64),), 1, 1, 1, (1, 3), depthwise=True, pairs=True)
    values = np.array([1, 0, 3, 2, 2, 1, 0, 3], np.uint16)  # columns 0, 2, 1, 3 of the kernels 1 2 3 and 1 2 3
    memory = np.zeros(64, np.uint8)
    memory[:16] = values.view(np.uint8)
    assert streams.read(memory).weights.tolist() == [[[1, 3, 2]]]
    memory[:16] = (values + (values == 3)).view(np.uint8)
    memory[4] = 3
    with pytest.raises(FaultError, match="different kernels"):
        streams.read(memory)


@pytest.mark.parametrize("start", [0, 32, 64])
def test_neighboring_columns_from_a_dma_unit_on_are_one_copy(start: int) -> None:
    operation = ops.Slice(starts=(0, 0, 0, start), ends=(1, 3, 5, start + 21), steps=(1, 1, 1, 1))
    graph = Graph("slice", {"x": TensorType((1, 3, 5, 90))}, ("y",), (Node("n", operation, ("x",), ("y",)),), {})
    artifact = openane.compile(graph, host=False)
    assert len(artifact.program.tasks) == 1
    x = np.random.default_rng(8).standard_normal((1, 3, 5, 90)).astype(np.float16).astype(np.float32)
    (found,) = openane.run(artifact, {"x": x}).values()
    np.testing.assert_array_equal(found, x[..., start : start + 21])


def test_a_row_is_repeated_by_one_task() -> None:
    graph = Graph(
        "tile", {"x": TensorType((1, 1, 1, 75))}, ("y",), (Node("n", ops.Tile((1, 1, 60, 1)), ("x",), ("y",)),), {}
    )
    artifact = openane.compile(graph, host=False)
    assert len(artifact.program.tasks) == 1
    x = np.random.default_rng(9).standard_normal((1, 1, 1, 75)).astype(np.float16).astype(np.float32)
    (found,) = openane.run(artifact, {"x": x}).values()
    np.testing.assert_array_equal(found, np.tile(x, (1, 1, 60, 1)))
