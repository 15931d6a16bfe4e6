"""Writes docs/evidence.md: what backs an encoding, and what recorded encodings alone cost on the development models.

    python tools/evidence_page.py MODELS            writes the page; takes about three minutes
    python tools/evidence_page.py MODELS --check    fails when the page is not what would be written

MODELS has the models as NAME.onnx or NAME.mlpackage, and NAME.npz with inputs (in:*) and reference outputs (out:*).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

import openane
from openane.analysis.estimate import estimate
from openane.analysis.evidence import evidence_of_model
from openane.artifact.plan import Artifact, HostStep
from openane.program.evidence import EncodingEvidence

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "evidence.md"
HEAD = ROOT / "tools" / "evidence_head.md"
RECORDED, EXTRAPOLATED, ASSUMED = EncodingEvidence
COLUMNS = (
    *("model", "tasks", "as emitted", "extrapolated", "assumed", "time as emitted"),
    *("tasks, recorded only", "layers on the host", "time", "error", "error, recorded only"),
)


def models(folder: Path) -> list[Path]:
    """The models of a folder that have inputs and reference outputs."""
    found = [*folder.glob("*.onnx"), *folder.glob("*.mlpackage")]
    return sorted(path for path in found if path.with_suffix(".npz").exists())


def row(path: Path) -> tuple[str, ...]:
    """One line of the table."""
    plain, strict = (openane.compile(path, evidence=choice) for choice in ("any", "recorded"))
    report, only = evidence_of_model(plain), evidence_of_model(strict)
    assert report is not None and only is not None and report.time_shares is not None
    assert only.counts[RECORDED] == len(only.tasks), path
    with np.load(path.with_suffix(".npz")) as arrays:
        inputs = {name[3:]: arrays[name] for name in arrays.files if name.startswith("in:")}
        wanted = {name[4:]: arrays[name] for name in arrays.files if name.startswith("out:")}
    times = [estimate(each).time_us for each in (plain, strict)]
    hosted = len(_hosted(strict)) - len(_hosted(plain))
    errors = [error(openane.run(each, inputs), wanted) for each in (plain, strict)]
    return (
        path.stem,
        str(len(report.tasks)),
        *(str(report.counts[level]) for level in EncodingEvidence),
        f"{report.time_shares[RECORDED]:.0%}",
        str(len(only.tasks)),
        str(hosted),
        f"{times[0] / 1e3:.2f} to {times[1] / 1e3:.2f} ms",
        *(f"{each:.1e}" for each in errors),
    )


def error(found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> float:
    """The largest difference of an output, relative to its largest value."""
    return max(
        float(np.abs(found[name].astype(np.float64) - array).max() / max(np.abs(array).max(), 1e-30))
        for name, array in wanted.items()
    )


def _hosted(artifact: Artifact) -> dict[str, tuple[str, str]]:
    """Layers on the host: name -> operation and rule."""
    found = {}
    for step in artifact.plan.steps:
        if isinstance(step, HostStep):
            for node in step.graph.nodes:
                reason = step.reasons.get(node.name)
                found[node.name] = type(node.operation).__name__, reason.rule if reason else ""
    return found


def page(folder: Path) -> Iterator[str]:
    """The lines of the page after its head."""
    yield "| " + " | ".join(COLUMNS) + " |"
    yield "|---" * len(COLUMNS) + "|"
    reasons: Counter[tuple[str, str, str]] = Counter()
    for path in models(folder):
        yield "| " + " | ".join(row(path)) + " |"
        plain, strict = (_hosted(openane.compile(path, evidence=choice)) for choice in ("any", "recorded"))
        reasons.update((path.stem, *strict[name]) for name in strict.keys() - plain.keys())
    yield ""
    yield "Layers that only run on the host with recorded encodings:" if reasons else "No layer moves to the host."
    yield ""
    for (model, operation, rule), count in sorted(reasons.items()):
        yield f"- {model}: {count} {operation} (`{rule}`)"


def main() -> None:
    """Writes or checks the page."""
    text = HEAD.read_text() + "\n".join(page(Path(sys.argv[1]))) + "\n"
    if sys.argv[2:] == ["--check"]:
        sys.exit(0 if PAGE.exists() and PAGE.read_text() == text else f"{PAGE.name} is old: run {Path(__file__).name}")
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
