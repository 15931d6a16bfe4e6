"""Generates the reference pages from the code, so that they are always current; a hook of mkdocs.

mkdocs build            (reads mkdocs.yml, which names this file as a hook)
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import click

from openane.analysis.reference import register_reference
from openane.cli import root
from openane.compiler.rules import limits as compiler_limits
from openane.core import errors, rules
from openane.graph import Operation, ops
from openane.targets import generation, get


def commands() -> Iterator[str]:
    """Every verb with its help, as the command line prints it."""
    yield "# Commands\n"
    context = click.Context(root, info_name="openane")
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        yield f"## openane {name}\n\n```text\n{command.get_help(inner)}\n```\n"


def operations() -> Iterator[str]:
    """Every operation of the graph: what it computes and its attributes."""
    yield "# Operations of the graph\n\nFront ends read models into these. Inputs ending in `?` are optional.\n"
    for name in sorted(vars(ops)):
        operation = getattr(ops, name)
        if not (inspect.isclass(operation) and issubclass(operation, Operation)) or operation is Operation:
            continue
        text = inspect.cleandoc(operation.__doc__ or "")
        inputs = ", ".join(f"`{each}`" for each in operation.input_names)
        body, _, attributes = text.partition("Attributes:")
        yield f"## {name}\n\n{body.strip()}\n\nInputs: {inputs}\n"
        rows = [line.strip() for line in attributes.splitlines() if line.strip()]
        if rows:
            yield "\n".join(f"- {row}" if ":" in row else f"  {row}" for row in rows) + "\n"


CITATION = re.compile(r"\b\w+\.md#[\w-]+")
"""Of a fact about the hardware, by page and anchor."""


def limits() -> Iterator[str]:
    """Every rule by which the compiler refuses."""
    yield "# Limits of H13\n\nThe rules that `openane compile`, `openane explain` and their messages use.\n"
    for kind in rules.RuleKind:
        yield f"- **{kind.value}**: {rules.MEANINGS[kind]}."
    yield "\n| units | rule | limit of | refused | accepted | hint | evidence |"
    yield "|---|---|---|---|---|---|---|"
    for limit in compiler_limits(get("h13")):
        evidence = CITATION.sub(r"[\g<0>](../hardware/\g<0>)", limit.evidence)
        cells = (limit.family, f"`{limit.name}`", limit.kind, limit.text, limit.limit, limit.hint, evidence)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def error_classes() -> Iterator[str]:
    """Every kind of error, with its meaning."""
    yield "# Errors\n\nEvery input error is one of these; the command line prints one line and exits with status 1.\n"
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and issubclass(kind, errors.OpenaneError):
            yield f"## {name}\n\n{inspect.cleandoc(kind.__doc__ or '').split('Args:')[0].strip()}\n"


def engine_layers() -> Iterator[str]:
    """Which layers run on the engine, by kind of operation and generation."""
    folder = str(Path(__file__).parent)
    if folder not in sys.path:
        sys.path.append(folder)
    from engine_layers import page

    yield from page()


HISTORY = Path(__file__).parents[1] / "bench" / "history.jsonl"
_PLOT_WIDTH, _PLOT_HEIGHT = 480, 60


def benchmarks() -> Iterator[str]:
    """Ratios to peers over the commits, one small picture each."""
    yield (
        "# Benchmarks\n\nTimes as ratios to a named peer in the same run (`make bench`), oldest first; below 1 is "
        "faster (or smaller) than the peer. Ratios of different machines are separate.\n"
    )
    lines = [json.loads(line) for line in HISTORY.read_text().splitlines()] if HISTORY.exists() else []
    for machine in sorted({line["machine"] for line in lines}):
        runs = [line for line in lines if line["machine"] == machine]
        yield f"## {machine}\n\n| benchmark | latest ratio | commit | over the commits |\n|---|---|---|---|"
        for name in sorted({name for run in runs for name in run["ratios"]}):
            points = [(run["commit"], run["ratios"][name]) for run in runs if name in run["ratios"]]
            commit, latest = points[-1]
            yield f"| {name} | {latest:g} | `{commit}` | {drawing(name, [ratio for _, ratio in points])} |"
        yield ""


def drawing(name: str, ratios: Sequence[float]) -> str:
    """A line through the ratios as inline SVG, from zero at the bottom to the largest at the top."""
    top = max(*ratios, 1e-9)
    step = _PLOT_WIDTH / max(len(ratios) - 1, 1)
    places = [(step * i, _PLOT_HEIGHT - 4 - (_PLOT_HEIGHT - 8) * ratio / top) for i, ratio in enumerate(ratios)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    x, y = places[-1]
    label = escape(f"{name}: {len(ratios)} runs, from {ratios[0]:g} to {ratios[-1]:g}", quote=True)
    return (
        f'<svg role="img" aria-label="{label}" viewBox="-4 0 {_PLOT_WIDTH + 8} {_PLOT_HEIGHT}" width="240" height="30">'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="2"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="currentColor"/></svg>'
    )


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "reference/commands.md": commands,
    "reference/operations.md": operations,
    "reference/limits.md": limits,
    "reference/registers-h13.md": lambda: iter([register_reference(generation("h13"))]),
    "reference/errors.md": error_classes,
    "reference/neural-engine.md": engine_layers,
    "benchmarks.md": benchmarks,
}


def on_files(files: Any, config: Any) -> Any:
    """Called by mkdocs: adds the generated pages."""
    from mkdocs.structure.files import File

    for path, make in PAGES.items():
        files.append(File.generated(config, path, content="\n".join(make())))
    return files
