"""The container of compiled programs: Apple's .hwx, a Mach-O of its own kind."""

from openane.formats.hwx.file import HwxFile
from openane.formats.hwx.read import read_hwx

__all__ = ["HwxFile", "read_hwx"]
