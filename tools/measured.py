"""Writes docs/measured.md and the numbers in README.md: every published measurement next to what openane computes.

    python tools/measured.py SHARED

SHARED is the folder with hw/measured-*.json and goldens/. The comparison itself is tests/support/measured.py; it takes
some minutes, because it multiplies the largest matrices of the benchmarks.
"""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE, README = ROOT / "docs" / "measured.md", ROOT / "README.md"
STATUSES = ("matches", "differs", "not applicable")
VECTORS = ("mac_", "pe_")
"""Tables of which one row is written when all their entries match."""
sys.path.insert(0, str(ROOT))

HEAD = """# Published measurements and openane's results

On this page you can look up which published measurements of real chips openane reproduces, and why it does not
reproduce the others. The following command repeats the comparison and writes the page:

```console
$ python tools/measured.py SHARED
```

The test `tests/sim/test_measured.py` runs the same comparison without the largest matrices. Each row is one published
measurement.

| status | meaning |
|---|---|
| matches | the same fp16 bits; for errors over many outputs, the stated number of digits |
| differs | with the reason |
| not applicable | with what is missing |

Single outputs are computed by the [reference machine](simulator.md#the-definition) with the profile of the chip's
generation. Errors of whole matrices are computed by the fast machine on the data of the benchmark. Where it has no fast
path (Winograd transform, tables over millions of values), numpy applies the same rule, which the tests compare with the
definition.

"""

TAIL = """
## What the measurements show

- **The MAC array** accumulates in 32 bits with steps of 2^-16. Products are rounded half away from zero, or dropped
  according to their exponents; 32768 is a sticky infinity. Evidence: 338 single outputs of an M4 and an M6, and the
  errors of some 70 benchmarks on ten chips, to 11 digits and more.
- **The bias** is the initial value of the accumulator. Evidence: 18 outputs of an M6.
- **Tables** give fp16(knot + fp16(fp16(next - knot) * fraction)) from the knot closer to zero, ties away from zero.
  Evidence: the errors of gelu over 1, 8 and 33 million values on an M1 and an M4 Pro (8 digits), the largest errors
  of eight functions on an M6 (all printed digits), 27 outputs of an M5. On an M6 the argument of a table is rounded
  to fp16 first: the largest error of exp is 100.8 (53.0 without this rounding).
- **An M5 and an M6 transform 3x3 convolutions** by Winograd's F(2, 3) along the columns, with transformed values and
  kernels rounded to fp16. Evidence: the errors of convolutions with 64 to 512 channels and of a stencil of 32 steps
  (13 digits and more).
- **A constant without weights** is added in the accumulator on an M6: the largest error of 1 / (x + 1e-4) is .4375
  (.407 otherwise).
- **The planar engine** rounds once, half away from zero, with the whole range of fp16. Evidence: 42 outputs of an M6,
  and a sum of 2049 on seven chips.

## Open questions

- **The order in which the planar engine adds long rows.** It rounds intermediate sums: the errors over 4,096 values
  are 2.5 to 2.8 times those of one rounding, and differ between an M1 and an M4 Pro. None of 530,000 orders tried
  (stages of exact sums with power-of-two radices, contiguous or strided, three roundings) reproduces the results of a
  chip.
- **Five probes of an M1** contradict the rule (`slice_and_accum_m1`). Their programs are not available; a product and
  a reduction of the planar engine would explain them.
"""


def main() -> None:
    """Writes both files."""
    if len(sys.argv) != 2:
        sys.exit((__doc__ or "").strip())
    from tests.support import measured

    rows = measured.outcomes(Path(sys.argv[1]))
    count = Counter(outcome.status for _, outcome in rows)
    summary = ", ".join(f"{count[status]} {status}" for status in STATUSES)
    tables = defaultdict(Counter)
    for entry, outcome in rows:
        tables[entry["table"]][outcome.status] += 1
    lines = [f"{len(rows)} entries: {summary}.", "", "| table | entries | matches | differs | not applicable |"]
    lines.append("|---|---|---|---|---|")
    for table, found in tables.items():
        lines.append(f"| {table} | {found.total()} | " + " | ".join(str(found[status]) for status in STATUSES) + " |")
    lines += [
        "",
        "| table | row | operation | input | measured | here | outcome | chip |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for entry, outcome in rows:
        table = entry["table"]
        if not (table.startswith(VECTORS) and tables[table].keys() == {"matches"}):
            lines.append(row(entry, outcome))
    PAGE.write_text(HEAD + "\n".join(lines) + "\n" + TAIL)
    write_readme(len(rows), count)
    print(f"{PAGE.relative_to(ROOT)}: {summary}")


def row(entry: dict[str, object], outcome: object) -> str:
    """One measurement as a line of the page."""
    given = entry.get("x", entry.get("shape", entry.get("domain")))
    given = "" if given is None else given
    measured_value = entry.get("y", entry.get("published_relerr"))
    hexadecimal = f" ({entry['y_hex']})" if entry.get("y_hex") else ""
    reason = f": {outcome.reason}" if outcome.reason else ""
    chip = str(entry["chip"]).split(" (")[0]
    return (
        f"| {entry['table']} | {entry['row']} | {entry['op']} | {given} | {measured_value}{hexadecimal} |"
        f" {outcome.found} | {outcome.status}{reason} | {chip} |"
    )


def write_readme(entries: int, count: Counter[str]) -> None:
    """The numbers of the sentence about measured values."""
    text = README.read_text()
    pattern = r"of \d+ entries, \d+ match (.*?), \d+\s+differ, and \d+ do not apply"
    found = (
        f"of {entries} entries, {count['matches']} match \\1, {count['differs']} differ, and {count['not applicable']}"
        " do not apply"
    )
    changed, times = re.subn(pattern, found, text, flags=re.DOTALL)
    if times != 1:
        sys.exit("README.md has no sentence 'of N entries, N match ..., N differ, and N do not apply'")
    README.write_text(changed)


if __name__ == "__main__":
    main()
