"""The public interface changes on purpose only: with the recorded signatures, and with a line in the changelog.

    python tests/architecture/test_signatures.py      records what the code says now

The record's first line is the version it was made for; each change must appear in CHANGELOG.md by the name of what
changed, between backquotes.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

ROOT = Path(__file__).parents[2]
RECORD = Path(__file__).with_name("signatures.txt")
BASELINE = Path(__file__).with_name("released.txt")
"""The signatures of the last release; written when one is made."""


def public_objects() -> dict[str, Any]:
    """What users hold in their hands, by the name they know it by."""
    import openane
    from openane.artifact.plan import Artifact, EngineStep, HostStep, Plan
    from openane.compiler.driver import Options
    from openane.core import errors
    from openane.core.types import DType
    from openane.graph import Graph, Node, Operation, TensorType, ops
    from openane.net import Net
    from openane.program import Program, Surface, Task
    from openane.runtimes.execution import Execution, RunResult
    from openane.runtimes.runtime import Runtime, Session, SessionOptions
    from openane.targets.target import CompileOptions, RunOptions, Target

    functions = {f"openane.{name}": getattr(openane, name) for name in openane.__all__ if name != "__version__"}
    module = functions.pop("openane.plot")
    functions |= {
        f"openane.plot.{name}": value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }
    classes = (Artifact, Plan, EngineStep, HostStep, Execution, RunResult, Graph, Node, TensorType, Net, Program)
    classes += (Surface, Task, SessionOptions, RunOptions, errors.Diagnostic)
    classes += (Options, CompileOptions, Session, Runtime, Target, DType, Operation)
    operations = {
        f"ops.{name}": kind
        for name, kind in vars(ops).items()
        if inspect.isclass(kind) and issubclass(kind, Operation) and kind is not Operation
    }
    kinds = (value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Exception))
    return functions | operations | {each.__name__: each for each in (*classes, *kinds)}


def signatures() -> list[str]:
    """Every public function, class, field and method, one line each, sorted."""
    lines: set[str] = set()
    for name, value in public_objects().items():
        lines.update(_of_class(name, value) if inspect.isclass(value) else [f"{name}{inspect.signature(value)}"])
    lines.update(commands())
    return sorted(line.replace("\n", " ") for line in lines)


def commands() -> Iterator[str]:
    """Every verb of the command line, its arguments and its options, one line each."""
    from openane.cli import root

    context = click.Context(root, info_name="openane")
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        assert command is not None
        yield f"command openane {name}"
        for each in command.params:
            label = max(each.opts, key=len) if isinstance(each, click.Option) else each.human_readable_name
            facts = [_value_kind(each.type)] if not getattr(each, "is_flag", False) else ["flag"]
            facts += ["required"] * each.required + ["repeated"] * (
                each.multiple if isinstance(each, click.Option) else each.nargs != 1
            )
            default = each.default if isinstance(each.default, (str, int, float)) else None
            yield f"command openane {name} {label}: {', '.join(facts)}" + (
                "" if default in (None, False) else f" = {default!r}"
            )


def _value_kind(kind: click.ParamType) -> str:
    if isinstance(kind, click.Choice):
        return " | ".join(map(str, kind.choices))
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    bounds = (
        ""
        if low is None and high is None
        else f" {'' if low is None else f'{low:g}'}..{'' if high is None else f'{high:g}'}"
    )
    return f"{kind.name}{bounds}"


def _of_class(name: str, kind: type) -> Iterator[str]:
    yield f"class {name}({', '.join(base.__name__ for base in kind.__bases__)})"
    if issubclass(kind, enum.Enum):
        yield from (f"{name}.{member.name} = {member.value!r}" for member in kind)
    if dataclasses.is_dataclass(kind):
        for each in dataclasses.fields(kind):
            yield f"{name}.{each.name}: {each.type}{_default(each)}"
    for key, member in vars(kind).items():
        if key.startswith("_") and (key != "__init__" or dataclasses.is_dataclass(kind)):
            continue
        if isinstance(member, property):
            assert member.fget is not None
            yield f"{name}.{key} -> {inspect.signature(member.fget).return_annotation}"
        elif name.startswith("ops.") and key in ("infer", "evaluate", "cases"):
            continue  # as every operation has them
        elif isinstance(member, (classmethod, staticmethod)):
            yield f"{name}.{key}{inspect.signature(member.__func__)}"
        elif inspect.isfunction(member):
            yield f"{name}.{key}{inspect.signature(member)}"


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return " = ..."
    if field.default is dataclasses.MISSING:
        return ""
    return f" = {field.default.name if isinstance(field.default, enum.Enum) else field.default!r}"


_COMMAND = re.compile(r"command (openane [\w-]+(?: [\w-]+)?)")


def name_of(line: str) -> str:
    """What a line is about: "Program.tasks", "openane.run", "openane run --input"."""
    match = re.match(r"(?:class )?([\w.]+)", line) if not line.startswith("command ") else _COMMAND.match(line)
    assert match is not None
    return match[1]


def test_the_record_is_up_to_date() -> None:
    recorded = RECORD.read_text().splitlines()
    found = signatures()
    gone, new = sorted(set(recorded) - set(found)), sorted(set(found) - set(recorded))
    assert not gone and not new, (
        "The public interface changed. If that is meant, run `python tests/architecture/test_signatures.py` "
        f"and say it in CHANGELOG.md.\nwas: {gone}\nis:  {new}"
    )


def test_every_change_since_the_release_is_in_the_changelog() -> None:
    if not BASELINE.exists():  # before the first release everything is new
        assert "Unreleased" in (ROOT / "CHANGELOG.md").read_text() or "0.1.0" in (ROOT / "CHANGELOG.md").read_text()
        return
    unsaid = undocumented(BASELINE.read_text().splitlines(), signatures(), (ROOT / "CHANGELOG.md").read_text())
    assert not unsaid, f"CHANGELOG.md does not name {unsaid}"


def undocumented(released: list[str], found: list[str], changelog: str) -> list[str]:
    """Names that changed since the release and that the changelog does not have between backquotes."""
    changed = {name_of(line) for line in set(released) ^ set(found)}
    return sorted(name for name in changed if not re.search(rf"`{re.escape(name)}(?![\w.-])", changelog))


def test_changes_are_noticed() -> None:
    released = ["Program.tasks: tuple", "openane.run(source)"]
    found = ["Program.tasks: list", "openane.run(source)", "openane.stop()"]
    assert undocumented(released, found, "") == ["Program.tasks", "openane.stop"]
    assert undocumented(released, found, "- `Program.tasks` is a list; `openane.stop()` stops.") == []
    assert undocumented(["class Graph(object)"], [], "- `Graph.rows` is new.") == ["Graph"]


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        ("SessionOptions.timeout_seconds: float = 60.0", "SessionOptions.timeout_seconds: float = 61.0", None),
        ("ops.Conv.groups: int = 1", "ops.Conv.groups: float", None),
        ("DType.FLOAT16 = 'float16'", "", None),
        ("class FormatError(OpenaneError)", "class FormatError(InputError)", "FormatError"),
        ("command openane run --on: text = 'simulator'", "command openane run --on: text = 'auto'", "openane run --on"),
        ("command openane demo", "", "openane demo"),
    ],
)
def test_each_kind_of_change_is_noticed(before: str, after: str, name: str | None) -> None:
    """Fields, defaults, types, members, bases, verbs, options and their defaults."""
    found = signatures()
    assert before in found
    changed = [after if line == before else line for line in found]
    assert undocumented(found, list(filter(None, changed)), "") == [name or before.split(":")[0].split(" =")[0]]


def test_the_public_names_are_listed_before_they_are_imported() -> None:
    code = "import openane, sys; print(*dir(openane), 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = ["Session", "__version__", "assemble", "bundle", "compare", "compile", "disassemble", "estimate", "explain"]
    assert done.stdout.split() == [*names, "load", "plot", "run", "view", "False"]


def test_versions_agree() -> None:
    import openane

    assert f'version = "{openane.__version__}"' in (ROOT / "pyproject.toml").read_text()


if __name__ == "__main__":
    RECORD.write_text("\n".join(signatures()) + "\n")
