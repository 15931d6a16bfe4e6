"""What the tour and the README show runs as it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
TOUR = (REPOSITORY / "docs" / "tour.md").read_text()
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A place that looks like the repository, where outputs may be written."""
    (tmp_path / "src").symlink_to(REPOSITORY / "src")
    return tmp_path


def test_commands_of_the_tour(folder: Path) -> None:
    commands = re.findall(r"^\$ (.+)$", TOUR, re.MULTILINE)
    assert len(commands) >= 8
    for command in commands:
        done = subprocess.run(command, shell=True, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    written = folder / "demo-output"
    assert (written / "digits.hwx").read_bytes() == (written / "again.hwx").read_bytes()


def test_python_of_the_tour(folder: Path) -> None:
    (code,) = re.findall(r"```python\n(.+?)```", TOUR, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "(1, 10)" in done.stdout


def test_readme_names_verbs_that_exist() -> None:
    from openane.cli import root

    readme = (REPOSITORY / "README.md").read_text()
    verbs = set(re.findall(r"^ {4}openane ([a-z-]+)", readme, re.MULTILINE))
    assert len(verbs) >= 7
    assert verbs <= set(root.list_commands(None))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["hazards", "rescale"])
def test_a_page_shows_what_comes_out(name: str) -> None:
    page = (REPOSITORY / "docs" / "how-to" / f"{name}.md").read_text()
    (code,) = re.findall(r"```python\n(.+?)```", page, re.DOTALL)
    (output,) = re.findall(r"```text\n(.+?)```", page, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.stdout == output, done.stderr
