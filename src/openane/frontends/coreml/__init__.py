"""Core ML models: neural networks (`.mlmodel`) and ML programs (`.mlpackage`)."""

from openane.frontends.coreml.load import enumerated_shapes, load, read_model, sniff

__all__ = ["enumerated_shapes", "load", "read_model", "sniff"]
