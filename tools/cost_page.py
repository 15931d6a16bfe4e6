"""Writes docs/cost.md: the cost model, its constants with their evidence, and its errors on published timings.

python tools/cost_page.py            writes the page
python tools/cost_page.py --check    fails when the page is not what would be written
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from openane.cost.chips import CHIPS, Chip
from openane.cost.evaluation import ALL, summarize

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
             + start of the task + inputs / bandwidth (first task) + outputs / bandwidth (last task)
    energy = base power x time + energy per multiply-accumulate + energy per DRAM byte

The parts are added, because the sum fits the published timings about as well as the longest part does. The hardware
overlaps some of them, so fitted speeds of products can exceed the peak. Convolutions larger than 1x1 and matmuls have
different speeds. Handing a result back takes longer than handing an input over. Weights are counted for every task
that streams them, tensors as far as a task reads them. Intermediate values that stay in L2 cost nothing. Programs
compiled for H13 keep their tasks on every chip of the table: on M2 and later the estimate is for these tasks at the
speeds of that chip, although Apple's compiler would generate other tasks there.

Known errors:

- RMS norm takes much longer than estimated (up to five times).
- The published times of an M1 Max and an M2 Pro are the least of a few calls, some at a low clock: the mean of a longer
  loop is up to half as long. All rows of H14 but five are from that M2 Pro.
- The two sources for the M6 disagree by up to a factor of two.
- Host steps are not estimated.
- The energy of operations other than convolutions and matmuls is wrong.

The time of a device also depends on the host: the M1 rows come from three machines, and a call from Linux is faster
(0.07 to 0.18 ms) than a call through the macOS frameworks.

## Constants

Fitted by `tools/calibrate_cost.py` to published timings of networks that are compiled with openane, and of single
operations. The chips of a generation share all constants except dispatch and hand-over. `error` is the median error of
networks that were left out of the fit, one after another; four of five of these are within `range`, a factor.
The times of `openane estimate` are printed with this range where it is wider than 15 percent. Only H13 is compiled for;
rows of later chips use the tasks of H13. `peak` is engines x 256 products x clock.

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
        "inputs GB/s": lambda chip: f"{chip.operand_bytes_per_us / 1e3:.1f}",
        "outputs GB/s": lambda chip: f"{chip.result_bytes_per_us / 1e3:.1f}",
        "DRAM GB/s": lambda chip: f"{chip.dram_bytes_per_us / 1e3:.0f}",
        "weights GB/s": lambda chip: f"{chip.weight_bytes_per_us / 1e3:.0f}",
        "conv TMAC/s": lambda chip: f"{chip.convolution_macs_per_us / 1e6:.2f}",
        "matmul TMAC/s": lambda chip: f"{chip.matmul_macs_per_us / 1e6:.2f}",
        "peak TMAC/s": lambda chip: f"{chip.peak_macs_per_us / 1e6:.2f}",
        "Gelements/s": lambda chip: f"{chip.elements_per_us / 1e3:.0f}",
        "base mW": lambda chip: f"{chip.base_milliwatts:.0f}",
        "pJ/MAC": lambda chip: f"{chip.picojoules_per_mac:.2f}",
        "pJ/byte": lambda chip: f"{chip.picojoules_per_byte:.0f}",
        "error": lambda chip: f"{chip.median_error:.1%}",
        "range": lambda chip: f"{chip.spread:.2f}",
        "evidence": lambda chip: _evidence(chip),
    }
    lines = [_row(columns), _row("---" for _ in columns)]
    lines += [_row(cell(chip) for cell in columns.values()) for chip in CHIPS.values()]
    return "".join(lines)


def _evidence(chip: Chip) -> str:
    return f"{chip.machine}: {chip.evidence}"


def _errors() -> str:
    text = (
        "\n## Errors of single operations\n\nDistance of model / published from 1, in percent. The work is counted "
        "from the shapes, without a program.\n"
        "`python bench/cost.py --rows` shows every row and its source, and the rows of networks.\n\n"
    )
    text += _row(("chip", "family", "rows", "median", "worst", "power, median")) + _row("---" for _ in range(6))
    for each in summarize():
        name = f"**{each.family}**" if each.family == ALL else each.family
        power = "" if each.power_median is None else f"{100 * each.power_median:.0f}"
        text += _row((each.chip, name, str(each.rows), f"{100 * each.median:.1f}", f"{100 * each.worst:.1f}", power))
    return text


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


if __name__ == "__main__":
    main()
