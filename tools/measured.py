"""Writes docs/measured.md: every published measurement beside what the simulator gives.

    python tools/measured.py SHARED

SHARED is the folder with hw/measured-vectors.json and goldens/. The comparison itself is tests/sim/measured.py.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "measured.md"
sys.path.insert(0, str(ROOT / "tests" / "sim"))

HEAD = """# Measured on real chips, and what the simulator gives

Made by `python tools/measured.py`; the test `tests/sim/test_measured.py` runs the same comparison. Each row is one
published measurement. "Matches" means the same fp16 bits (for accuracies: the same figure), "differs" says why, "not
applicable" says what is missing. Rows of other chips are compared where the operation is the same.

"""

TAIL = """
## The accumulator, the one open contradiction

Published observations do not agree on how the MAC engine adds, so the profile has an option:

| observation | `wide` (default) | `tile4` |
|---|---|---|
| M1: (+B, -B, +1) x 16, B = 1024, 3000, 4096, 8000, 30000: 16, 16, 4, 4, 4 | 16 throughout | all five |
| M1: 4096 + 1024 ones gives 5116 | 5120 | 5116 |
| M1: sixteen ones beside 8192 survive; 16384 ones give 16384; +1 beside 16000 survives | yes | yes |
| M1, M2, M4: error of a 3x3 conv over 576 to 4,608 products, 0.00037 to 0.00042 | 0.00035 (the fp16 floor) | 0.00053 |
| M6: the same conv, 0.00052 to 0.00053 | 0.00035 | 0.00053 |
| M2 to M6: error of a GEMM grows with K, 0.0026 (512) to 0.044 (6144) | no growth | no growth |

`tile4` adds four consecutive products of the stream one after the other in a 12-bit significand, the smaller addend cut
off (not rounded) below it, and then adds the four's sum in fp32. Rounding the partial sum to fp16 instead does not give
16 at B = 3000; 11 bits do not either, and 13 bits give 16 at 8000. The conv errors were computed here with normal
random data and inputs rounded to fp16, as relative L2 error against unrounded inputs; the benchmark's data are unknown.
The growth of the GEMM error fits neither option.
"""


def main() -> None:
    """Writes the page."""
    if len(sys.argv) != 2:
        sys.exit((__doc__ or "").strip())
    import measured

    rows = measured.outcomes(Path(sys.argv[1]))
    count = Counter(outcome.status for _, outcome in rows)
    summary = ", ".join(f"{count[status]} {status}" for status in ("matches", "differs", "not applicable"))
    lines = [f"{len(rows)} entries: {summary}.", ""]
    lines += [
        "| table | row | operation | input | measured | simulator | outcome | chip |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for entry, outcome in rows:
        given = "" if entry["x"] is None else str(entry["x"])
        hexadecimal = f" ({entry['y_hex']})" if entry.get("y_hex") else ""
        reason = f": {outcome.reason}" if outcome.reason else ""
        chip = entry["chip"].split(" (")[0]
        lines.append(
            f"| {entry['table']} | {entry['row']} | {entry['op']} | {given} | {entry['y']}{hexadecimal} |"
            f" {outcome.found} | {outcome.status}{reason} | {chip} |"
        )
    PAGE.write_text(HEAD + "\n".join(lines) + "\n" + TAIL)
    print(f"{PAGE.relative_to(ROOT)}: {summary}")


if __name__ == "__main__":
    main()
