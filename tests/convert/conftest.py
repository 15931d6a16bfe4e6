"""The builder needs neither TensorFlow nor PyTorch; loading them takes longer than the tests."""

from __future__ import annotations

import pytest

from openane.convert.coreml import without_frameworks


@pytest.fixture(scope="session", autouse=True)
def _builder_only() -> None:
    with without_frameworks():
        pytest.importorskip("coremltools")
