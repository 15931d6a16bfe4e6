"""Builds a wheel for each platform into dist/, the kernels cross-compiled.

python tools/wheels.py                          all platforms
python tools/wheels.py macos-arm64 linux-arm64  some of them
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from hatch_build import PLATFORMS, build, this_platform  # noqa: E402  # one folder up


def main() -> None:
    """Builds one after the other; the library of this machine is back in the source tree at the end."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("platforms", nargs="*", metavar="PLATFORM", help=f"of {', '.join(PLATFORMS)}; all by default")
    names = parser.parse_args().platforms or list(PLATFORMS)
    unknown = [name for name in names if name not in PLATFORMS]
    if unknown:
        parser.error(f"unknown platform {', '.join(unknown)}; allowed: {', '.join(PLATFORMS)}")
    try:
        for name in names:
            command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", ROOT / "dist", ROOT]
            subprocess.run(command, check=True, env=os.environ | {"OPENANE_PLATFORM": name})
    finally:
        build(this_platform())


if __name__ == "__main__":
    main()
