"""Feeds damaged files to every reader of compiled programs and of assembly text.

    python tools/fuzz_readers.py CORPUS... [--runs N] [--seed N] [--seconds N] [--atheris]

Whatever the bytes, a reader must answer with a value or with an OpenaneError, soon and without large allocations. With
--atheris the runs are guided by coverage (needs the package atheris); without, the corpus is mutated at random.
CORPUS are .hwx and .anec files; their disassemblies are added.
"""

from __future__ import annotations

import argparse
import random
import struct
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path


def _coverage() -> AbstractContextManager[object]:
    """Counts branches of what is imported inside, for a guided run."""
    if "--atheris" not in sys.argv:
        return nullcontext()
    import atheris

    return atheris.instrument_imports(include=["openane"])


with _coverage():
    from openane.analysis.describe import describe
    from openane.analysis.diff import diff_programs
    from openane.core.errors import OpenaneError
    from openane.formats.anec import read_anec, write_anec
    from openane.formats.hwx import read_hwx, write_hwx
    from openane.formats.sniff import FileKind, kind_of_bytes, sniff
    from openane.formats.source import open_source
    from openane.program.patch import Patch, apply_patches
    from openane.targets import load_program
    from openane.targets.assembly import assemble, disassemble, open_container

LARGEST_INPUT = 1 << 20
SLOW_SECONDS = 5.0


def exercise(data: bytes) -> None:
    """Everything that openane does with bytes that may be a compiled program or a text."""
    for use in (_use_sniff, _use_hwx, _use_anec, _use_container, _use_text):
        try:
            use(data)
        except OpenaneError as error:
            assert str(error)


def _use_sniff(data: bytes) -> None:
    if data:
        kind_of_bytes(open_source(data))
    sniff(data)


def _use_hwx(data: bytes) -> None:
    file = read_hwx(data)
    for part in ("segments", "names", "surface_states", "metadata", "symbols"):
        with suppress(OpenaneError):
            getattr(file, part)
    program = load_program(file)
    again = load_program(read_hwx(write_hwx(program)))
    assert again.tasks == program.tasks and again.surfaces == program.surfaces


def _use_anec(data: bytes) -> None:
    program = load_program(read_anec(data))
    assert load_program(read_anec(write_anec(program))).tasks == program.tasks


def _use_container(data: bytes) -> None:
    file = open_container(data)
    if file is None:
        return
    describe(file)
    text = disassemble(file)
    kind = "hwx" if sniff(data) is FileKind.HWX else "anec"
    assert b"".join(assemble(text).file(kind)) == data, "the disassembly does not assemble to the same bytes"
    program = load_program(file)
    assert diff_programs(program, program, (file, file)).same


def _use_text(data: bytes) -> None:
    if len(data) > 1 << 16:
        return
    text = data.decode("utf-8", "replace")
    for line in text.splitlines()[:3]:
        try:
            patch = Patch.parse(line)
        except OpenaneError:
            continue
        apply_patches(load_program(read_anec(data)), [patch])
    assemble(text)


# Mutations ---------------------------------------------------------------------------------------------------------

INTERESTING = (
    0,
    1,
    2,
    3,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x4000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 63,
    (1 << 64) - 1,
)


def mutate(data: bytes, source: random.Random) -> bytes:
    """One to eight random changes, most of them near the start, where headers are."""
    result = bytearray(data)
    for _ in range(source.choice((1, 1, 1, 2, 3, 8))):
        source.choice(_MUTATIONS)(result, source)
        if not result:
            break
    return bytes(result)


def _place(data: bytearray, source: random.Random) -> int:
    limit = len(data) if source.random() < 0.3 else min(len(data), 0x6000)
    return source.randrange(max(limit, 1))


def _flip(data: bytearray, source: random.Random) -> None:
    if data:
        data[_place(data, source)] ^= 1 << source.randrange(8)


def _word(data: bytearray, source: random.Random) -> None:
    at = _place(data, source) & ~3
    code = source.choice(("<I", "<I", "<Q", "<H"))
    value = source.choice(INTERESTING) & (1 << 8 * struct.calcsize(code)) - 1
    packed = struct.pack(code, value)
    data[at : at + len(packed)] = packed[: len(data) - at]


def _truncate(data: bytearray, source: random.Random) -> None:
    del data[_place(data, source) :]


def _copy(data: bytearray, source: random.Random) -> None:
    start, to, size = _place(data, source), _place(data, source), source.choice((4, 8, 40, 0x98))
    data[to : to + size] = data[start : start + size]


def _remove(data: bytearray, source: random.Random) -> None:
    start = _place(data, source)
    del data[start : start + source.choice((1, 2, 4, 8, 64))]


_MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (_flip, _word, _word, _truncate, _copy, _remove)


def load_corpus(paths: Sequence[Path]) -> list[bytes]:
    """The files, and the texts of those that can be disassembled."""
    corpus = []
    for path in paths:
        data = path.read_bytes()
        corpus.append(data)
        container = open_container(data)
        if container is not None:
            corpus.append(disassemble(container).encode())
    return corpus


def run_random(corpus: list[bytes], runs: int, seed: int, seconds: float) -> int:
    """Mutates at random; returns the number of findings."""
    source = random.Random(seed)
    findings = slowest = peak = run = 0
    end = time.monotonic() + seconds
    for run in range(runs):
        if time.monotonic() > end:
            break
        data = mutate(source.choice(corpus), source)
        sample = run % 50 == 0
        if sample:
            tracemalloc.start()
        began = time.perf_counter()
        try:
            exercise(data)
        except Exception as error:
            findings += 1
            name = Path(f"finding-{seed}-{run}.bin")
            name.write_bytes(data)
            print(f"run {run}: {type(error).__name__}: {str(error)[:200]} -> {name}", flush=True)
        slowest = max(slowest, time.perf_counter() - began)
        if sample:
            peak = max(peak, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    print(
        f"{runs} runs, {findings} findings, slowest {slowest:.2f} s, most memory {peak / 1e6:.1f} MB (every 50th run)"
    )
    return findings


def run_guided(corpus: list[bytes], runs: int, seed: int) -> None:
    """Runs atheris, which ends the process at the first finding."""
    import atheris

    folder = Path("fuzz-corpus")
    folder.mkdir(exist_ok=True)
    for i, data in enumerate(corpus):
        (folder / f"seed-{i}").write_bytes(data)
    atheris.Setup(
        [sys.argv[0], str(folder), f"-runs={runs}", f"-seed={seed}", f"-max_len={LARGEST_INPUT}", "-rss_limit_mb=2048"],
        exercise,
    )
    atheris.Fuzz()


def main() -> None:
    """Reads the arguments and runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, nargs="+")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3600, help="stop a random run after this time")
    parser.add_argument("--atheris", action="store_true")
    arguments = parser.parse_args()
    corpus = load_corpus(arguments.corpus)
    if arguments.atheris:
        run_guided(corpus, arguments.runs, arguments.seed)
    elif run_random(corpus, arguments.runs, arguments.seed, arguments.seconds):
        sys.exit(1)


if __name__ == "__main__":
    main()
