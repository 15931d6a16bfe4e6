"""Core ML models: neural networks (`.mlmodel`) and ML programs (`.mlpackage`)."""

from openane.frontends.coreml.load import load, read_model, sniff

__all__ = ["load", "read_model", "sniff"]
