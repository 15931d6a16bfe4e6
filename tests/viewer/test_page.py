"""The page in a browser: clicks, keys, search, links, colors, accessibility, size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.browser import Opened
from tests.support.viewer_models import DIGITS, NASTY, long_model

from openane.analysis.diff import diff_programs
from openane.compiler.driver import build
from openane.targets import attach
from openane.viewer import Choices, diff_document, document, page

VIEWS = ("overview", "graph", "tasks", "timeline", "memory", "tables", "weights", "errors")


@pytest.fixture
def opened(browser: Any, digits_page: Path) -> Iterator[Opened]:
    found = Opened(browser, digits_page)
    yield found
    found.close()


@pytest.fixture(scope="module")
def long_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    graph = long_model(1000)
    path = tmp_path_factory.mktemp("long") / "long.html"
    path.write_text(page(document(build(graph), Choices(source=graph))), "utf-8")
    return path


def inspector(opened: Opened) -> str:
    return str(opened.page.inner_text("#inspector"))


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_opens_by_its_tab(opened: Opened, view: str) -> None:
    opened.page.click(f"#tab-{view}")
    assert opened.page.get_attribute(f"#tab-{view}", "aria-selected") == "true"
    assert f"view={view}" in opened.page.url
    assert len(opened.page.inner_text("#view")) > 40 or opened.page.locator("#view canvas").count()


def test_a_link_to_a_task_shows_its_registers(browser: Any, digits_page: Path, digits_document: dict[str, Any]) -> None:
    table = digits_document["tables"][0]["tasks"][0]
    opened = Opened(browser, digits_page, f"task={table}")
    assert opened.page.inner_text("#inspector h2").startswith(f"Task {table}")
    assert opened.page.get_attribute("#tab-tasks", "aria-selected") == "true"
    assert "Header" in inspector(opened) and "Lookup table" in inspector(opened)
    opened.go("task=0")
    assert opened.page.inner_text("#inspector h2").startswith("Task 0")
    opened.go("layer=softmax")
    assert opened.page.inner_text("#inspector h2") == "softmax"
    opened.go("task=99999")
    assert "Choose a layer or a task" in inspector(opened)
    opened.close()


def test_fields_are_decoded_as_python_decodes_them(opened: Opened) -> None:
    program = attach(build(DIGITS).program)
    assert program.codec is not None
    registers = program.codec.registers
    shown = opened.page.evaluate(
        "Data.all.tasks.map(task => Data.wordsOf(task).map(([declaration, word]) =>"
        " [declaration.path, word,"
        " Data.fieldsOf(declaration, word).map(field => [field.name, field.value, field.text])]))"
    )
    for task, words in zip(program.tasks, shown, strict=True):
        written = task.registers()
        assert len(words) == len(task.header) + len(task.extra) + len(written)
        for path, word, fields in words:
            register = registers.by_path[path]
            assert written.get(register.address, word) == word or register in registers.header.registers
            for name, value, text in fields:
                field = register[name]
                assert value == field.get(word), path
                if field.kind.is_float:
                    assert float(text.replace("Infinity", "inf")) == pytest.approx(field.number(word), nan_ok=True)
                else:
                    assert text == field.show(value), path


def test_clicks_lead_from_layer_to_task_and_back(opened: Opened) -> None:
    opened.page.click("#tab-graph")
    opened.page.click("#view .row >> text=pool2")
    assert "MaxPool" in inspector(opened)
    opened.page.click("#inspector button >> text=task 3")
    assert opened.page.inner_text("#inspector h2").startswith("Task 3")
    opened.page.click("#inspector button >> text=pool2")
    assert opened.page.inner_text("#inspector h2") == "pool2"
    opened.page.click("#view .chip >> nth=0")
    assert opened.page.inner_text("#inspector h2").startswith("Task 0")


def test_search_finds_layers_tasks_and_registers(opened: Opened) -> None:
    opened.page.keyboard.press("/")
    assert opened.page.evaluate("document.activeElement.id") == "query"
    opened.page.keyboard.type("softmax")
    assert opened.page.locator("#found li").count() >= 5
    opened.page.keyboard.press("ArrowDown")
    opened.page.keyboard.press("Enter")
    assert "softmax" in inspector(opened) and opened.page.inner_text("#inspector h2").startswith("Task")
    opened.page.fill("#query", "OpMode PE.Cfg")
    opened.page.click("#found li >> nth=0")
    assert "PE.Cfg" in inspector(opened) or "Cfg" in inspector(opened)
    opened.page.fill("#query", "no such thing anywhere")
    assert "nothing found" in opened.page.inner_text("#found")
    opened.page.keyboard.press("Escape")
    assert opened.page.is_hidden("#found")


def test_the_keyboard_reaches_everything(opened: Opened) -> None:
    last = opened.page.evaluate("Data.all.tasks.length") - 1
    opened.page.keyboard.press("j")
    opened.page.keyboard.press("j")
    assert opened.page.inner_text("#inspector h2").startswith("Task 1")
    opened.page.keyboard.press("k")
    assert opened.page.inner_text("#inspector h2").startswith("Task 0")
    opened.page.keyboard.press("3")
    assert "view=tasks" in opened.page.url
    opened.page.focus("#view .list")
    opened.page.keyboard.press("End")
    assert opened.page.inner_text("#inspector h2").startswith(f"Task {last}")
    active = opened.page.get_attribute("#view .list", "aria-activedescendant")
    assert opened.page.get_attribute(f"#{active}", "aria-posinset") == str(last + 1)
    opened.page.focus("#tab-tasks")
    opened.page.keyboard.press("ArrowRight")
    assert opened.page.evaluate("document.activeElement.id") == "tab-timeline"
    opened.page.keyboard.press("Escape")
    assert "Choose a layer" in inspector(opened)
    opened.page.keyboard.press("?")
    assert opened.page.is_visible("#keys")
    opened.page.keyboard.press("Escape")
    assert opened.page.is_hidden("#keys")


def test_a_click_in_the_timeline_and_in_the_memory_chooses_a_task(opened: Opened) -> None:
    for view in ("timeline", "memory"):
        opened.go(f"view={view}")
        box = opened.page.locator("#view .canvas").bounding_box()
        assert box is not None
        opened.page.mouse.click(box["x"] + 120, box["y"] + 60)
        assert opened.page.inner_text("#inspector h2").startswith("Task"), view
    opened.page.hover("#view .canvas")
    assert opened.page.locator("#view .tip").count() == 1


def test_light_and_dark(browser: Any, digits_page: Path) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        opened = Opened(browser, digits_page, "", scheme)
        grounds.append(opened.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        opened.page.click("#theme")
        grounds.append(opened.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        opened.close()
    assert grounds[0] == grounds[3] != grounds[1] == grounds[2]


def violations(opened: Opened, view: str, **choices: Any) -> list[Any]:
    """What axe finds in a view; in the first one also in what is around it."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    opened.go(f"view={view}&task=2")
    place = {"exclude": [["details"]]} if view == VIEWS[0] else {"include": [["#view"]]}
    found = axe.Axe().run(opened.page, context=place, options={"resultTypes": ["violations"], **choices})
    return [(each["id"], [node["html"][:120] for node in each["nodes"][:3]]) for each in found.response["violations"]]


def test_accessibility(browser: Any, digits_page: Path) -> None:
    opened = Opened(browser, digits_page, "task=2")
    for view in VIEWS:
        assert not violations(opened, view), view
    opened.close()


def test_contrast_in_the_dark(browser: Any, digits_page: Path) -> None:
    opened = Opened(browser, digits_page, "task=2", "dark")
    for view in VIEWS:
        assert not violations(opened, view, runOnly=["color-contrast"]), view
    opened.close()


def test_a_page_of_1000_layers_draws_only_what_is_seen(browser: Any, long_page: Path) -> None:
    opened = Opened(browser, long_page, "view=graph&layer=layer900")
    assert opened.page.inner_text("#inspector h2") == "layer900"
    assert "layer900" in opened.page.inner_text("#view .row[aria-selected=true]")
    for view in ("tasks", "timeline", "memory", "graph"):
        opened.go(f"view={view}&task=300")
        assert opened.page.locator("#view .row").count() < 80
    opened.page.fill("#query", "layer77")
    assert opened.page.locator("#found li").count() > 5
    opened.close()


def test_names_are_text_whatever_they_hold(browser: Any, tmp_path: Path) -> None:
    graph = long_model(6, NASTY)
    path = tmp_path / "nasty.html"
    path.write_text(page(document(build(graph), Choices(source=graph))), "utf-8")
    opened = Opened(browser, path, "view=graph")
    opened.page.on("dialog", lambda dialog: opened.problems.append(f"dialog: {dialog.message}"))
    shown = opened.page.evaluate("[...document.querySelectorAll('#view .row .grow')].map(each => each.textContent)")
    assert shown == [f"{NASTY}{i}" for i in range(6)]
    opened.page.click("#view .row >> nth=2")
    assert opened.page.evaluate("document.querySelectorAll('img').length") == 0
    opened.close()


def test_a_difference_opens_first_and_leads_to_the_task(browser: Any, shared: Path, tmp_path: Path) -> None:
    first, second = (build(shared / "goldens/h13" / f"eiln-{name}.anec") for name in ("add", "mul"))
    path = tmp_path / "difference.html"
    found = diff_document(first, second, diff_programs(first.program, second.program))
    path.write_text(page(found), "utf-8")
    opened = Opened(browser, path)
    assert opened.page.get_attribute("#tab-difference", "aria-selected") == "true"
    assert "PE.Cfg.OpMode" in opened.page.inner_text("#view")
    opened.page.click("#view .row >> nth=0")
    assert "Differs in B" in inspector(opened)
    opened.close()
