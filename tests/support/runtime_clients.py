"""Programs written for the Linux driver that know nothing of openane."""

import shutil
from pathlib import Path

from openane.runtimes.linux.server import COMPILERS

CLIENTS = Path(__file__).parents[1] / "runtimes" / "clients"
COMPILER = next(filter(None, map(shutil.which, COMPILERS)), None)
