"""Writes docs/tables.md: every function of one element, how it runs on H13, and its error over all fp16 arguments.

python tools/tables.py            writes the page
python tools/tables.py --check    fails when the page is not what would be written
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from openane.backend.functions.accuracy import measure
from openane.backend.functions.recipes import kinds, recipe
from openane.backend.functions.steps import Recipe, TableStep
from openane.net.units.neuron import NeuronKind

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tables.md"

CONSTANTS = {
    NeuronKind.LEAKY_RELU: (0.01, 0.0),
    NeuronKind.CLAMP: (0.0, 6.0),
    NeuronKind.THRESHOLDED_RELU: (1.0, 0.0),
    NeuronKind.ELU: (1.0, 0.0),
    NeuronKind.HARD_SIGMOID: (1 / 6, 0.5),
}

HEAD = """# Functions of one element on H13

Written by `tools/tables.py`; do not edit.

The neural engine looks a function up in a table of 33 knots and interpolates linearly between them (the format and its
evidence: `openane.numerics.tables`). This page gives, for each function, the tasks it takes and the largest error
against the function in double precision. Every finite fp16 argument of the domain was tried, with the arithmetic of
the simulator; arguments whose result does not fit into fp16 are left out. The simulator's table arithmetic agrees with
all published outputs of an M5; no output of an M1 beyond a few single values is published, so on H13 the last
digit is not proved.

*Apple* means: the bytes of the table are those that Apple's compiler writes (most by the published SHA-256 of its
output, others because they stand in a published program). *Fitted here* means: knots and lines that make the largest
absolute error as small as we could, so relative errors of small results are large. *NE* is a table task (it can be the
last stage of a convolution when it is the only step), *PE* a planar task.

| function | tasks | domain | largest error | at x | largest error, abs(x) <= 8 | largest relative error | origin |
|---|---|---|---|---|---|---|---|
"""


def main() -> None:
    """Writes or checks the page."""
    page = HEAD + "".join(f"{_row(kind)}\n" for kind in kinds())
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if PAGE.exists() and PAGE.read_text() == page else f"{PAGE.name} is old: run {Path(__file__).name}")
    PAGE.write_text(page)


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
