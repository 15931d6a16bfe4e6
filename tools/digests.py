"""Digests of everything the back end makes, so that a change that should change nothing can prove it.

    python tools/digests.py OUT.json                           every group that needs no model
    python tools/digests.py OUT.json --models FOLDER           and each .onnx, .mlpackage and .mlmodel of a folder
    python tools/digests.py OUT.json --only records pairs      only these groups
    python tools/digests.py --compare BEFORE.json AFTER.json   what differs; status 1 if anything does

Groups: `records` (each record of Apple's compiler, in three dialects), `pairs`, `plists`, `goldens` (published
programs), `networks` (random ones of the campaign, by number), `registers` (the declarations of every generation).
Each case gives the SHA-256 of the file that is written, of the decoded text with costs, and of the simulated outputs
on made-up inputs; a case that is refused gives the rules that refuse it. Without the shared folder only `networks` and
`registers` remain.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from differential.strategy import make

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))

from apple_records import records, shared_folder  # noqa: E402

from openane.artifact.plan import Artifact, EngineStep  # noqa: E402
from openane.compiler.driver import Options, build, load  # noqa: E402
from openane.core.errors import OpenaneError, UnsupportedError  # noqa: E402
from openane.formats.hwx import write_hwx  # noqa: E402
from openane.graph import TensorType  # noqa: E402
from openane.program import Program  # noqa: E402
from openane.runtimes.execution import Execution  # noqa: E402
from openane.runtimes.runtime import SessionOptions  # noqa: E402
from openane.targets import GENERATIONS, attach, get  # noqa: E402
from openane.targets.target import RunOptions  # noqa: E402

DIALECTS = ("macos-26", "macos-11", "linux")
SIMULATED_TASKS = 600
"""Programs of more tasks are compiled and not run."""
Digests = dict[str, str]
Case = tuple[str, Callable[[], Digests]]


def digest(*pieces: bytes) -> str:
    """SHA-256 of the pieces together, shortened to 16 digits."""
    total = hashlib.sha256()
    for piece in pieces:
        total.update(piece)
    return total.hexdigest()[:16]


def text_digest(program: Program) -> str:
    """Digest of each task in one line, and of what it costs."""
    attached = attach(program)
    assert attached.codec is not None
    costs = GENERATIONS[program.target].work_of
    lines = [f"{attached.codec.summarize(task).text({})} {costs(task)}" for task in program.tasks]
    return digest("\n".join(lines).encode())


def array_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Digest of named arrays."""
    return digest(*(piece for name in sorted(arrays) for piece in (name.encode(), arrays[name].tobytes())))


def compiled(source: Any, options: Options, *, run: bool, inputs: Mapping[str, np.ndarray] | None = None) -> Digests:
    """Digests of a source of any level, compiled with the host's help."""
    try:
        artifact = build(source, options)
    except UnsupportedError as error:
        return {"refused": "; ".join(sorted({each.rule or each.what for each in error.diagnostics}))}
    programs = [step.program for step in artifact.plan.steps if isinstance(step, EngineStep)]
    found = {
        "file": digest(*(bytes(write_hwx(program)) for program in programs)),
        "text": digest(*(text_digest(program).encode() for program in programs)),
        "steps": str(len(artifact.plan.steps)),
    }
    if run and sum(len(program.tasks) for program in programs) <= SIMULATED_TASKS:
        found["outputs"] = _run(artifact, inputs)
    return found


def _run(artifact: Artifact, inputs: Mapping[str, np.ndarray] | None) -> str:
    wanted = artifact.plan.inputs
    made = inputs or {name: _made_up(each) for name, each in wanted.items()}
    try:
        with Execution(artifact, "simulator", SessionOptions(simulation=RunOptions(threads=1))) as execution:
            return array_digest(execution.run(made).outputs)
    except OpenaneError as error:
        return f"{type(error).__name__}: {error.diagnostics[0].what}"


def _made_up(kind: TensorType) -> np.ndarray:
    """Normal numbers; 0 and 1 for integers, which may be indices."""
    values = np.random.default_rng(0).standard_normal(kind.shape)
    return values.astype(kind.dtype.numpy) if kind.dtype.is_float else (values > 0).astype(kind.dtype.numpy)


# Groups ------------------------------------------------------------------------------------------------


def _records() -> Iterator[Case]:
    folders = [shared_folder() / "oracles" / name for name in ("h13", "h13-real-sizes")]
    for record in (record for folder in folders for record in records(folder)):
        for dialect in DIALECTS:

            def one(record=record, dialect=dialect):  # type: ignore[no-untyped-def]
                with tempfile.TemporaryDirectory() as folder:
                    path = record.write(Path(folder))
                    return compiled(path, Options(dialect=dialect), run=dialect == DIALECTS[0])

            yield f"records/{record.case}/{dialect}", one


def _pairs() -> Iterator[Case]:
    for path in sorted((shared_folder() / "goldens" / "pairs").glob("*/net.plist")):
        for dialect in DIALECTS:
            yield (
                f"pairs/{path.parent.name}/{dialect}",
                lambda path=path, dialect=dialect: compiled(path, Options(dialect=dialect), run=True),
            )


def _plists() -> Iterator[Case]:
    for path in sorted((shared_folder() / "goldens" / "plists").glob("*.plist")):
        yield f"plists/{path.stem}", lambda path=path: compiled(path, Options(), run=True)


def _goldens() -> Iterator[Case]:
    for path in sorted((shared_folder() / "goldens" / "h13").glob("*.*")):
        yield f"goldens/{path.name}", lambda path=path: compiled(load(path), Options(), run=True)


def _networks(count: int) -> Iterator[Case]:
    for number in range(count):

        def one(number=number):  # type: ignore[no-untyped-def]
            network = make(number)[0]
            options = Options(dialect=network.dialect)
            return compiled(network.graph(wide=False), options, run=True, inputs=network.arrays(wide=False))

        yield f"networks/{number}", one


def _registers() -> Iterator[Case]:
    for name, generation in GENERATIONS.items():
        yield (
            f"registers/{name}",
            lambda generation=generation: {"text": digest(repr(generation.codec.registers).encode())},
        )
    yield "registers/limits", lambda: {"text": digest(repr(get("h13").limits()).encode())}


def _models(folder: Path | None) -> Iterator[Case]:
    for path in sorted(folder.glob("*.*")) if folder else ():
        if path.suffix in (".onnx", ".mlpackage", ".mlmodel"):
            kept = path.with_suffix(".npz")

            def one(path=path, kept=kept):  # type: ignore[no-untyped-def]
                inputs = None
                if kept.exists():
                    arrays = np.load(kept)
                    inputs = {name[3:]: arrays[name] for name in arrays.files if name.startswith("in:")}
                return compiled(path, Options(), run=True, inputs=inputs)

            yield f"models/{path.name}", one


def cases(arguments: argparse.Namespace) -> Iterator[Case]:
    """Every case of the groups that were asked for."""
    groups = {
        "registers": _registers,
        "pairs": _pairs,
        "plists": _plists,
        "goldens": _goldens,
        "records": _records,
        "models": lambda: _models(arguments.models),
        "networks": lambda: _networks(arguments.networks),
    }
    for name, group in groups.items():
        if not arguments.only or name in arguments.only:
            yield from group()


def record(arguments: argparse.Namespace) -> dict[str, Digests]:
    """The digests of every case; one that crashes says how."""
    found: dict[str, Digests] = {}
    for name, one in cases(arguments):
        try:
            found[name] = one()
        except OpenaneError as error:
            found[name] = {"error": f"{type(error).__name__}: {error.diagnostics[0].what}"}
        except Exception as error:  # a crash of ours: it must stay visible, and the others must run
            found[name] = {"crash": f"{type(error).__name__}: {error}"}
    return found


def differences(before: Mapping[str, Digests], after: Mapping[str, Digests]) -> list[str]:
    """One line per case that differs or is in one of the two only."""
    found = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            found.append(f"{name}: only {'after' if old is None else 'before'}")
        elif old != new:
            parts = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
            found.append(f"{name}: " + ", ".join(f"{key} {old.get(key)} -> {new.get(key)}" for key in parts))
    return found


def main() -> int:
    """Writes or compares digests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, nargs="?", help="where the digests go")
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="a folder of models, with NAME.npz for inputs")
    parser.add_argument("--networks", type=int, default=400, metavar="COUNT", help="how many random networks")
    parser.add_argument("--only", nargs="+", metavar="GROUP", help="only these groups")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("BEFORE", "AFTER"))
    arguments = parser.parse_args()
    if arguments.compare:
        before, after = (json.loads(path.read_text()) for path in arguments.compare)
        found = differences(before, after)
        print("\n".join(found))
        print(f"{len(before)} cases before, {len(after)} after, {len(found)} differ")
        return int(bool(found))
    if arguments.output is None:
        parser.error("say where the digests go, or compare two files")
    found_digests = record(arguments)
    arguments.output.write_text(json.dumps(found_digests, indent=1) + "\n")
    print(f"{len(found_digests)} cases")
    return 0


if __name__ == "__main__":
    sys.exit(main())
