"""The container of compiled programs: Apple's .hwx, a Mach-O of its own kind."""

from openane.formats.hwx.file import HwxFile
from openane.formats.hwx.read import read_hwx
from openane.formats.hwx.write import hwx_pieces, write_hwx

__all__ = ["HwxFile", "hwx_pieces", "read_hwx", "write_hwx"]
