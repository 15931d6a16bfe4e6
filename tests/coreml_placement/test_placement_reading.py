"""The program is read as it is: Core ML's analysis text, MIL text without its weights, and packages."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.placement_recipes import IMAGE, Builder

from openane.core.errors import FormatError, InputError
from openane.coreml_placement.platforms import Units, platform
from openane.coreml_placement.prediction import AppleDevice, predict
from openane.coreml_placement.read import read_program, read_text

HEAD = 'program(1.3)\n[buildInfo = dict<string, string>({{"coremltools-version", "9.0"}})]\n{\n'
BUFFER = "tensor_buffer<fp16, shape=[1, 64, 32, 32], strides=[65536, 1024, 32, 1], interleave_factors=[1, 1, 1, 1]>"
WEIGHT = 'tensor<fp16, [64, 64, 3, 3]>(BLOBFILE(path = string("@model_path/weights/weights.bin"), offset = uint64(64)))'


def chain(length: int, middle: str = "abs") -> str:
    """Convolutions with ReLU around one operation, in the words of an analysis file."""
    lines = [f"func main<ios18>({BUFFER} x0) [Launch_ane_ms = fp64(0x1p-3)] {{"]
    lines.append("tensor<fp16, [1, 64, 32, 32]> v0 = tensor_buffer_to_tensor<ios17>(input = x0)[milId = uint64(0)];")
    value = 0

    def add(call: str) -> None:
        nonlocal value
        value += 1
        support = 'BackendSupport = list<string, 2>(["unsupported", "ane"]), SelectedBackend = string("bnns")'
        lines.append(f'tensor<fp16, [1, 64, 32, 32]> v{value} = {call}[{support}, name = string("layer_{value}")];')

    for place in range(2 * length):
        if place == length:
            add(f"{middle}(x = v{value})")
        add(
            f'conv(dilations = tensor<int32, [2]>([1, 1]), groups = int32(1), pad_type = string("same"), '
            f"weight = {WEIGHT}, x = v{value})"
        )
        add(f"relu(x = v{value})")
    lines.append(
        f"{BUFFER} y = tensor_to_tensor_buffer<ios17>(input = v{value}, strides = tensor<int64, [4]>([1, 1, 1, 1]))"
        "[milId = uint64(9)];"
    )
    return HEAD + "\n".join(lines) + "\n} -> (y);\n}\n"


def test_the_text_of_an_analysis_file() -> None:
    """Border operations are left out, weights are not needed, and what the file says of placement is not used."""
    program = read_text(chain(2))
    assert [each.kind for each in program.operations] == [*["conv", "relu"] * 2, "abs", *["conv", "relu"] * 2]
    assert program.outputs == (program.operations[-1].result.name,)
    found = predict(program, platform("h16g"), Units.CPU_AND_NE)
    assert {each.device for each in found.placements} == {AppleDevice.ANE}
    assert found.cost_ms == pytest.approx(0.283, abs=1e-3)
    assert found.placements[-1].tie


def test_an_operation_in_the_middle_moves_the_whole_network() -> None:
    found = predict(read_text(chain(2, "acos")), platform("M4"))
    assert {each.device for each in found.placements} == {AppleDevice.CPU}
    deep = predict(read_text(chain(6, "acos")), platform("M4"))
    assert [each.device for each in deep.placements].count(AppleDevice.CPU) == 1


def test_constants_are_operands() -> None:
    text = HEAD + (
        "func main<ios15>(tensor<fp16, [1, 8, 4, 4]> x) {\n"
        'tensor<int32, [1]> axes = const()[name = string("axes"), val = tensor<int32, [1]>([1])];\n'
        "tensor<fp16, [1, 1, 4, 4]> y = reduce_sum(x = x, axes = axes, keep_dims = bool(true));\n"
        "} -> (y);\n}\n"
    )
    (operation,) = read_text(text).operations
    assert operation.integers("axes") == (1,)
    assert operation.name == "y"
    axes = operation.input("axes")
    assert axes is not None and axes.constant


def test_long_chains_go_to_the_engine() -> None:
    found = predict(read_text(chain(250)), platform("M1"))
    assert len(found.placements) == 1001
    assert {each.device for each in found.placements} == {AppleDevice.ANE}


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("program(1.0)\n{\nfunc main<ios15>(tensor_buffer<fp16, strides=[1]> x) {} -> (x);\n}", FormatError, "'shape'"),
        (
            "program(1.0)\n{\nfunc a<ios15>() {} -> (x);\nfunc b<ios15>() {} -> (x);\n}",
            InputError,
            "none is the default",
        ),
    ],
)
def test_bad_texts(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_text(text)


def test_other_files_are_none(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x07")
    assert read_program(path) is None


@pytest.mark.parametrize(("kernel", "device"), [(3, AppleDevice.ANE), (1, AppleDevice.CPU)])
def test_four_convolutions_are_about_the_smallest_network_on_the_engine(kernel: int, device: AppleDevice) -> None:
    """The example of the sheet for the M1: four 3x3 convolutions save about 0.39 ms, four 1x1 too little."""
    builder = Builder()
    value = builder.input()
    for _ in range(4):
        value = builder.conv(value, 64, (kernel, kernel), IMAGE)
    found = predict(builder.program("four", value), platform("M1"))
    assert {each.device for each in found.placements} == {device}
