"""Softmax and normalizations."""

from __future__ import annotations

import numpy as np

from openane.frontends.mil.call import OperationCall
from openane.frontends.mil.operations.entry import Entry
from openane.graph import ops


def _softmax(call: OperationCall) -> None:
    rank = len(call.type("x").shape)
    call.finish(ops.Softmax(call.axis("axis", rank, -1)), call.value("x"))


def _batch_norm(call: OperationCall) -> None:
    channels = call.type("x").shape[1]
    dtype = call.type("x").dtype.numpy
    operands = [
        call.value(name) if call.has(name) else call.builder.constant(fill, f"{call.operation.name}_{name}")
        for name, fill in (
            ("gamma", np.ones(channels, dtype)),
            ("beta", np.zeros(channels, dtype)),
            ("mean", np.zeros(channels, dtype)),
            ("variance", np.ones(channels, dtype)),
        )
    ]
    call.finish(ops.BatchNorm(call.number("epsilon", 1e-5)), call.value("x"), *operands)


def _layer_norm(call: OperationCall) -> None:
    axes = call.axes("axes", len(call.type("x").shape))
    operation = ops.LayerNorm(axes, call.number("epsilon", 1e-5))
    call.finish(operation, call.value("x"), call.optional("gamma"), call.optional("beta"))


def _instance_norm(call: OperationCall) -> None:
    operation = ops.InstanceNorm(call.number("epsilon", 1e-5))
    call.finish(operation, call.value("x"), call.optional("gamma"), call.optional("beta"))


def _l2_norm(call: OperationCall) -> None:
    """x / sqrt(sum of x^2 over all but the batch + epsilon); MIL normalizes the last three axes."""
    rank = len(call.type("x").shape)
    axes = tuple(range(max(rank - 3, 0), rank))
    call.finish(ops.LpNorm(axes, 2, call.number("epsilon", 1e-6)), call.value("x"))


def _local_response_norm(call: OperationCall) -> None:
    operation = ops.LocalResponseNorm(
        call.integer("size"), call.number("alpha", 1e-4), call.number("beta", 0.75), call.number("k", 1.0)
    )
    call.finish(operation, call.value("x"))


ENTRIES = {
    "softmax": Entry(("x", "axis"), _softmax),
    "batch_norm": Entry(("x", "mean", "variance", "gamma", "beta", "epsilon"), _batch_norm),
    "layer_norm": Entry(("x", "axes", "gamma", "beta", "epsilon"), _layer_norm),
    "instance_norm": Entry(("x", "gamma", "beta", "epsilon"), _instance_norm),
    "l2_norm": Entry(("x", "epsilon"), _l2_norm),
    "local_response_norm": Entry(("x", "size", "alpha", "beta", "k"), _local_response_norm),
}
