"""`openane demo`: classify digits with a small network on the simulator."""

from __future__ import annotations

import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click

from openane.cli._say import say
from openane.cli._show import FILE, print_table, quantity, working
from openane.core.errors import UnavailableError
from openane.targets.registry import DEFAULT_CHIP, DEFAULT_TARGET

if TYPE_CHECKING:
    import numpy as np


@click.command()
@click.option("--keep", type=FILE, metavar="DIR", help="Also write digits.hwx, digits.anec and digits.plist to DIR.")
def command(keep: Path | None) -> None:
    """Compile the bundled digits network for the M1 and classify 400 test digits on the simulator."""
    import numpy as np
    from rich.console import Console
    from rich.progress import track

    from openane.api import compile
    from openane.compiler.driver import save
    from openane.core.files import make_folder
    from openane.runtimes.execution import Execution

    data = Path(str(resources.files("openane") / "data"))
    with np.load(data / "digits.npz", allow_pickle=False) as digits:
        pictures, labels = enlarge(digits["pictures"]), digits["labels"]
    start = time.perf_counter()
    with working(f"compiling digits.onnx for the {DEFAULT_CHIP.upper()} ({DEFAULT_TARGET})"):
        artifact = compile(data / "digits.onnx")
    compile_seconds = time.perf_counter() - start
    program = artifact.program
    say(
        f"digits.onnx -> {len(program.tasks)} task descriptors, constants {quantity(len(program.constants), 'B')}, "
        f"compiled in {compile_seconds:.2f} s"
    )
    if keep is not None:
        make_folder(keep)
        for ending in ("hwx", "anec", "plist"):
            save(artifact, keep / f"digits.{ending}")
    start = time.perf_counter()
    console = Console(stderr=True)
    with Execution(artifact) as execution:
        scores = np.concatenate(
            [
                execution.run({"image": picture[None]}).outputs["probabilities"]
                for picture in track(pictures, "simulating", console=console, disable=not console.is_terminal)
            ]
        )
    seconds = time.perf_counter() - start
    report(scores, reference(data / "digits.onnx", pictures), labels, seconds)


def enlarge(pictures: np.ndarray) -> np.ndarray:
    """8x8 pixels of 0..16 -> (count, 1, 28, 28) float32 of 0..1, bilinear with aligned corners."""
    import numpy as np

    position = np.linspace(0, 7, 28)
    low = np.minimum(position.astype(int), 6)
    weight = np.zeros((28, 8))
    weight[np.arange(28), low] = 1 - (position - low)
    weight[np.arange(28), low + 1] += position - low
    enlarged: np.ndarray = (weight @ (pictures / 16.0) @ weight.T)[:, None].astype(np.float32)
    return enlarged


def reference(model: Path, pictures: np.ndarray) -> np.ndarray:
    """The scores of onnxruntime in float32, one row per picture.

    Raises:
        UnavailableError: onnxruntime is not installed.
    """
    import numpy as np

    try:
        import onnxruntime
    except ImportError as error:
        raise UnavailableError(
            "the demo needs onnxruntime as its reference, which is not installed", hint="pip install 'openane[demo]'"
        ) from error
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": picture[None]})[0] for picture in pictures])


def report(scores: np.ndarray, expected: np.ndarray, labels: np.ndarray, seconds: float) -> None:
    """Prints the accuracy per digit and overall, and the agreement of both results."""
    import numpy as np

    guesses, references = scores.argmax(1), expected.argmax(1)
    rows: list[tuple[object, ...]] = []
    for digit in range(10):
        chosen = labels == digit
        rows.append((digit, chosen.sum(), (guesses[chosen] == digit).sum(), (references[chosen] == digit).sum()))
    right, right_reference = (guesses == labels).sum(), (references == labels).sum()
    rows.append(("all", len(labels), right, right_reference))
    columns = ("digit", "pictures", f"correct, simulated {DEFAULT_CHIP.upper()}", "correct, onnxruntime")
    print_table("test digits", columns, rows, numeric=columns[1:])
    say(
        f"accuracy {right / len(labels):.2%}; same class as onnxruntime on {(guesses == references).sum()} of "
        f"{len(labels)}; largest difference in probability {np.abs(scores - expected).max():.2g}; "
        f"{1000 * seconds / len(labels):.1f} ms per picture"
    )
