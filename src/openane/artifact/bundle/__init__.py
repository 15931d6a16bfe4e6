"""Bundles: compiled models in one file, with programs, weights, host graphs as ONNX, and a manifest in JSON."""

from openane.artifact.bundle.bundle import Bundle, Variant
from openane.artifact.bundle.read import read_bundle
from openane.artifact.bundle.write import write_bundle

__all__ = ["Bundle", "Variant", "read_bundle", "write_bundle"]
