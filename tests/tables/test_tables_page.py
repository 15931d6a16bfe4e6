"""The page of tables is the one that the tool writes."""

import subprocess
import sys
from pathlib import Path


def test_page_is_up_to_date() -> None:
    tool = Path(__file__).parents[2] / "tools" / "tables.py"
    done = subprocess.run([sys.executable, str(tool), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
