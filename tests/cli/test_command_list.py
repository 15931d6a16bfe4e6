"""The list of commands: complete summaries, and nothing imported to print them."""

import subprocess
import sys

from click.testing import CliRunner

from openane.cli import root

_IMPORTS = """
import sys
from openane.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
print(*sorted(name for name in sys.modules if name.startswith("openane.") or name in ("numpy", "rich")))
"""


def test_every_command_has_a_whole_summary_on_one_line():
    lines = CliRunner().invoke(root, ["--help"], terminal_width=80).output.split("Commands:\n")[1].splitlines()
    assert [line.split()[0] for line in lines] == root.list_commands(None)  # a summary that wraps adds a line
    assert not any("..." in line for line in lines)


def test_the_list_imports_no_command():
    run = subprocess.run([sys.executable, "-c", _IMPORTS], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.splitlines()[-1].split())
    assert not {name for name in loaded if not name.startswith(("openane.cli._", "openane.core"))} - {"openane.cli"}
