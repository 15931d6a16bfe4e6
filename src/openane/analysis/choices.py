"""What the command line offers and takes by default in comparisons and evaluations; imports nothing slow."""

from __future__ import annotations

from openane.runtimes.registry import NAMES

TOLERANCE = 0.02
"""Errors of an output below this share of its size are never called wrong while every layer computes what it should."""
REFERENCE = "reference"
IDEAL = "ideal"
ONNXRUNTIME = "onnxruntime"
RUNTIMES = ("auto", *NAMES)
EXECUTORS = (REFERENCE, IDEAL, ONNXRUNTIME, *RUNTIMES)
"""What may replace a second file: the first file, executed this way."""
METRIC_NAMES = ("top1", "top5", "cosine", "rmse", "max")
PIECE_SAMPLES = 32
"""Samples that are evaluated, and written to the journal, together."""
