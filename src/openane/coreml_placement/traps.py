"""Known traps: programs that Core ML places on the engine, or nearly, with another result than one expects."""

from __future__ import annotations

from openane.coreml_placement.platforms import core_ml
from openane.coreml_placement.prediction import AppleDevice, Prediction
from openane.targets.core_ml import CoreMl

LAST_RELU_LAYERS = 32
"""Layers from which the last ReLU was seen on the CPU (placement.md#traps)."""


def traps(prediction: Prediction) -> tuple[str, ...]:
    """One sentence per trap that the program is in."""
    known = core_ml(prediction.platform.generation)
    found = _last_relu(prediction)
    return (*found, *_of_generation(prediction, known), *_long_chain(prediction, known)) if known else tuple(found)


def _long_chain(prediction: Prediction, known: CoreMl) -> list[str]:
    if known.long_chain is None:
        return []
    most, consequence = known.long_chain
    longest = length = 0
    for each in prediction.placements:
        length = length + 1 if each.device is AppleDevice.ANE else 0
        longest = max(longest, length)
    if longest <= most:
        return []
    return [f"a segment of {longest} operations on the engine, more than {most}: {consequence}; cut the model"]


def _last_relu(prediction: Prediction) -> list[str]:
    placements = prediction.placements
    if not placements or placements[-1].operation.kind != "relu" or not placements[-1].tie:
        return []
    long = len(placements) >= LAST_RELU_LAYERS
    seen = f"from {LAST_RELU_LAYERS} layers on it was seen there" if long else "either is seen"
    return [f"the last ReLU ({placements[-1].operation.name!r}) costs the same on the CPU: {seen}"]


def _of_generation(prediction: Prediction, known: CoreMl) -> list[str]:
    found = []
    for each in prediction.placements:
        operation = each.operation
        if operation.kind in known.late and each.device is not AppleDevice.CPU:
            found.append(f"{operation.name!r}: {known.late[operation.kind]}")
        begin = operation.integers("begin") if operation.kind.startswith("slice_by_") else ()
        if known.wide_offset and begin and begin[-1] >= known.wide_offset[0]:
            found.append(f"{operation.name!r} slices the width from {begin[-1]}: {known.wide_offset[1]}")
        weight = operation.input("weight")
        shape = weight.shape[-2:] if weight is not None and weight.shape and operation.kind == "conv" else ()
        if len(shape) == 2 and shape in known.slow_kernels and each.verdict.can:
            found.append(f"{operation.name!r}: {known.slow_kernels[shape]}")
    return found
