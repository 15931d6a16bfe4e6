"""Where the operating systems show the engine."""

from typing import Final

LINUX_NODE: Final = "/dev/accel/accel0"
"""The first node of the DRM accel subsystem."""
