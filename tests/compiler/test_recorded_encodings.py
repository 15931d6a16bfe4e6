"""`--evidence recorded` from a model to a file: host steps, refusals, cache, notes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tests.support.viewer_models import DIGITS

import openane
from openane.analysis.describe import describe
from openane.analysis.evidence import evidence_of_model
from openane.artifact.cache import Cache
from openane.artifact.plan import Artifact, HostStep
from openane.cli.compile import command as compile_command
from openane.cli.info import command as info_command
from openane.compiler.cached_build import build_cached, key_of
from openane.compiler.driver import Options
from openane.core.choices import AllowedEncodings
from openane.core.errors import InputError, UnsupportedError
from openane.core.types import DType
from openane.formats.hwx import read_hwx, write_hwx
from openane.graph import Graph, Node, TensorType
from openane.graph.ops import Conv, Relu
from openane.program.evidence import EncodingEvidence

RECORDED = AllowedEncodings.RECORDED
KIND = TensorType((1, 16, 9, 9), DType.FLOAT32)


def convolutions(*sizes: int) -> Graph:
    """Convolutions that keep the image, each with a ReLU."""
    nodes, constants, last = [], {}, "x"
    for number, size in enumerate(sizes):
        kernel = np.random.default_rng(number).standard_normal((16, 16, size, size)).astype(np.float32) / (4 * size)
        constants[f"w{number}"] = kernel
        pads = (size // 2,) * 4
        nodes.append(Node(f"conv{number}", Conv((1, 1), pads, (1, 1)), (last, f"w{number}"), (f"c{number}",)))
        nodes.append(Node(f"relu{number}", Relu(), (f"c{number}",), (f"r{number}",)))
        last = f"r{number}"
    return Graph("convolutions", {"x": KIND}, (last,), tuple(nodes), constants)


def hosted(artifact: Artifact) -> dict[str, str]:
    return {
        node.name: step.reasons[node.name].rule
        for step in artifact.plan.steps
        if isinstance(step, HostStep)
        for node in step.graph.nodes
        if node.name in step.reasons
    }


def test_what_has_no_recorded_form_runs_on_the_host() -> None:
    graph = convolutions(3, 5, 3)
    artifact = openane.compile(graph, evidence="recorded")
    assert hosted(artifact)["conv1"] == "h13.on-record"
    assert not {"conv0", "conv2"} & hosted(artifact).keys()
    report = evidence_of_model(artifact)
    assert report is not None
    assert report.counts[EncodingEvidence.RECORDED] == len(report.tasks) > 0
    x = {"x": np.random.default_rng(9).standard_normal(KIND.shape).astype(np.float32)}
    found, wanted = openane.run(artifact, x), openane.run(graph, x)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, atol=4e-3 * np.abs(array).max())


def test_without_the_host_it_is_refused_with_rule_and_layer() -> None:
    with pytest.raises(UnsupportedError, match="conv0") as caught:
        openane.compile(convolutions(5), evidence="recorded", host=False)
    assert caught.value.diagnostic.rule == "h13.on-record"


def test_a_recorded_model_compiles_to_the_same_program() -> None:
    graph = convolutions(3)
    bare = Graph(graph.name, graph.inputs, ("c0",), graph.nodes[:1], graph.constants)
    plain = openane.compile(bare, evidence="any")
    assert openane.compile(bare, evidence="recorded").program.tasks == plain.program.tasks


def test_file_info_and_cache_know_the_choice(tmp_path: Path) -> None:
    recorded, plain = Options(evidence=RECORDED), Options()
    assert key_of(DIGITS, recorded) != key_of(DIGITS, plain)
    first, again = (build_cached(DIGITS, recorded, Cache(tmp_path)) for _ in range(2))
    assert [program.tasks for program in again.programs] == [program.tasks for program in first.programs]
    path = tmp_path / "digits.hwx"
    path.write_bytes(write_hwx(first.programs[0]))
    found = describe(read_hwx(path))
    assert found.encodings == "recorded"
    assert found.evidence is not None
    assert found.evidence["findings"] == []
    assert "(compiled with recorded encodings only)" in CliRunner().invoke(info_command, [str(path)]).output


def test_the_command_line_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "m.hwx"
    words = [str(DIGITS), "-o", str(path), "--evidence", "recorded", "--json"]
    facts = json.loads(CliRunner().invoke(compile_command, words, catch_exceptions=False).stdout)
    assert facts["evidence"]["tasks"] == {"as emitted by Apple": facts["tasks"], "extrapolated": 0, "assumed": 0}


@pytest.mark.parametrize(
    ("more", "message"), [({"rescale": True}, "rescaled kernels"), ({"evidence": "proven"}, "no such choice")]
)
def test_what_does_not_go_together(more: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        openane.compile(convolutions(1), **{"evidence": "recorded", **more})  # type: ignore[arg-type]


def test_units_have_no_encodings(tmp_path: Path) -> None:
    words = [str(DIGITS), "-o", str(tmp_path / "m.plist"), "--evidence", "recorded"]
    result = CliRunner().invoke(compile_command, words)
    assert isinstance(result.exception, InputError)
    assert "net.plist" in str(result.exception)
