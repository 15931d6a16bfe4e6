"""ONNX models, opset 7 to the newest that the installed `onnx` package knows."""

from openane.frontends.onnx.load import load, load_model, open_inputs

__all__ = ["load", "load_model", "open_inputs"]
