"""openane: an open toolchain for the Apple Neural Engine."""

__version__ = "0.1.0"
