"""CONTRIBUTING.md names the files of each kind of change, and an addition to those files alone works end to end."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import openane

REPOSITORY = Path(__file__).parents[2]
SOURCE = Path(openane.__file__).parent
ROWS = dict(
    re.findall(r"^\| (?!change|---)(.+?) \| (.+) \|$", (REPOSITORY / "CONTRIBUTING.md").read_text(), re.MULTILINE)
)
"""The table: change -> files."""


def _paths(cell: str) -> list[str]:
    return [text for text in re.findall(r"`([^`]+)`", cell) if "/" in text and " " not in text]


def test_the_table_has_a_row_for_each_kind_of_change() -> None:
    assert len(ROWS) >= 20
    assert all(_paths(cell) for cell in ROWS.values())


@pytest.mark.parametrize("change", ROWS)
def test_paths_exist(change: str) -> None:
    for path in _paths(ROWS[change]):
        pattern = re.sub(r"<[a-z]+>", "*", path)
        assert list(SOURCE.glob(pattern)), f"{change}: {path} does not exist"


CLASS = '''

@dataclass(frozen=True)
class Twice(Unary):
    """y = 2 x."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return 2 * x
'''
NEW_FILES = {
    "frontends/onnx/handlers/twice.py": """
from openane.graph import ops
CONTRIBUTED = {"Twice": lambda call: [call.emit(ops.Twice(), call.name(0))]}
""",
    "frontends/mil/operations/twice.py": """
from openane.frontends.mil.operations.entry import Entry
from openane.graph import ops
ENTRIES = {"twice": Entry(("x",), lambda call: call.finish(ops.Twice(), call.value("x")))}
""",
    "compiler/lowering/twice.py": '''
from openane.core.errors import require
from openane.core.rules import RuleKind, rule
from openane.graph import ops
from openane.net import GOCParams
@rule("twice-rank", family="Twice", kind=RuleKind.CHOICE, limit="at most 4 axes", hint="Reshape it.", evidence="a test")
def rank(shape):
    """Twice has too many axes."""
    return len(shape) if len(shape) > 4 else None
def _lower(ctx, node):
    require(rank, ctx.shape(node.inputs[0]))
    value = ctx.values[node.inputs[0]]
    ctx.define(node.outputs[0], ctx.emit(GOCParams(2.0), value.handle), value.layout)
LOWERINGS = {ops.Twice: _lower}
''',
    "runtimes/host/twice.py": """
from openane.graph import ops
MAPPINGS = {ops.Twice: lambda w, node: w.emit("Add", node.inputs[0], node.inputs[0])}
""",
    "compiler/passes/twice.py": """
from openane.compiler.passes.rewriting import Editor
from openane.graph import ops
def _same(editor, node):
    a, b = node.inputs
    return editor.put(node, ops.Twice(), [a]) if a == b else None
def recognize_twice(graph):
    return Editor(graph, "twice").run({ops.Add: (_same,)})
""",
    "net/units/thrice.py": '''
from dataclasses import dataclass
from typing import Annotated, ClassVar
from openane.net.net import UnitParams
from openane.net.schema.parameters import FlagKey
@dataclass(frozen=True)
class ThriceParams(UnitParams):
    """y = 3 x, or -3 x."""
    negative: Annotated[bool, FlagKey("Negative")] = False
    plist_type: ClassVar[str] = "Thrice"
    @property
    def factor(self):
        return -3.0 if self.negative else 3.0
    def infer(self, bottoms):
        return bottoms[0]
    def evaluate(self, bottoms):
        return bottoms[0] * self.factor
''',
    "backend/units/thrice.py": """
from dataclasses import replace
from openane.backend.rules import Family
from openane.backend.units.scale import lower_goc
from openane.net.units import GOCParams
from openane.net.units.thrice import ThriceParams
def _lower(unit, lowering):
    yield from lower_goc(replace(unit, params=GOCParams(unit.params.factor)), lowering)
FAMILIES = (Family("three times", (ThriceParams,), _lower),)
""",
    "cli/twice.py": '''"""`openane twice`: say it twice."""
import click
@click.command()
def command() -> None:
    """Say it twice."""
    click.echo("twice twice")
''',
}
CHECKS = """
import numpy as np, onnx
from onnx import TensorProto, helper
import openane
from openane.compiler.lowering import why_not
from openane.compiler.pipeline import run_pipeline
from openane.frontends.mil import loads
from openane.frontends.onnx import load_model
from openane.graph import Graph, Node, TensorType, ops
from openane.runtimes.host.session import open_host

assert ops.OPERATIONS["Twice"] is ops.Twice and list(ops.Twice.cases())
kinds = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 4, 4]) for name in "xy"]
nodes = [helper.make_node("Twice", ["x"], ["m"], domain="com.microsoft"), helper.make_node("Add", ["m", "m"], ["y"])]
opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]  # ONNX itself knows no Twice
model = helper.make_model(helper.make_graph(nodes, "g", kinds[:1], kinds[1:]), opset_imports=opsets)
graph = load_model(model, {}, {})
assert [type(node.operation) for node in graph.nodes] == [ops.Twice, ops.Add]
assert [type(node.operation) for node in run_pipeline(graph).nodes] == [ops.Twice, ops.Twice]
assert why_not(graph.nodes[0], graph) is None
deep = Graph("g", {"x": TensorType((1,) * 5)}, ("y",), (Node("n", ops.Twice(), ("x",), ("y",)),), {})
refused = why_not(deep.nodes[0], deep)
assert (refused.rule, refused.what, refused.value) == ("twice-rank", "Twice has too many axes", "5"), refused

x = np.arange(48, dtype=np.float32).reshape(1, 3, 4, 4)
(found,) = openane.run(openane.compile(graph), {"x": x}).values()
np.testing.assert_array_equal(found, 4 * x)
on_host = open_host(graph).run({"x": x})
np.testing.assert_array_equal(on_host.outputs["y"], 4 * x)
print(on_host.library)

text = 'program(1.3)\\n{ func main<ios18>(tensor<fp32, [2, 3]> x) { tensor<fp32, [2, 3]> y = twice(x = x); } -> (y); }'
assert [type(node.operation) for node in loads(text).nodes] == [ops.Twice]
try:
    class Twice(ops.Unary):
        pass
except TypeError as error:
    assert "two operations are named Twice" in str(error)
else:
    raise AssertionError("a second operation of the name was taken")
"""
UNIT_CHECKS = """
import numpy as np
import openane
from openane.net import Net, NeuronParams, NeuronKind, TensorShape, Unit
from openane.net.plist import read_net, write_net
from openane.net.units.thrice import ThriceParams

units = (Unit("a", ThriceParams(negative=True), ("x",)), Unit("b", NeuronParams(NeuronKind.WAVE), ("a",)))
net = Net("net", {"x": TensorShape(1, 3, 4, 4)}, {"y": "b"}, units)
x = np.linspace(-1, 1, 48, dtype=np.float32).reshape(1, 3, 4, 4)
write_net(net, "net.plist")
read = read_net("net.plist").units
assert read[0] == units[0] and read[1].params.kind is NeuronKind.WAVE
(found,) = openane.run(openane.compile("net.plist"), {"x": x}).values()
np.testing.assert_allclose(found, np.tanh(-1.5 * x), atol=2e-3)
"""


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with a copy of openane and what the table says of each addition below."""
    folder = tmp_path_factory.mktemp("source")
    copy = folder / "openane"
    shutil.copytree(SOURCE, copy)
    family = copy / "graph" / "ops" / "unary.py"
    family.write_text(family.read_text().replace("__all__ = [", '__all__ = [\n    "Twice",', 1) + CLASS)
    pipeline = copy / "compiler" / "pipeline.py"
    text = pipeline.read_text()
    begin = re.search(r"^PIPELINE.*\($", text, re.MULTILINE)
    assert begin is not None
    line = "\n    _pass(recognize_twice, 'before the sum of two equal values becomes something else'),"
    text = text[: begin.end()] + line + text[begin.end() :]
    after = "from openane.compiler.passes.transposes import sink_transposes\n"
    pipeline.write_text(text.replace(after, after + "from openane.compiler.passes.twice import recognize_twice\n"))
    neuron, recipes = copy / "net" / "units" / "neuron.py", copy / "backend" / "functions" / "recipes.py"
    _insert(neuron, '    WAVE = "Wave"\n', before='    MISH = "Mish"\n')
    _insert(
        neuron,
        "        NeuronKind.WAVE: _plain(lambda x: np.tanh(x / 2)),\n",
        before="        NeuronKind.MISH: _plain(",
    )
    _insert(
        recipes, "        NeuronKind.WAVE: _table(tables.tanh, scale=0.5),\n", before="        NeuronKind.MISH: _curve("
    )
    for name, content in NEW_FILES.items():
        (copy / name).write_text(content)
    return {**os.environ, "PYTHONPATH": str(folder)}


def _insert(path: Path, text: str, *, before: str) -> None:
    """Puts a text into a file, before a place that is there once."""
    content = path.read_text()
    assert content.count(before) == 1, f"{path}: {before}"
    path.write_text(content.replace(before, text + before))


def _run(arguments: list[str], environment: dict[str, str], folder: Path | None = None) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_added_operation_and_pass_work_end_to_end(changed: dict[str, str]) -> None:
    pytest.importorskip("onnx")
    assert _run(["-W", "ignore", "-c", CHECKS], changed).strip() in ("onnxruntime", "reference")


def test_an_added_unit_and_function_work_end_to_end(changed: dict[str, str], tmp_path: Path) -> None:
    _run(["-c", UNIT_CHECKS], changed, tmp_path)


def test_an_added_command_pass_and_rule_are_listed(changed: dict[str, str]) -> None:
    assert "Say it twice" in _run(["-m", "openane", "--help"], changed)
    assert _run(["-m", "openane", "twice"], changed) == "twice twice\n"
    assert "recognize-twice" in _run(["-m", "openane", "passes", "--json"], changed)
    assert "twice-rank" in _run(["-m", "openane", "limits", "h13", "--json"], changed)
