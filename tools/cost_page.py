"""Writes docs/cost.md: the cost model, its constants with their evidence, and its errors on published timings.

python tools/cost_page.py            writes the page
python tools/cost_page.py --check    fails when the page is not what would be written
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from openane.cost.chips import CHIPS, Chip
from openane.cost.evaluation import ALL, Summary, summarize

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cost.md"

HEAD = """# Cost model

On this page you can look up how openane estimates the time and energy of a model, and how far the estimates are from
published timings.

```console
$ openane estimate model.onnx --chip m1
```

The command lists the time of every layer and suggests what to change first. The results are estimates. The work of each
task (multiply-accumulates, elements, bytes) is read from its registers; the speeds are constants of the chip.

Written by `tools/cost_page.py`; do not edit.

    call   = dispatch + sum over tasks
    task   = multiply-accumulates / speed + elements / speed + weights / bandwidth + tensors / bandwidth
             + transfer of the caller's inputs and outputs / bandwidth + start of the task
    energy = base power x time + energy per multiply-accumulate + energy per DRAM byte

The parts are added, because the sum fits the published timings of single operations better than the longest part
does. Convolutions larger than 1x1 and matmuls have different speeds. Intermediate values that stay in L2 cost
nothing. Programs compiled for H13 keep their tasks on every chip of the table: on M2 and later the estimate is for
these tasks at the speeds of that chip, although Apple's compiler would generate other tasks there.

Known errors:

- RMS norm and layer norm over long rows take much longer than estimated (up to four times).
- The published rows for attention do not give the number of programs.
- The energy of operations other than convolutions and matmuls is wrong.

The time of a device also depends on the host: the M1 rows come from three machines, and a call from Linux is faster
(0.07 to 0.18 ms) than a call through the macOS frameworks.

## Constants

Fitted by `tools/calibrate_cost.py` to every other published row of a chip. `peak` is engines x 256 products x clock.

"""


def main() -> None:
    """Writes or checks the page."""
    page = HEAD + _constants() + _errors()
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if PAGE.exists() and PAGE.read_text() == page else f"{PAGE.name} is old: run {Path(__file__).name}")
    PAGE.write_text(page)


def _constants() -> str:
    columns = {
        "chip": lambda chip: chip.name,
        "dispatch us": lambda chip: f"{chip.dispatch_us:.0f}",
        "task us": lambda chip: f"{chip.task_us:.2f}",
        "transfer GB/s": lambda chip: f"{chip.surface_bytes_per_us / 1e3:.1f}",
        "DRAM GB/s": lambda chip: f"{chip.dram_bytes_per_us / 1e3:.0f}",
        "weights GB/s": lambda chip: f"{chip.weight_bytes_per_us / 1e3:.0f}",
        "conv TMAC/s": lambda chip: f"{chip.convolution_macs_per_us / 1e6:.2f}",
        "matmul TMAC/s": lambda chip: f"{chip.matmul_macs_per_us / 1e6:.2f}",
        "peak TMAC/s": lambda chip: f"{chip.peak_macs_per_us / 1e6:.2f}",
        "Gelements/s": lambda chip: f"{chip.elements_per_us / 1e3:.0f}",
        "base mW": lambda chip: f"{chip.base_milliwatts:.0f}",
        "pJ/MAC": lambda chip: f"{chip.picojoules_per_mac:.2f}",
        "pJ/byte": lambda chip: f"{chip.picojoules_per_byte:.0f}",
        "evidence": lambda chip: _evidence(chip),
    }
    lines = [_row(columns), _row("---" for _ in columns)]
    lines += [_row(cell(chip) for cell in columns.values()) for chip in CHIPS.values()]
    return "".join(lines)


def _evidence(chip: Chip) -> str:
    return f"{chip.machine}: {chip.evidence}"


def _errors() -> str:
    text = (
        "\n## Errors\n\nDistance of model / published from 1, in percent. Held-out rows were not used in the fit.\n"
        "`python bench/cost.py --rows` shows every row and its source.\n\n"
    )
    summaries = list(summarize())
    text += _row(("chip", "family", "fitted rows", "median", "held-out rows", "median", "worst", "power, median"))
    text += _row("---" for _ in range(8))
    for chip, family in dict.fromkeys((each.chip, each.family) for each in summaries):
        found = {each.part: each for each in summaries if (each.chip, each.family) == (chip, family)}
        name = f"**{family}**" if family == ALL else family
        text += _row((chip, name, *_fitted(found.get("fitted")), *_held_out(found.get("held out"))))
    return text


def _fitted(found: Summary | None) -> tuple[str, str]:
    return (str(found.rows), f"{100 * found.median:.1f}") if found else ("0", "")


def _held_out(found: Summary | None) -> tuple[str, str, str, str]:
    if found is None:
        return "0", "", "", ""
    power = "" if found.power_median is None else f"{100 * found.power_median:.0f}"
    return str(found.rows), f"{100 * found.median:.1f}", f"{100 * found.worst:.1f}", power


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


if __name__ == "__main__":
    main()
