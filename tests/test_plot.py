"""Pictures and notebook forms."""

from __future__ import annotations

import builtins
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import openane
from openane.analysis.estimate import estimate
from openane.analysis.explain import explain
from openane.core import html
from openane.core.errors import InputError, UnavailableError
from openane.graph import Graph

DIGITS = Path(__file__).parents[1] / "src" / "openane" / "data" / "digits.onnx"


@pytest.fixture(scope="module")
def artifact() -> Any:
    return openane.compile(DIGITS)


@pytest.fixture(scope="module")
def reports(artifact: Any) -> dict[str, Any]:
    source = openane.load(DIGITS)
    assert isinstance(source, Graph)
    return {
        "artifact": artifact,
        "program": artifact.program,
        "estimate": estimate(artifact),
        "explanation": explain(artifact, source),
    }


class Balanced(HTMLParser):
    """Fails on an element that is not closed in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        self.rows += tag == "tr"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", ["artifact", "program", "estimate", "explanation"])
def test_notebook_forms_are_whole_html(reports: dict[str, Any], name: str) -> None:
    parser = Balanced()
    parser.feed(reports[name]._repr_html_())
    assert parser.open == []
    assert parser.rows > 5


@pytest.mark.parametrize("name", ["artifact", "program", "estimate", "explanation"])
def test_frames_have_a_row_a_thing(reports: dict[str, Any], name: str) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    tasks = len(reports["program"].tasks)
    rows = {"artifact": tasks, "program": tasks}
    assert len(reports[name].to_pandas()) == (rows[name] if name in rows else len(reports[name].layers))


def test_without_pandas_the_hint_says_what_to_install(reports: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    missing(monkeypatch, "pandas")
    with pytest.raises(UnavailableError, match=r"openane\[notebook\]"):
        reports["estimate"].to_pandas()


def test_without_matplotlib_the_hint_says_what_to_install(
    reports: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing(monkeypatch, "matplotlib")
    with pytest.raises(UnavailableError, match=r"openane\[plot\]"):
        openane.plot.roofline(reports["estimate"])


def missing(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """As if a package were not installed."""
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **named: Any) -> Any:
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *rest, **named)

    for name in [each for each in sys.modules if each.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", refuse)


def test_texts_are_escaped() -> None:
    text = html.table("<b>", ("<i>",), [("</td><script>",)]) + html.facts("&", [("<", ">")])
    text += html.shares('"', [("<u>", 1.0, '"red"')])
    assert "<script>" not in text and "<i>" not in text and "<u>" not in text and "<b>" not in text


def test_long_tables_say_what_is_left_out() -> None:
    assert "and 5 more" in html.table("t", ("a",), [(i,) for i in range(html.ROW_LIMIT + 5)])


def axes() -> Any:
    figure = pytest.importorskip("matplotlib.figure", reason="matplotlib is not installed")
    return figure.Figure().add_subplot()


def test_the_timeline_shows_all_time(reports: dict[str, Any]) -> None:
    found = reports["estimate"]
    drawn = openane.plot.timeline(found, axes=axes())
    ends = [path.get_extents().x1 for bars in drawn.collections for path in bars.get_paths()]
    assert max(ends) == pytest.approx(found.time_us)
    assert [label.get_text() for label in drawn.get_yticklabels()] == ["NE", "PE", "DMA", "rest"]


def test_the_roofline_has_the_model_below_its_roof(reports: dict[str, Any]) -> None:
    drawn = openane.plot.roofline(reports["estimate"], axes=axes())
    (reuse, speed) = drawn.collections[-1].get_offsets()[0]
    roof = drawn.lines[0]
    assert speed <= np.interp(reuse, roof.get_xdata(), roof.get_ydata())


def test_table_errors_are_those_of_the_definition() -> None:
    x, error = openane.plot.table_errors("relu", within=4)
    assert x.min() == -4 and x.max() == 4
    assert error.max() == 0
    x, error = openane.plot.table_errors("sigmoid", within=4)
    wanted = 1 / (1 + np.exp(-x))
    knots_apart = 0.5
    largest = (error * np.spacing(wanted.astype(np.float16)).astype(np.float64)).max()
    assert largest < knots_apart**2 / 8 * 0.1 + 2e-3, "interpolation and rounding"
    assert error.max() > 0.5, "a table is worse than rounding"
    assert openane.plot.table_error("tanh", axes=axes()).lines[0].get_xdata().size > 1000


def test_an_unknown_function_is_refused() -> None:
    with pytest.raises(InputError, match="no such function"):
        openane.plot.table_errors("sigmund")
    with pytest.raises(InputError, match="range is empty"):
        openane.plot.table_errors("tanh", within=0)
