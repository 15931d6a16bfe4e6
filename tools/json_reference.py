"""Writes docs/reference/json.md: the keys of what every command prints under --json, from its real output.

python tools/json_reference.py          write the page
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner

import openane
from openane.cli import main
from openane.cli._schemas import VERSIONS

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "json.md"
DIGITS = str(Path(openane.__file__).parent / "data" / "digits.onnx")
HEAD = """# JSON output

On this page you can look up what the commands print under `--json`. Written by `tools/json_reference.py` from their
output for the model of the demo; do not edit.

Every object has `schema` and `schema_version`. Within a version, keys are only added, so a program should ignore keys
that it does not know. A key that is renamed, removed or gets another meaning gives its schema the next version, and the
changelog names it. Infinities and NaN, which JSON does not have, are the strings "inf", "-inf" and "nan".

An error prints an object of the schema `error` on standard output, besides its line on standard error. Exit status: 0
right, 1 wrong (a result, a program or a condition), 2 error, 70 a bug in openane.

"""


def commands(folder: Path) -> dict[str, list[str]]:
    """The arguments that print each schema."""
    hwx = str(folder / "digits.hwx")
    return {
        "bundle": ["compile", DIGITS, "-o", str(folder / "digits.openane")],
        "compare": ["compare", DIGITS],
        "compare-pair": ["compare", DIGITS, "--with", "ideal"],
        "compile": ["compile", DIGITS, "-o", hwx],
        "convert": ["convert", DIGITS, "-o", str(folder / "digits.mlmodel")],
        "diff": ["diff", hwx, hwx],
        "dis": ["dis", hwx],
        "docs": ["docs", "registers", "h13"],
        "doctor": ["doctor"],
        "error": ["info", str(folder / "missing.onnx")],
        "estimate": ["estimate", DIGITS],
        "explain": ["explain", DIGITS],
        "info": ["info", DIGITS],
        "limits": ["limits", "h13"],
        "passes": ["passes"],
        "run": ["run", DIGITS, "--no-cache"],
        "verify-device-cases": ["verify-device", "--list"],
    }


def outputs() -> dict[str, dict[str, Any]]:
    """What every command prints."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        for schema, arguments in commands(Path(name)).items():
            text = _printed([*arguments, "--json"])
            found[schema] = json.loads(text)
    return found


def _printed(arguments: list[str]) -> str:
    import click

    @click.command()
    def run() -> None:
        main(arguments)

    return CliRunner().invoke(run, []).stdout


def keys(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The path and the type of every key; elements of lists are joined, and so are objects keyed by names."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            path = f"{prefix}.{key}" if prefix else str(key)
            yield path, _kind(item)
            yield from keys(item, path)
    elif isinstance(value, list):
        seen: dict[str, str] = {}
        for item in value:
            for path, kind in keys(item, f"{prefix}[]"):
                seen[path] = kind if seen.get(path, "null") == "null" else seen[path]
        yield from seen.items()


def _kind(value: Any) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null", list: "list"}
    return names.get(type(value), "object")


def page() -> str:
    """The whole page."""
    parts = [HEAD.rstrip("\n")]
    for schema, value in outputs().items():
        if value["schema"] != schema:
            raise SystemExit(f"{schema}: printed {value['schema']}")
        rows = "\n".join(f"| `{path}` | {kind} |" for path, kind in keys(value))
        parts.append(f"## {schema}, version {VERSIONS[schema]}\n\n| key | type |\n|---|---|\n{rows}")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE}\n")
