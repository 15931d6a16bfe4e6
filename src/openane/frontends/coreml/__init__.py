"""Core ML models: neural networks (`.mlmodel`) and ML programs (`.mlpackage`)."""

from openane.frontends.coreml.load import enumerated_shapes, function_names, load, picture_inputs, read_model, sniff

__all__ = ["enumerated_shapes", "function_names", "load", "picture_inputs", "read_model", "sniff"]
