"""Writing bundles, with host graphs as the host runtime exports them."""

from __future__ import annotations

from pathlib import Path

from openane.artifact.bundle import Bundle, write_bundle
from openane.runtimes.host.export import export_model


def save_bundle(bundle: Bundle, path: Path, *, anec: bool = False) -> None:
    """Writes a bundle to one file. Arguments and errors: see `Bundle.save`."""
    write_bundle(bundle, path, export_model, anec=anec)
