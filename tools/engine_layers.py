"""The page "Which layers run on the Neural Engine?": by kind of operation and generation, from rules and data."""

from __future__ import annotations

from collections.abc import Iterator

from openane.coreml_placement.eligibility import RULES, verdict
from openane.coreml_placement.families import KINDS
from openane.coreml_placement.platforms import MEASURED_SYSTEM, PLATFORMS, Units, core_ml, of_generation
from openane.coreml_placement.prediction import predict
from openane.coreml_placement.program import PlacedOperation, PlacedProgram, PlacedTensor
from openane.targets.core_ml import CoreMlLimit, Platform

_IMAGE = (1, 64, 32, 32)
_GENERATIONS = ("h13", "h14", "h15", "h16", "h17", "h18")
_INTEGER_RESULTS = ("argsort", "reduce_argmax", "reduce_argmin", "shape", "non_zero", "range_1d", "one_hot")


def sample(kind: str) -> PlacedOperation:
    """One operation of a kind at the size of the measurements: fp16, (1, 64, 32, 32), 3x3 kernels."""
    inputs: dict[str, tuple[PlacedTensor, ...]] = {"x": (PlacedTensor("x", "fp16", _IMAGE),)}
    result = _IMAGE
    if kind in ("conv", "conv_transpose"):
        inputs["weight"] = (PlacedTensor("", "fp16", (64, 64, 3, 3), True),)
        result = (1, 64, 64, 64) if kind == "conv_transpose" else result
    elif kind == "linear":
        inputs = {
            "x": (PlacedTensor("x", "fp16", (1, 128, 256)),),
            "weight": (PlacedTensor("", "fp16", (512, 256), True),),
        }
        result = (1, 128, 512)
    elif kind == "gather":
        inputs["indices"] = (PlacedTensor("", "int32", (32,), True),)
        result = (1, 32, 32, 32)
    elif kind.startswith("upsample"):
        result = (1, 64, 64, 64)
    elif kind in ("add", "sub", "mul", "matmul"):
        inputs["y"] = (PlacedTensor("y", "fp16", _IMAGE),)
    dtype = "int32" if kind in _INTEGER_RESULTS else "fp16"
    return PlacedOperation(kind, kind, inputs, (PlacedTensor("y", dtype, result),))


def page() -> Iterator[str]:
    """The page, part by part."""
    yield HEAD
    yield from _operations()
    yield from _limits()
    yield from _rules()


HEAD = """# Which layers run on the Neural Engine?

Made from the rules and data that `openane explain` uses. Two questions are kept apart. **Can** the engine run it: does
Core ML list the engine for the operation, and does Apple's compiler make a program of it? **Will** Core ML run it
there: it takes the cheapest chain of backends by its own estimates, so a layer alone in a model nearly always stays on
the CPU ([the rule](../placement.md)). Ask for your own model with `openane explain MODEL --platform M4`.

## Operations

A cell says whether the engine can run an fp16 operation of this kind: **yes**, no, or ? where nobody knows. A star
marks kinds that Apple's compiler makes of other operations. *Alone* is where Core ML runs one such operation by itself
at the size of the measurements, on the chips with known constants.
"""


def _operations() -> Iterator[str]:
    chips = [of_generation(name) for name in _GENERATIONS]
    heads = [f"{chip.generation.upper()} {chip.chips}" for chip in chips]
    yield f"| operation | {' | '.join(heads)} | alone | limit or reason | evidence |"
    yield "|---|" + "---|" * (len(chips) + 3)
    for kind in sorted(KINDS):
        if kind.startswith("constexpr_"):
            continue
        cells = [_cell(kind, chip) for chip in chips]
        newest = verdict(sample(kind), of_generation("h18"))
        oldest = verdict(sample(kind), of_generation("h13"))
        said = next((each for each in (newest, oldest) if each.reason), newest)
        reason = f"{said.reason} ({said.limit})" if said.limit else said.reason
        yield f"| `{kind}` | {' | '.join(cells)} | {_alone(kind)} | {reason} | {newest.evidence} |"
    yield ""


def _cell(kind: str, chip: Platform) -> str:
    known = core_ml(chip.generation)
    star = "*" if known is not None and kind in known.decomposed else ""
    return {True: f"**yes**{star}", False: "no", None: "?"}[verdict(sample(kind), chip).can]


def _alone(kind: str) -> str:
    found = {}
    for chip in PLATFORMS.values():
        if chip.throughput and core_ml(chip.generation) is not None:
            program = PlacedProgram(kind, (sample(kind),), ("y",), "one operation")
            found[chip.chips] = predict(program, chip, Units.CPU_AND_NE).placements[0].device.value
    groups: dict[str, list[str]] = {}
    for chip_name, device in found.items():
        groups.setdefault(device, []).append(chip_name)
    if len(groups) == 1:
        return next(iter(groups))
    return ", ".join(f"{device} ({', '.join(names)})" for device, names in groups.items())


def _limits() -> Iterator[str]:
    yield "## Limits\n"
    yield f"| limit | {' | '.join(name.upper() for name in _GENERATIONS)} | evidence (newest) |"
    yield "|---|" + "---|" * (len(_GENERATIONS) + 1)
    for name, words in (
        ("spatial", "height and width"),
        ("extent", "other dimensions"),
        ("matmul_inner", "inner dimension of a matrix product"),
        ("kernel_width", "kernel width"),
        ("square_kernel_width", "kernel width of square kernels"),
        ("kernel_height", "kernel height"),
        ("max_pool_width", "max_pool window width"),
        ("average_window", "avg_pool window"),
    ):
        limits: list[CoreMlLimit | None] = [
            getattr(found.limits, name) for each in _GENERATIONS if (found := core_ml(each))
        ]
        cells = ["?" if limit is None else str(limit.most) for limit in limits]
        newest = limits[-1].evidence if limits[-1] is not None else ""
        yield f"| {words} | {' | '.join(cells)} | {newest} |"
    yield ""


def _rules() -> Iterator[str]:
    yield f"## Rules\n\nIn the order in which they are asked; lists are those of macOS {MEASURED_SYSTEM}.\n"
    for name, rule in RULES.items():
        yield f"- `{name}`: {' '.join((rule.__doc__ or '').split())}"
