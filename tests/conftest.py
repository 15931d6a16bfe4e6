"""What all tests share: where the data outside the repository is; and random tests take the same cases each time.

`pytest --hypothesis-profile=explore` looks for new ones.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)
settings.register_profile("explore", max_examples=2000)
settings.load_profile("repeatable")

SHARED = Path(os.environ.get("OPENANE_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with compiled programs, records and models; the test skips without it."""
    if not (SHARED / "goldens").is_dir():
        pytest.skip("the folder shared/ (goldens, oracles, models) is missing; set OPENANE_SHARED")
    return SHARED
