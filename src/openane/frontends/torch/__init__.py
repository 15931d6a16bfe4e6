"""PyTorch: exported programs (.pt2) and modules, by way of PyTorch's own ONNX exporter."""

from openane.frontends.torch.load import load, load_exported, load_module, run_program

__all__ = ["load", "load_exported", "load_module", "run_program"]
