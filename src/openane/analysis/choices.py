"""What the command line offers and takes by default in comparisons and evaluations; imports nothing slow."""

from __future__ import annotations

from openane.runtimes.registry import NAMES

TOLERANCE = 0.02
"""A layer is wrong when its largest error is above this share of its largest value."""
REFERENCE = "reference"
IDEAL = "ideal"
ONNXRUNTIME = "onnxruntime"
RUNTIMES = ("auto", *NAMES)
EXECUTORS = (REFERENCE, IDEAL, ONNXRUNTIME, *RUNTIMES)
"""What may replace a second file: the first file, executed this way."""
METRIC_NAMES = ("top1", "top5", "cosine", "rmse", "max")
PIECE_SAMPLES = 32
"""Samples that are evaluated, and written to the journal, together."""
