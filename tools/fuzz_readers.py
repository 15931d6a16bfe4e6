"""Throws damaged input at every reader.

    python tools/fuzz_readers.py [READER ...] [--runs N] [--seed N] [--seconds N] [--corpus FILE ...] [--atheris]

Whatever the bytes, a reader must answer with a value or with an OpenaneError, within one second of processor time and
one GiB of memory; limits of the process enforce both. Without names all readers take turns. The inputs are made by rule
(tools/fuzz_inputs.py), files given by --corpus are added for the reader of compiled programs, and all are mutated at
random; with --atheris the runs of one reader are guided by coverage (needs the package atheris). A finding is written
to the current folder.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path


def _coverage() -> AbstractContextManager[object]:
    """Counts branches of what is imported inside, for a guided run."""
    if "--atheris" not in sys.argv:
        return nullcontext()
    import atheris

    return atheris.instrument_imports(include=["openane"])


with _coverage():
    from fuzz_inputs import EXPRESSIONS, arrays, files, mutate

    from openane.analysis.dataset import Dataset
    from openane.analysis.describe import describe
    from openane.analysis.diff import diff_programs
    from openane.cli._show import parse_shapes, read_array, read_inputs
    from openane.compiler.cache import SUFFIX, Cache
    from openane.compiler.driver import build, load
    from openane.core.errors import OpenaneError
    from openane.formats.anec import read_anec, write_anec
    from openane.formats.hwx import read_hwx, write_hwx
    from openane.formats.sniff import FileKind, kind_of_bytes, sniff
    from openane.formats.source import open_source
    from openane.graph import TensorType
    from openane.net.plist import describe_net, parse_net
    from openane.program.patch import Patch, apply_patches
    from openane.targets import load_program
    from openane.targets.assembly import assemble, disassemble, open_container

LARGEST_INPUT = 1 << 20
LIMIT_SECONDS = 1.0
"""Of processor time, so that a busy machine makes no findings."""
WAIT_SECONDS = 60.0
"""Of the clock: something waits for ever."""
LIMIT_BYTES = 1 << 30
"""Of address space beyond what the process has when the runs begin."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A way for bytes into openane.

    Attributes:
        seeds: sound inputs.
        use: reads bytes; the folder is for what must lie in a file.
    """

    seeds: Callable[[], Sequence[bytes]]
    use: Callable[[bytes, Path], None]


class TooLongError(BaseException):
    """A run used up its time; no `except Exception` on the way may catch it."""


# Readers -----------------------------------------------------------------------------------------------------------


def _use_sniff(data: bytes, _: Path) -> None:
    if data:
        kind_of_bytes(open_source(data))
    sniff(data)


def _use_hwx(data: bytes, _: Path) -> None:
    file = read_hwx(data)
    for part in ("segments", "names", "surface_states", "metadata", "symbols"):
        with suppress(OpenaneError):
            getattr(file, part)
    program = load_program(file)
    again = load_program(read_hwx(write_hwx(program)))
    assert again.tasks == program.tasks and again.surfaces == program.surfaces


def _use_anec(data: bytes, _: Path) -> None:
    program = load_program(read_anec(data))
    assert load_program(read_anec(write_anec(program))).tasks == program.tasks


def _use_container(data: bytes, _: Path) -> None:
    file = open_container(data)
    if file is None:
        return
    describe(file)
    text = disassemble(file)
    kind = "hwx" if sniff(data) is FileKind.HWX else "anec"
    assert b"".join(assemble(text).file(kind)) == data, "the disassembly does not assemble to the same bytes"
    program = load_program(file)
    assert diff_programs(program, program, (file, file)).same


def _use_assembly(data: bytes, _: Path) -> None:
    if len(data) <= 1 << 16:
        assemble(data.decode("utf-8", "replace"))


WEIGHT_FILES = ("made.weights", "weights/weight.bin")
"""Of the net.plist and of the text that `files` makes."""


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _use_plist(data: bytes, _: Path) -> None:
    net = parse_net(data, weights={"made.weights": files()["made.weights"]})
    describe_net(net, "weights.bin")


def _use_weights(data: bytes, folder: Path) -> None:
    """A sound net.plist and a sound text whose weight files are damaged."""
    for name in ("made.plist", "made.mil"):
        _write(folder / name, files()[name])
    for name in WEIGHT_FILES:
        _write(folder / name, data)
    for name in ("made.plist", "made.mil"):
        with suppress(OpenaneError):
            load(folder / name)


def _use_model(ending: str) -> Callable[[bytes, Path], None]:
    def use(data: bytes, folder: Path) -> None:
        path = folder / f"model{ending}"
        path.write_bytes(data)
        if ending == ".mil":
            _write(folder / WEIGHT_FILES[1], files()[WEIGHT_FILES[1]])
        build(path)

    return use


def _use_package(data: bytes, folder: Path) -> None:
    """A package one of whose files is damaged: the first byte of the input says which."""
    names = [name for name in files() if name.startswith("made.mlpackage/")]
    chosen = names[data[0] % len(names)] if data else ""
    for name in names:
        _write(folder / name, data[1:] if name == chosen else files()[name])
    build(folder / "made.mlpackage")


def _package_seeds() -> list[bytes]:
    names = [name for name in files() if name.startswith("made.mlpackage/")]
    return [bytes([number]) + files()[name] for number, name in enumerate(names)]


def _use_array(data: bytes, folder: Path) -> None:
    for ending, use in ((".npy", read_array), (".npz", _use_dataset)):
        path = folder / f"array{ending}"
        path.write_bytes(data)
        with suppress(OpenaneError):
            use(path)


def _use_dataset(path: Path) -> None:
    dataset = Dataset(path, {"x": TensorType((1, 3, 6, 6))})
    for number in range(min(len(dataset), 3)):
        dataset[number]


def _use_expression(data: bytes, _: Path) -> None:
    text = data.decode("utf-8", "replace")
    with suppress(OpenaneError):
        parse_shapes((text,))
    with suppress(OpenaneError):
        read_inputs((text,), {"x": TensorType((2, 3))})
    patch = Patch.parse(text)
    apply_patches(load_program(read_hwx(files()["small.hwx"])), [patch])


def _use_cache(data: bytes, folder: Path) -> None:
    """An entry that someone else wrote; it must verify or be taken for missing."""
    (folder / f"key{SUFFIX}").write_bytes(data)
    Cache(folder).get("key")


def _cache_seeds() -> list[bytes]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "small.hwx").write_bytes(files()["small.hwx"])
        Cache(folder).put("key", build(folder / "small.hwx"))
        return [path.read_bytes() for path in folder.glob(f"*{SUFFIX}")]


def _seeds(*endings: str) -> Callable[[], list[bytes]]:
    return lambda: [content for name, content in files().items() if name.endswith(endings) and "/" not in name]


READERS: Mapping[str, Reader] = {
    "sniff": Reader(_seeds(""), _use_sniff),
    "hwx": Reader(_seeds(".hwx"), _use_hwx),
    "anec": Reader(_seeds(".anec"), _use_anec),
    "container": Reader(_seeds(".hwx", ".anec"), _use_container),
    "assembly": Reader(_seeds(".asm"), _use_assembly),
    "plist": Reader(_seeds(".plist"), _use_plist),
    "weights": Reader(lambda: [files()[name] for name in WEIGHT_FILES], _use_weights),
    "mil": Reader(_seeds(".mil"), _use_model(".mil")),
    "onnx": Reader(_seeds(".onnx"), _use_model(".onnx")),
    "mlmodel": Reader(_seeds(".mlmodel"), _use_model(".mlmodel")),
    "package": Reader(_package_seeds, _use_package),
    "array": Reader(arrays, _use_array),
    "expression": Reader(lambda: [text.encode() for text in EXPRESSIONS], _use_expression),
    "cache": Reader(_cache_seeds, _use_cache),
}


def exercise(name: str, data: bytes, folder: Path) -> None:
    """Lets a reader read; every OpenaneError is a good answer, all else is a finding."""
    try:
        READERS[name].use(data, folder)
    except OpenaneError as error:
        assert str(error)


# Runs --------------------------------------------------------------------------------------------------------------


@contextmanager
def limits() -> Iterator[None]:
    """Bounds the memory of the process for the block, and arms the handlers of the time limits."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    handlers = [(number, signal.signal(number, _stop)) for number in (signal.SIGPROF, signal.SIGALRM)]
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + LIMIT_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        for number, handler in handlers:
            signal.signal(number, handler)


def _stop(number: int, _: object) -> None:
    raise TooLongError(f"more than {LIMIT_SECONDS if number == signal.SIGPROF else WAIT_SECONDS} s")


@contextmanager
def timed() -> Iterator[None]:
    """Stops the block when its time is over."""
    signal.setitimer(signal.ITIMER_PROF, LIMIT_SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAIT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


@dataclass(frozen=True, slots=True)
class Finding:
    """An input that a reader does not answer as it should."""

    reader: str
    run: int
    error: str
    data: bytes


def run_random(names: Sequence[str], runs: int, seed: int, seconds: float, more: Sequence[bytes] = ()) -> Outcome:
    """Mutates the inputs of the named readers at random, one reader after the other in turns.

    Args:
        names: of readers.
        runs: in all.
        seed: of the changes; the same seed makes the same inputs.
        seconds: after which no further run begins.
        more: inputs for the readers of compiled programs.
    """
    with tempfile.TemporaryDirectory() as folder:
        corpora = {name: _corpus(name, more, Path(folder)) for name in names}
        counts: Counter[str] = Counter()
        findings, slowest, end = [], 0.0, time.monotonic() + seconds
        with limits():
            for run in range(runs):
                if time.monotonic() > end:
                    break
                name = names[run % len(names)]
                source = random.Random(f"{seed}/{name}/{run}")
                data = mutate(source.choice(corpora[name]), source)
                began = time.process_time()
                error = attempt(name, data, Path(folder))
                slowest = max(slowest, time.process_time() - began)
                counts[name] += 1
                if error:
                    findings.append(Finding(name, run, error, data))
    return Outcome(counts, findings, slowest)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What runs gave: how many of each reader, what was found, and the processor time of the longest."""

    counts: Counter[str]
    findings: list[Finding]
    slowest_seconds: float


def attempt(name: str, data: bytes, folder: Path) -> str:
    """One run under the limits; what went wrong, or nothing."""
    try:
        with timed():
            exercise(name, data, folder)
    except (Exception, TooLongError) as error:
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return ""


def _corpus(name: str, more: Sequence[bytes], folder: Path) -> list[bytes]:
    """The seeds of a reader, each read once, so that imports are paid before the limits hold."""
    corpus = list(READERS[name].seeds())
    if name in ("sniff", "hwx", "anec", "container"):
        corpus += more
    for data in corpus:
        exercise(name, data, folder)
    return corpus


def run_guided(name: str, runs: int, seed: int) -> None:
    """Runs atheris on one reader; it ends the process at the first finding."""
    import atheris

    corpus = Path("fuzz-corpus") / name
    corpus.mkdir(parents=True, exist_ok=True)
    for i, data in enumerate(READERS[name].seeds()):
        (corpus / f"seed-{i}").write_bytes(data)
    folder = Path(tempfile.mkdtemp())
    options = [f"-runs={runs}", f"-seed={seed}", f"-max_len={LARGEST_INPUT}", "-rss_limit_mb=2048", "-timeout=60"]
    atheris.Setup([sys.argv[0], str(corpus), *options], lambda data: exercise(name, data, folder))
    atheris.Fuzz()


def main() -> int:
    """Reads the arguments and runs; the status is 1 when something was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", metavar="READER", help=", ".join(READERS))
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3600, help="begin no run after this time")
    parser.add_argument("--corpus", type=Path, nargs="*", default=[], help=".hwx and .anec files to mutate as well")
    parser.add_argument("--atheris", action="store_true")
    arguments = parser.parse_args()
    unknown = set(arguments.readers) - set(READERS)
    if unknown:
        parser.error(f"no such reader: {', '.join(sorted(unknown))}")
    names = arguments.readers or list(READERS)
    if arguments.atheris:
        run_guided(names[0], arguments.runs, arguments.seed)
        return 0
    more = [path.read_bytes() for path in arguments.corpus]
    outcome = run_random(names, arguments.runs, arguments.seed, arguments.seconds, more)
    for number, finding in enumerate(outcome.findings):
        path = Path(f"finding-{finding.reader}-{arguments.seed}-{finding.run}.bin")
        if number < 50:
            path.write_bytes(finding.data)
            print(f"{finding.reader}, run {finding.run}: {finding.error} -> {path}")
    counts = ", ".join(f"{name} {count}" for name, count in outcome.counts.items())
    print(f"{sum(outcome.counts.values())} runs ({counts})")
    print(f"{len(outcome.findings)} findings, longest run {outcome.slowest_seconds:.2f} s of processor time")
    return int(bool(outcome.findings))


if __name__ == "__main__":
    sys.exit(main())
