"""Every choice of a compilation and of a session can be made from Python and on the command line."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from pathlib import Path
from typing import Any, get_type_hints

import click
import numpy as np
import pytest
from click.testing import CliRunner

import openane
from openane import api
from openane.analysis import effects, hazards, isolated_run
from openane.analysis.compare import compare_layers
from openane.analysis.hazards import find_hazards
from openane.artifact.cache import Cache
from openane.artifact.options import Functions, Options
from openane.artifact.plan import Artifact, HostStep
from openane.cli import root
from openane.cli._options import COMPILE_OPTIONS, OLD_WIDE_OPTION, compile_options, options_of
from openane.cli.run import session_options
from openane.compiler import driver
from openane.compiler.cached_build import build_cached
from openane.compiler.lowering import LoweringOptions
from openane.core.choices import AllowedEncodings
from openane.core.errors import UnsupportedError
from openane.core.types import DType
from openane.graph import Graph, Node, TensorType
from openane.graph.ops import Affine, ArgMax, Relu
from openane.runtimes.runtime import SessionOptions
from openane.targets import get
from openane.targets.target import CompileOptions, RunOptions

FIELDS = {field.name: field for field in dataclasses.fields(Options)}
PYTHON_ONLY = {"like_apple", "example_inputs", "output_names"}
"""Keywords of `compile` that are not fields: a preset of fields, and what an exported module is traced with."""
DECIDED = {
    "compile": {"observe", "time_limit_seconds"},
    "explain": {"host", "calibration", "observe"},
    "eval": {"constants", "calibration", "observe"},
    "run": {"observe"},
    "compare": {"observe"},
    "estimate": {"observe"},
    "view": {"observe"},
}
"""Fields that a verb decides itself: hosted layers are shown, a journal holds no arrays."""
DIGITS = Path(__file__).parents[2] / "src" / "openane" / "data" / "digits.onnx"
KIND = TensorType((1, 4, 5, 5), DType.FLOAT32)


def chain() -> Graph:
    nodes = (Node("first", Relu(), ("x",), ("a",)), Node("second", Affine(2.0), ("a",), ("b",)))
    return Graph("chain", {"x": KIND}, ("b",), nodes, {})


def test_every_field_is_a_keyword_of_compile() -> None:
    keywords = dict(inspect.signature(openane.compile).parameters)
    del keywords["source"]
    assert keywords.keys() == FIELDS.keys() | PYTHON_ONLY
    hints, fields = get_type_hints(api.compile), get_type_hints(Options, vars(api))
    for name, field in FIELDS.items():
        wanted = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        default = keywords[name].default
        named = type(wanted)(default) if name in ("functions", "evidence", "weights") else default or wanted
        assert named == wanted, name
        if name not in ("keep_on_host", "functions", "evidence", "weights"):
            assert hints[name] in (fields[name], fields[name] | None), name


def test_run_passes_every_keyword_of_compile_on() -> None:
    hints = get_type_hints(api.compile)
    assert get_type_hints(api.CompileChoices) == {
        name: kind for name, kind in hints.items() if name not in ("source", "return")
    }
    with pytest.raises(TypeError, match="hsot"):
        openane.run(chain(), {}, hsot=True)


def test_run_compiles_as_it_is_told() -> None:
    x, stages = {"x": np.ones(KIND.shape, np.float32)}, []
    found = openane.run(chain(), x, observe=lambda stage: stages.append(stage.name), time_limit_seconds=None)
    np.testing.assert_array_equal(found["b"], 2)
    assert "graph" in stages
    hosted = Graph("hosted", {"x": KIND}, ("i",), (Node("n", ArgMax(1), ("x",), ("i",)),), {})
    with pytest.raises(UnsupportedError):
        openane.run(hosted, x, host=False)


def test_no_choice_is_lost_on_the_way_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lower levels take from `Options` all that they have but what follows from model and target."""
    own = {LoweringOptions: {"rows", "machine"}, CompileOptions: {"check", "compress"}}
    for kind, others in own.items():
        assert {field.name for field in dataclasses.fields(kind)} - others <= FIELDS.keys(), kind
    seen: list[Any] = []
    real_lower, real_target = driver.lower, type(get("h13")).lower
    monkeypatch.setattr(driver, "lower", lambda graph, chosen: seen.append(chosen) or real_lower(graph, chosen))
    monkeypatch.setattr(
        type(get("h13")), "lower", lambda self, net, chosen: seen.append(chosen) or real_target(self, net, chosen)
    )
    chosen: dict[str, Any] = {"dialect": "macos-11", "functions": Functions.APPLE, "rescale": True}
    chosen |= {"calibration": {}, "observe": lambda stage: None, "evidence": AllowedEncodings.ANY}
    openane.compile(chain(), **chosen)
    assert {type(each) for each in seen} == set(own)
    for each in seen:
        for field in dataclasses.fields(each):
            if field.name not in own[type(each)]:
                assert getattr(each, field.name) == chosen[field.name], field.name


def test_parts_are_compiled_like_the_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Comparisons and the search for hazards compile layers again, with the choices of the model."""
    seen: list[Options] = []

    def recorded(source: Any, options: Options) -> Artifact:
        seen.append(options)
        return driver.build(source, options)

    for module in (isolated_run, effects, hazards):
        monkeypatch.setattr(module, "build", recorded)
    artifact = openane.compile(chain(), dialect="macos-11", functions="apple", observe=lambda stage: None)
    x = {"x": np.full(KIND.shape, 60000, np.float32)}
    compare_layers(artifact, x)
    assert artifact.graph is not None
    find_hazards(artifact.graph, [x], frozenset(), artifact.options)
    assert len(seen) > 2
    assert {(each.dialect, each.functions, each.observe) for each in seen} == {("macos-11", Functions.APPLE, None)}
    kept, again = (build_cached(DIGITS, Options(dialect="macos-11"), Cache(tmp_path)) for _ in range(2))
    assert again.options == kept.options == Options(dialect="macos-11")


def test_run_takes_shapes_and_constants(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the package onnx is missing")
    helper, kinds = onnx.helper, onnx.TensorProto
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Reshape", ["x", "shape"], ["y"])],
            "reshape",
            [
                helper.make_tensor_value_info("x", kinds.FLOAT, ["n", 4]),
                helper.make_tensor_value_info("shape", kinds.INT64, [2]),
            ],
            [helper.make_tensor_value_info("y", kinds.FLOAT, ["a", "b"])],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    path = tmp_path / "reshape.onnx"
    path.write_bytes(model.SerializeToString())
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    found = openane.run(path, {"x": x}, shapes={"x": (2, 4)}, constants={"shape": np.array([4, 2])})
    np.testing.assert_array_equal(found["y"], x.reshape(4, 2))


def test_every_field_is_an_option_of_the_command_line() -> None:
    assert COMPILE_OPTIONS.keys() | {"observe"} == FIELDS.keys()


@pytest.mark.parametrize("verb", DECIDED)
def test_every_verb_that_compiles_has_the_options(verb: str) -> None:
    """The fields that a verb does not decide are its options, by the same names everywhere."""
    command = importlib.import_module(f"openane.cli.{verb}").command
    own = {option for parameter in command.params for option in parameter.opts}

    @click.command()
    @compile_options(*DECIDED[verb] - {"observe"})
    def shared() -> None: ...

    assert {option for parameter in shared.params for option in parameter.opts} <= own
    assert ("--wide" in own) == (verb in ("run", "explain"))


def test_no_other_verb_compiles_with_own_options() -> None:
    context = click.Context(root)
    commands = {name: root.get_command(context, name) for name in root.list_commands(context)}
    verbs = {name for name, command in commands.items() if any(p.name == "like_apple" for p in command.params)}
    assert verbs == DECIDED.keys()


def test_the_options_of_a_command_are_the_fields() -> None:
    found: list[Options] = []

    @click.command()
    @compile_options()
    @OLD_WIDE_OPTION
    def command(**choices: Any) -> None:
        found.append(options_of(choices))

    words = "--target h13 --dialect linux --shape x=1,2 --constant n=3 --host forbid --keep-on-host a --wide b"
    words += " --functions apple --evidence recorded --rescale --compile-time-limit 7 --function f --model 1"
    words += " --state x=y --weights dense"
    done = CliRunner().invoke(command, words.split(), catch_exceptions=False)
    assert "--wide is deprecated" in done.stderr and done.stdout == ""
    (options,) = found
    assert options.identity() == {
        "target": "h13", "dialect": "linux", "shapes": {"x": [1, 2]}, "host": False, "keep_on_host": ["a", "b"],
        "functions": "APPLE", "evidence": "RECORDED", "rescale": True, "function": "f", "model": 1,
        "states": {"x": "y"}, "weights": "DENSE",
    }  # fmt: skip
    assert options.constants == {"n": 3} and options.time_limit_seconds == 7
    CliRunner().invoke(command, ["--rescale", "--like-apple"], catch_exceptions=False)
    assert found[-1].functions is Functions.APPLE and not found[-1].rescale
    CliRunner().invoke(command, [], catch_exceptions=False)
    assert found[-1] == Options() and found[-1].time_limit_seconds == Options().time_limit_seconds


def test_every_choice_of_a_session_is_an_option_of_run() -> None:
    words = "--timeout 3 --memory-limit 1M --device d --permissive --fast --threads 2 --until 4 --numerics a=b"
    words += " --time-limit 5 --partial-outputs --no-hazards --dump d x"
    command = importlib.import_module("openane.cli.run").command
    found = session_options(command.make_context("run", words.split()).params)
    for chosen, plain in ((found, SessionOptions()), (found.simulation, RunOptions())):
        for field in dataclasses.fields(plain):
            assert getattr(chosen, field.name) != getattr(plain, field.name), field.name


def test_the_old_keyword_works_and_says_so() -> None:
    with pytest.warns(DeprecationWarning, match="use keep_on_host="):
        artifact = openane.compile(chain(), wide=frozenset({"first"}))
    assert isinstance(artifact.plan.steps[0], HostStep)
    with pytest.warns(DeprecationWarning, match="use keep_on_host="):
        options = Options(wide=frozenset({"first"}))
    assert options.keep_on_host == {"first"}
    with pytest.warns(DeprecationWarning, match=r"use Options\.keep_on_host"):
        assert options.wide == {"first"}
    with pytest.raises(TypeError, match="its old name 'wide'"):
        openane.compile(chain(), wide=frozenset(), keep_on_host=())
