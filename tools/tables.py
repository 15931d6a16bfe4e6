"""Writes docs/tables.md: every function of one element, how it runs on H13, and its error over all fp16 arguments.

python tools/tables.py            writes the page
python tools/tables.py --check    fails when the page is not what would be written
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np

import openane
from openane.backend.functions.accuracy import SMALLEST_NORMAL, half_numbers, measure
from openane.backend.functions.recipes import kinds, recipe
from openane.backend.functions.steps import Recipe, TableStep
from openane.core.types import DType
from openane.graph import Graph, Node, Operation, TensorType, ops
from openane.net.units.neuron import NeuronKind
from openane.numerics.fitting import Array
from openane.numerics.fp16 import rounded

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tables.md"

CONSTANTS = {
    NeuronKind.LEAKY_RELU: (0.01, 0.0),
    NeuronKind.CLAMP: (0.0, 6.0),
    NeuronKind.THRESHOLDED_RELU: (1.0, 0.0),
    NeuronKind.ELU: (1.0, 0.0),
    NeuronKind.HARD_SIGMOID: (1 / 6, 0.5),
}

HEAD = """# Unary functions on H13

On this page you can look up how H13 computes each unary function, and with which error. Choose between the two forms
of a function on the command line:

```console
$ openane compile model.onnx -o model.hwx                      # accurate forms
$ openane compile model.onnx -o model.hwx --functions apple    # the lookup tables of Apple's compiler
```

Written by `tools/tables.py`; do not edit.

The neural engine evaluates a function by a table of 33 knots with linear interpolation (format and evidence:
`openane.numerics.tables`). The first table on this page covers the default forms. The second covers the form that
`--functions apple`, `--like-apple` and the units of a net.plist use.

Errors are relative to the function in double precision. Every finite fp16 argument of the domain was evaluated with
the arithmetic of the simulator; arguments whose result exceeds fp16 are excluded. Relative errors cover every
argument whose result is a normal fp16 number, however close to zero; below 6.1e-5 fp16 itself holds few digits. The
table arithmetic of the simulator agrees with all published outputs of an M5. Only a few single outputs of an M1 are
published, so on H13 the last digit is not proved.

- *Apple*: the bytes of the table are those that Apple's compiler writes (most confirmed by the published SHA-256 of its
  output, others found in a published program).
- *Fitted here*: we chose knots and lines to minimize the largest absolute error, so relative errors of small results
  are large; no program of Apple's compiler contains them.
- *Composed here*: several tasks, each as Apple's compiler writes it.

*NE* is a table task (it can be the last stage of a convolution if it is the only step), *PE* is a planar task.

## Accurate forms

The last column compares the rms error over normally distributed arguments with that of the same function rounded
correctly to fp16, for standard deviations of 0.3, 1 and 3.

| function | tasks | largest error | at x | largest relative error | at x | f(0) | times the error of correct rounding |
|---|---|---|---|---|---|---|---|
"""


UNITS = """
## Units

| function | tasks | domain | largest error | at x | error, abs(x) <= 8 | largest relative error | at x | origin |
|---|---|---|---|---|---|---|---|---|
"""

ACCURATE: tuple[tuple[str, Operation], ...] = (
    ("sigmoid", ops.Sigmoid()),
    ("SiLU", ops.Silu()),
    ("GELU", ops.Gelu()),
    ("GELU (tanh)", ops.Gelu(approximate=True)),
    ("Mish", ops.Mish()),
    ("softplus", ops.Softplus()),
    ("tanh", ops.Tanh()),
    ("erf", ops.Erf()),
    ("exp", ops.Exp()),
    ("ELU", ops.Elu()),
    ("SELU", ops.Selu()),
    ("CELU (2)", ops.Celu(2.0)),
)
DEVIATIONS = (0.3, 1.0, 3.0)
ROWS, WIDTH = 1024, 64


def main() -> None:
    """Writes or checks the page."""
    accurate = "".join(f"{_accurate_row(*each)}\n" for each in ACCURATE)
    page = HEAD + accurate + UNITS + "".join(f"{_row(kind)}\n" for kind in kinds())
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if PAGE.exists() and PAGE.read_text() == page else f"{PAGE.name} is old: run {Path(__file__).name}")
    PAGE.write_text(page)


def _accurate_row(name: str, operation: Operation) -> str:
    shape = (1, 1, ROWS, WIDTH)
    graph = Graph(
        "function", {"x": TensorType(shape, DType.FLOAT32)}, ("y",), (Node("f", operation, ("x",), ("y",)),), {}
    )
    artifact = openane.compile(graph)

    def errors(x: Array) -> tuple[Array, Array, Array]:
        """The arguments that count, the exact results, and the errors."""
        padded = np.zeros(ROWS * WIDTH, np.float32)
        padded[: x.size] = x
        found = openane.run(artifact, {"x": padded.reshape(shape)})["y"].reshape(-1)[: x.size]
        with np.errstate(all="ignore"):
            (wanted,) = operation.evaluate([x])
        kept = np.isfinite(rounded(wanted))
        return x[kept], wanted[kept], found[kept] - wanted[kept]

    x, wanted, error = errors(half_numbers())
    error = np.abs(error)
    relative = np.where(np.abs(wanted) >= SMALLEST_NORMAL, error / np.maximum(np.abs(wanted), SMALLEST_NORMAL), 0)
    (zero,) = openane.run(artifact, {"x": np.zeros(shape, np.float32)})["y"].reshape(-1)[:1]
    ratios = []
    for deviation in DEVIATIONS:
        sample = rounded(np.random.default_rng(0).standard_normal(ROWS * WIDTH) * deviation)
        _, wanted, difference = errors(sample)
        ratios.append(f"{np.sqrt(np.mean(difference**2) / np.mean((rounded(wanted) - wanted) ** 2)):.1f}")
    worst, worst_relative = int(error.argmax()), int(relative.argmax())
    cells = (
        name,
        str(len(artifact.program.tasks)),
        f"{error[worst]:.2g}",
        f"{x[worst]:.4g}",
        f"{relative[worst_relative]:.2g}",
        f"{x[worst_relative]:.4g}",
        f"{zero:.4g}",
        ", ".join(ratios),
    )
    return f"| {' | '.join(cells)} |"


def _row(kind: NeuronKind) -> str:
    constants = CONSTANTS.get(kind, (0.0, 0.0))
    found = recipe(kind, *constants)
    everywhere, near = measure(kind, *constants), measure(kind, *constants, within=8.0)
    cells = (
        _name(kind, constants),
        _tasks(found),
        _domain(found),
        f"{everywhere.largest:.2g}",
        f"{everywhere.at:.4g}" if everywhere.largest else "",
        f"{near.largest:.2g}",
        f"{everywhere.largest_relative:.2g}",
        f"{everywhere.relative_at:.4g}" if everywhere.largest_relative else "",
        found.source,
    )
    return f"| {' | '.join(cells)} |"


def _name(kind: NeuronKind, constants: tuple[float, float]) -> str:
    if kind not in CONSTANTS:
        return kind.value
    return f"{kind.value} ({', '.join(f'{number:.4g}' for number in constants)})"


def _tasks(found: Recipe) -> str:
    engines = ["NE" if isinstance(step, TableStep) else "PE" for step in found.steps]
    return f"{len(engines)}: {' '.join(engines)}"


def _domain(found: Recipe) -> str:
    low, high = found.domain
    return "all" if math.isinf(low) and math.isinf(high) else f"{low:g} to {high:g}"


if __name__ == "__main__":
    main()
