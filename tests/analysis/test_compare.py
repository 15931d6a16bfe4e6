"""Where numbers leave the reference: layers, causes, sides, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tests.support.compare_models import chain, compared

from openane.analysis.compare import compare_layers
from openane.analysis.comparison import as_values
from openane.analysis.executable_pair import compare_executables, executable_of
from openane.analysis.layers import group_steps
from openane.analysis.stages import steps_of
from openane.analysis.verdicts import Verdict
from openane.cli import main
from openane.cli.compare import command
from openane.compiler.driver import Options, build, save
from openane.compiler.generated_inputs import made_up_input
from openane.compiler.lowering import Functions
from openane.core.errors import InputError
from openane.core.types import DType
from openane.graph import Graph, Node, TensorType
from openane.graph.ops import Add, ArgMax, Conv, Exp, Mul, Relu, Reshape, Sigmoid, Softmax, TopK

DIGITS = Path(__file__).parents[2] / "src" / "openane" / "data" / "digits.onnx"
SHAPE = (1, 8, 6, 6)
RANDOM = np.random.default_rng(7)
PICTURE = RANDOM.standard_normal(SHAPE).astype(np.float32)


def kernel(scale: float = 0.2) -> dict[str, np.ndarray]:
    return {"weight": (scale * RANDOM.standard_normal((8, 8, 1, 1))).astype(np.float32)}


CONV = Conv()


@pytest.fixture(scope="module")
def digits():  # type: ignore[no-untyped-def]
    artifact = build(DIGITS)
    inputs = {name: made_up_input(name, kind) for name, kind in artifact.plan.inputs.items()}
    return artifact, inputs, compare_layers(artifact, inputs)


def test_a_good_model_has_no_wrong_layer(digits) -> None:  # type: ignore[no-untyped-def]
    _, _, found = digits
    assert found.first_wrong is None
    assert all(layer.engine.cosine > 0.999 for layer in found.layers)
    assert all(layer.engine_isolated is not None for layer in found.layers)
    assert {layer.source for layer in found.layers} <= {"program", "layer alone", "output"}


def test_every_task_belongs_to_a_layer(digits) -> None:  # type: ignore[no-untyped-def]
    artifact, _, found = digits
    covered = {task for layer in found.layers for task in layer.tasks}
    assert covered == set(range(len(artifact.program.tasks)))


def test_values_from_inside_the_program_are_those_of_the_layer_alone(digits) -> None:  # type: ignore[no-untyped-def]
    """The first layer reads the model's input: alone and in the program it computes the same bits."""
    _, _, found = digits
    first = found.layers[0]
    assert first.source == "program"
    assert first.engine == first.engine_isolated


def test_the_last_layer_is_the_output(digits) -> None:  # type: ignore[no-untyped-def]
    _, _, found = digits
    assert found.layers[-1].engine == found.outputs[0].engine


def test_overflow_is_found_and_what_follows_is_inherited() -> None:
    big = {"factor": np.full((1, 8, 1, 1), 300, np.float32)}
    graph = chain([("grow", Mul(), big), ("average", Softmax(1), {})], SHAPE)
    found = compared(graph, {"x": 1000 * PICTURE})
    assert found.first_wrong is not None
    wrong = found.layers[found.first_wrong]
    assert any(cause.startswith("overflow") for cause in wrong.causes)


def test_sums_beyond_the_mac_limit() -> None:
    weight = {"weight": np.full((8, 8, 1, 1), 0.5, np.float32)}
    found = compared(chain([("conv", CONV, weight)], SHAPE), {"x": np.full(SHAPE, 9000, np.float32)})
    (layer,) = found.layers
    assert layer.wrong
    assert layer.ideal.not_finite == 0, "36000 is a number of fp16; it is the engine that ends at 32768"
    assert any("32768" in cause for cause in layer.causes)


@pytest.mark.parametrize("low", [-np.inf, -1e9])
def test_a_mask_beyond_half_precision_is_right_while_the_outputs_are(low: float) -> None:
    """The scores under the mask are other numbers on the engine, and softmax makes the same 0 of them."""
    shape = TensorType((2, 8, 8), DType.FLOAT32)
    mask = np.where(np.tril(np.ones((8, 8))) > 0, 0, low).astype(np.float32)
    nodes = (Node("masked", Add(), ("x", "mask"), ("m",)), Node("softmax", Softmax(2), ("m",), ("y",)))
    x = {"x": np.random.default_rng(0).standard_normal(shape.shape).astype(np.float32)}
    found = compare_layers(build(Graph("m", {"x": shape}, ("y",), nodes, {"mask": mask}), Options()), x)
    assert found.first_wrong is None
    shown = compare_layers(build(Graph("m", {"x": shape}, ("y", "m"), nodes, {"mask": mask}), Options()), x)
    assert (shown.first_wrong is None) == np.isinf(low), "a mask that is an output counts as it is"


def test_a_layer_that_only_inherits_says_so() -> None:
    weight = {"weight": np.full((8, 8, 1, 1), 0.5, np.float32)}
    shrink = {"factor": np.full((1, 8, 1, 1), 1e-3, np.float32)}
    graph = chain([("conv", CONV, weight), ("table", Sigmoid(), {}), ("scale", Mul(), shrink)], SHAPE)
    small = np.full(SHAPE, 9000, np.float32)
    found = compared(graph, {"x": small})
    later = [layer for layer in found.layers if layer.wrong][1:]
    assert all("inherited" in layer.causes[0] for layer in later)


def test_a_constant_that_vanishes_is_named() -> None:
    tiny = {"epsilon": np.array(1e-12, np.float32)}
    graph = chain([("square", Mul(), {"zero": np.zeros((1, 8, 1, 1), np.float32)}), ("safe", Add(), tiny)], SHAPE)
    found = compared(graph, {"x": PICTURE})
    causes = [cause for layer in found.layers for cause in layer.causes]
    assert any("vanish" in cause for cause in causes), causes


def test_a_table_is_told_apart_from_rounding() -> None:
    graph, inputs = chain([("table", Exp(), {})], SHAPE), {"x": np.abs(3 * PICTURE)}
    found = compared(graph, inputs, Options(functions=Functions.APPLE))
    (layer,) = found.layers
    assert layer.engine_isolated is not None
    assert layer.engine_isolated.max_ulp > layer.ideal_isolated.max_ulp
    assert any(cause.startswith("table") for cause in layer.causes), layer


def test_what_the_mac_array_loses_is_named_with_its_remedy() -> None:
    weight = np.random.default_rng(4).standard_normal((8, 8, 1, 1)).astype(np.float32)
    found = compared(chain([("conv", CONV, {"weight": weight})], SHAPE), {"x": PICTURE / 4096})
    (layer,) = found.layers
    (cause,) = (each for each in layer.causes if each.startswith("MAC array"))
    assert "of the products vanish" in cause and "--rescale" in cause


def test_cancellation_is_measured() -> None:
    weight = np.tile(np.array([1, -1], np.float32), 4).reshape(1, 8, 1, 1).repeat(8, 0)
    nearly = np.full(SHAPE, 1000, np.float32)
    nearly[:, 0] += 0.8
    found = compared(chain([("conv", CONV, {"weight": weight})], SHAPE), {"x": nearly})
    (layer,) = found.layers
    assert any(cause.startswith("cancellation") for cause in layer.causes), layer.causes


def test_groups_are_what_tasks_join_and_can_run_in_order() -> None:
    graph = chain([("a", CONV, kernel()), ("b", Relu(), {}), ("c", CONV, kernel()), ("d", Softmax(1), {})], SHAPE)
    level = steps_of(graph)
    groups = group_steps(level, [("a", "b"), ("c",), ("d",), ("d",)])
    assert [group.name for group in groups] == ["a + b", "c", "d"]
    assert [group.reads for group in groups] == [("x",), ("b_out",), ("c_out",)]
    crossing = group_steps(level, [("a", "c"), ("b", "d")])
    assert [group.name for group in crossing] == ["a", "b", "c", "d"], "no value passes inside a task here"


def test_host_layers_are_right_and_named() -> None:
    graph = chain([("conv", CONV, kernel()), ("act", Relu(), {})], SHAPE)
    from openane.compiler.driver import Options

    artifact = build(graph, Options(keep_on_host=frozenset({"act"})))
    found = compare_layers(artifact, {"x": PICTURE})
    assert [layer.where for layer in found.layers] == ["NE", "host"]
    assert found.first_wrong is None


def test_a_net_is_compared_unit_by_unit(tmp_path: Path, digits) -> None:  # type: ignore[no-untyped-def]
    artifact, inputs, _ = digits
    path = tmp_path / "net.plist"
    save(artifact, path)
    net = build(path)
    (name,) = net.plan.inputs
    shape = net.plan.inputs[name].shape
    found = compare_layers(net, {name: next(iter(inputs.values())).reshape(shape)})
    assert found.first_wrong is None
    assert len(found.layers) > 3


@pytest.mark.parametrize("ending", ["hwx", "anec", "plist"])
def test_every_form_of_a_model_agrees(tmp_path: Path, digits, ending: str) -> None:  # type: ignore[no-untyped-def]
    artifact, inputs, _ = digits
    path = tmp_path / f"digits.{ending}"
    save(artifact, path)
    found = compare_executables(executable_of(DIGITS, "simulator"), executable_of(path, "simulator"), inputs, 0.0)
    assert found.values and all(value.error.max_abs == 0 for value in found.values)


def test_onnxruntime_agrees_with_the_reference_value_by_value(digits) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    _, inputs, _ = digits
    found = compare_executables(executable_of(DIGITS), executable_of(DIGITS, "onnxruntime"), inputs, 1e-4)
    assert found.first_wrong is None
    assert len(found.values) > 5, "inner values too"


def test_apples_program_computes_what_its_net_says(shared: Path) -> None:
    folder = shared / "goldens/pairs/seed-inner-product"
    net = executable_of(folder / "net.plist")
    inputs = {name: made_up_input(name, kind) for name, kind in net.inputs.items()}
    found = compare_executables(net, executable_of(folder / "model.hwx"), inputs, 0.001)
    assert found.first_wrong is None
    assert found.values[-1].output


def test_two_models_of_other_shapes_are_refused(shared: Path) -> None:
    first = executable_of(DIGITS)
    inputs = {name: made_up_input(name, kind) for name, kind in first.inputs.items()}
    with pytest.raises(InputError, match="has another size"):
        compare_executables(first, executable_of(shared / "goldens/pairs/seed-inner-product/net.plist"), inputs, 0.1)


def test_a_program_alone_has_no_reference(tmp_path: Path, digits) -> None:  # type: ignore[no-untyped-def]
    artifact, inputs, _ = digits
    path = tmp_path / "digits.hwx"
    save(artifact, path)
    with pytest.raises(InputError, match="no layers to compare with"):
        compare_layers(build(path), inputs)
    with pytest.raises(InputError, match="has no reference"):
        executable_of(path, "reference")


def test_command_prints_a_table_and_json(digits) -> None:  # type: ignore[no-untyped-def]
    result = CliRunner().invoke(command, [str(DIGITS)])
    assert result.exit_code == 0, result.output
    assert "generated from a fixed seed" in result.output
    assert "right: every layer and output is within" in result.output
    result = CliRunner().invoke(command, [str(DIGITS), "--with", "ideal", "--json"])
    values = json.loads(result.stdout)
    assert values["first_wrong"] is None and values["values"][-1]["output"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--with", "nothing-here"], "nothing-here"),
        (["--with", "linux"], "runtime linux"),
        (["--input", "nobody=x.npy"], "there is no input 'nobody'"),
    ],
)
def test_bad_arguments_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    if Path("/dev/accel").exists():
        pytest.skip("this machine has accelerators")
    with pytest.raises(SystemExit) as stop:
        main(["compare", str(DIGITS), *arguments])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line


def test_values_are_plain_and_frames_have_a_row_a_layer(digits) -> None:  # type: ignore[no-untyped-def]
    _, _, found = digits
    json.dumps(as_values(found))
    assert found._repr_html_().count("<tr>") == len(found.layers) + 1
    pytest.importorskip("pandas", reason="pandas is not installed")
    assert len(found.to_pandas()) == len(found.layers)


def test_a_rescaled_model_is_compared_with_rescaled_layers() -> None:
    weight = np.random.default_rng(4).standard_normal((8, 8, 1, 1)).astype(np.float32)
    graph, inputs = chain([("conv", CONV, {"weight": weight})], SHAPE), {"x": PICTURE / 4096}
    (plain,) = compared(graph, inputs).layers
    (scaled,) = compared(graph, inputs, Options(rescale=True, calibration=inputs)).layers
    assert scaled.engine == scaled.engine_isolated
    assert scaled.engine is not None and plain.engine is not None
    assert scaled.engine.max_abs < plain.engine.max_abs / 10
    assert not any(cause.startswith("MAC array") for cause in scaled.causes)


def test_near_ties_are_not_errors() -> None:
    """Positions count by the values that they select: neighbors in fp16 change places."""
    close = (1 + 1e-4 * np.random.default_rng(3).permutation(64)).astype(np.float32).reshape(1, 64)
    nodes = (
        Node("double", Mul(), ("x", "two"), ("d",)),
        Node("best", TopK(1, 16), ("d",), ("values", "places")),
        Node("named", Reshape((16,)), ("places",), ("names",)),
    )
    constants = {"two": np.full((1, 64), 1.9, np.float32)}
    graph = Graph("ties", {"x": TensorType((1, 64))}, ("values", "names"), nodes, constants)
    found = compared(graph, {"x": close})
    assert found.right
    _, names = found.outputs
    assert names.near_ties > 3
    assert names.engine.relative < 1e-3
    (layer,) = (each for each in found.layers if each.name == "best")
    assert layer.verdict is Verdict.NEAR_TIE
    assert any("select values as large" in cause for cause in layer.causes)


def test_positions_of_other_values_are_wrong() -> None:
    """All products vanish in the accumulator, so that the first position is taken for the largest."""
    weight = np.random.default_rng(4).standard_normal((8, 8, 1, 1)).astype(np.float32) / 512
    nodes = (Node("conv", CONV, ("x", "w"), ("c",)), Node("best", ArgMax(1), ("c",), ("y",)))
    graph = Graph("spoiled", {"x": TensorType(SHAPE)}, ("y",), nodes, {"w": weight})
    found = compared(graph, {"x": PICTURE / 512})
    assert not found.right
    assert found.layers[0].verdict is Verdict.PRECISION
    assert any(cause.startswith("MAC array") for cause in found.layers[0].causes)


def test_errors_of_ideal_fp16_are_not_the_engines() -> None:
    """Large numbers of alternating sign: half precision loses the result, on the engine as in the ideal."""
    weight = {"weight": np.full((8, 8, 1, 1), 0.25, np.float32)}
    shift = {"shift": np.full((1, 8, 1, 1), 500.3, np.float32)}
    back = {"shift": np.full((1, 8, 1, 1), -500.3, np.float32)}
    graph = chain([("up", Add(), shift), ("relu", Relu(), {}), ("down", Add(), back), ("conv", CONV, weight)], SHAPE)
    found = compared(graph, {"x": PICTURE})
    assert found.outputs[0].ideal.relative_rms > found.tolerance
    assert found.right
