"""What a page holds: complete, plain, harmless, the same every time."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.viewer_models import DIGITS, NASTY, long_model

from openane.analysis.diff import diff_programs
from openane.cli import main
from openane.cli.view import command
from openane.compiler.driver import build
from openane.core.types import DType
from openane.sim.decoded_task import DecodedOperand, DecodedTask, MemorySpace, PlanarOperation, PlanarWork
from openane.viewer import Choices, diff_document, document, page
from openane.viewer.memory import memory_map
from openane.viewer.page import embed


def test_the_page_needs_nothing_else(digits_page: Path) -> None:
    text = digits_page.read_text("utf-8")
    assert not re.search(r'(src|href)="(?!#)', text)
    assert "default-src &#x27;none&#x27;" in text
    assert "unsafe" not in text


def test_the_same_document_is_the_same_page(digits_document: dict[str, Any], digits_page: Path) -> None:
    assert page(digits_document) == digits_page.read_text("utf-8")
    artifact = build(DIGITS)
    assert json.dumps(document(artifact)) == json.dumps(document(build(DIGITS)))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(), x, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None)
@given(PLAIN)
def test_embedded_json_is_itself_and_cannot_leave_its_element(value: Any) -> None:
    text = embed(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)


def test_every_task_layer_and_table_is_there(digits_document: dict[str, Any]) -> None:
    artifact = build(DIGITS)
    tasks = digits_document["tasks"]
    assert len(tasks) == len(artifact.program.tasks)
    assert all(bool(task["findings"]) == (task["evidence"] != "as emitted by Apple") for task in tasks)
    assert [layer["operation"] for layer in digits_document["layers"]][:3] == ["Conv", "BatchNorm", "Relu"]
    assert {task for layer in digits_document["layers"] for task in layer["tasks"]} == set(range(len(tasks)))
    assert digits_document["tables"], "softmax needs tables"
    assert digits_document["weights"], "convolutions have weights"
    starts = [task["start"] for task in tasks]
    assert starts == sorted(starts)


def test_memory_is_inside_its_size(digits_document: dict[str, Any]) -> None:
    for memory in digits_document["programs"][0]["memory"]:
        for first, last, base, end, _ in memory["tenants"]:
            assert first <= last
            assert 0 <= base < end <= memory["size"]


def operand(base: int, count: int) -> DecodedOperand:
    return DecodedOperand(
        "any",
        MemorySpace.L2,
        0,
        base,
        (1, 1, 1, 1, count),
        (2 * count, 2 * count, 2 * count, 2 * count, 2),
        DType.FLOAT16,
    )


def copy(index: int, source: DecodedOperand, result: DecodedOperand) -> DecodedTask:
    view = (1, 1, 1, 1, source.count)
    return DecodedTask(index, "", PlanarWork(PlanarOperation.ADD), view, view, (source,), result)


def test_lifetimes_end_with_the_last_reader() -> None:
    a, b, c = operand(0, 8), operand(64, 8), operand(128, 8)
    found = memory_map([copy(0, c, a), copy(1, a, b), copy(2, b, c), copy(3, a, b), copy(4, b, a)], {})
    spans = [(t.first, t.last, t.base) for t in found.tenants[MemorySpace.L2, 0]]
    assert spans == [(0, 3, 0), (1, 2, 64), (2, 2, 128), (3, 4, 64), (4, 4, 0)]
    assert found.feeds == ((0, 1), (1, 2), (0, 3), (3, 4))


def test_a_read_of_what_was_overwritten_goes_to_the_later_writer() -> None:
    wide, narrow, away = operand(0, 8), operand(0, 2), operand(64, 2)
    found = memory_map([copy(0, away, wide), copy(1, away, narrow), copy(2, narrow, away)], {})
    assert (1, 2) in found.feeds and (0, 2) not in found.feeds


def test_a_difference_page_tells_the_fields(shared: Path) -> None:
    paths = [shared / "goldens/h13" / f"eiln-{name}.anec" for name in ("add", "mul")]
    first, second = (build(path) for path in paths)
    found = diff_document(first, second, diff_programs(first.program, second.program))
    (task,) = found["difference"]["tasks"]
    assert [each["path"] for each in task["fields"]] == ["PE.Cfg.OpMode"]


def test_every_golden_has_a_page(shared: Path) -> None:
    for path in sorted((shared / "goldens/h13").iterdir()):
        found = document(build(path))
        assert len(found["layers"]) == len(found["tasks"]) > 0, path.name
        assert page(found).startswith("<!doctype html>")


def test_command_writes_a_page(tmp_path: Path) -> None:
    output = tmp_path / "digits.html"
    result = CliRunner().invoke(command, [str(DIGITS), "-o", str(output)])
    assert result.exit_code == 0, result.output
    assert f"12 layers, {len(build(DIGITS).program.tasks)} tasks" in result.output
    assert output.read_text("utf-8").count("<script") == output.read_text("utf-8").count("</script>")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "page.pdf"], "the page is HTML"),
        (["-o", "page.html", "--chip", "m99"], "m99"),
        (["-o", "page.html", "--input", "x=y.npy"], "--input needs --compare"),
        (["-o", "nowhere/at/all/page.html"], "cannot write"),
    ],
)
def test_bad_arguments_are_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["view", str(DIGITS), *arguments])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert not (tmp_path / "page.html").exists()


def test_nasty_names_stay_names() -> None:
    graph = long_model(4, NASTY)
    text = page(document(build(graph), Choices(source=graph)))
    assert "<script>alert" not in text and "onerror=alert(2)>" not in text
