"""Keras 3 models and TensorFlow SavedModels, by way of tf2onnx."""

from openane.frontends.keras.load import load, load_keras

__all__ = ["load", "load_keras"]
