"""The GitHub Action and the pre-commit hook: their files parse, and what they run works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from openane.cli.explain import command

ROOT = Path(__file__).parents[3]
yaml = pytest.importorskip("yaml")

TEXT = """program(1.0)
{
    func main<ios17>(tensor<fp16, [1, 4, 8, 8]> x) {
        tensor<fp16, [1, 4, 8, 8]> y = relu(x = x)[name = string("first")];
    } -> (y);
}
"""


@pytest.fixture
def action() -> Any:
    return yaml.safe_load((ROOT / "action.yml").read_text())


def run(action: Any, folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """The step of the action that asks, in a folder with a model."""
    (folder / "model.mil").write_text(TEXT)
    (folder / "openane").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m openane "$@"\n')
    (folder / "openane").chmod(0o755)
    given = {name: str(declared.get("default", "")) for name, declared in action["inputs"].items()} | inputs
    step = action["runs"]["steps"][-1]
    words = {name: value.removeprefix("${{ inputs.").removesuffix(" }}") for name, value in step["env"].items()}
    environment = {
        **os.environ,
        **{name: given[word] for name, word in words.items()},
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
    }
    shell = ["bash", "-e", "-c", step["run"]]
    return subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_action_annotates_and_fails(action: Any, tmp_path: Path) -> None:
    good = run(action, tmp_path, model="model.mil", platform="M4", policy="core_ml.cpu == 100%\nengine.can first")
    assert good.returncode == 0, good.stderr
    assert good.stdout.startswith("::notice file=model.mil")
    bad = run(action, tmp_path, model="model.mil", platform="M4", policy="core_ml.ane >= 95%")
    assert bad.returncode == 1 and bad.stdout.startswith("::error file=model.mil")


def test_the_action_writes_a_summary(action: Any, tmp_path: Path) -> None:
    done = run(action, tmp_path, model="model.mil", platform="iPhone 12", format="markdown")
    assert done.returncode == 0, done.stderr
    assert "| first |" in (tmp_path / "summary.md").read_text()


def test_inputs_are_never_part_of_the_script(action: Any) -> None:
    """A model's name or a policy must not be able to add commands."""
    assert all("${{" not in step["run"] for step in action["runs"]["steps"])


def test_the_hook_uses_options_that_exist() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    words = hook["entry"].split()
    options = {
        option for parameter in command.params if isinstance(parameter, click.Option) for option in parameter.opts
    }
    assert words[:2] == ["openane", "explain"] and set(words[2:]) <= options
