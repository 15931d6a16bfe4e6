"""The version of openane, where modules below the public interface can read it."""

from __future__ import annotations

__version__ = "0.1.0"
