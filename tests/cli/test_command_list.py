"""The list of commands and the help of each: complete summaries, and nothing slow imported to print them."""

import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from openane.cli import root

_IMPORTS = """
import sys
from openane.cli import main
before = set(sys.modules)
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(*sorted(set(sys.modules) - before))
"""
#: What options are declared with: names and defaults, no code that reads, compiles or runs a model.
DECLARATIONS = re.compile(
    r"""openane\.(
        cli\.\w+ | core\.\w+ | analysis(\.choices)? | artifact(\.options)? | cost(\.chips)?
        | coreml_placement(\.platforms)? | numerics(\.profile)?
        | runtimes(\.(registry|device_nodes))? | targets(\.(registry|chip|core_ml))?
        | targets\.h\d+(\.(chips|core_ml))?
    )""",
    re.VERBOSE,
)


def imported(*arguments: str) -> set[str]:
    """Names of the modules that a command line imports, apart from the standard library and click."""
    run = subprocess.run([sys.executable, "-c", _IMPORTS, *arguments], capture_output=True, text=True, check=True)
    found = set(run.stdout.splitlines()[-1].split())
    return {name for name in found if name.split(".")[0] not in {*sys.stdlib_module_names, "click"}}


def test_every_command_has_a_whole_summary_on_one_line():
    lines = CliRunner().invoke(root, ["--help"], terminal_width=80).output.split("Commands:\n")[1].splitlines()
    assert [line.split()[0] for line in lines] == root.list_commands(None)  # a summary that wraps adds a line
    assert not any("..." in line for line in lines)


def test_the_list_imports_no_command():
    assert not imported("--help")


@pytest.mark.parametrize("command", root.list_commands(None))
def test_help_imports_only_declarations(command: str):
    assert not {name for name in imported(command, "--help") if not DECLARATIONS.fullmatch(name)}
