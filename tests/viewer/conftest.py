"""One browser and one page of the digits network for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.browser import start
from tests.support.viewer_models import DIGITS

from openane.analysis.compare import compare_layers
from openane.compiler.driver import build, load
from openane.compiler.generated_inputs import made_up_input
from openane.graph import Graph
from openane.viewer import Choices, document, page


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    yield from start()


@pytest.fixture(scope="session")
def digits_document() -> dict[str, Any]:
    artifact = build(DIGITS)
    inputs = {name: made_up_input(name, kind) for name, kind in artifact.plan.inputs.items()}
    source = load(DIGITS)
    assert isinstance(source, Graph)
    return document(artifact, Choices(source=source, comparison=compare_layers(artifact, inputs)))


@pytest.fixture(scope="session")
def digits_page(digits_document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "digits.html"
    path.write_text(page(digits_document), "utf-8")
    return path
