"""Throws damaged input at every reader, and keeps count.

    python tools/fuzz_readers.py [READER ...] [--seconds N] [--atheris] [--corpus PATH ...] [--folder fuzz]
    python tools/fuzz_readers.py --report [--folder fuzz]
    python tools/fuzz_readers.py --replay FILE ...

Whatever the bytes, a reader must answer with a value or with an OpenaneError, within its second of processor time and
one GiB of memory; limits of the process enforce both. Readers (tools/fuzz_targets.py) take turns, each in a process of
its own, so that a crash costs one turn and is a finding like any other. Sound inputs are made by rule
(tools/fuzz_inputs.py), found below --corpus, and kept from earlier turns; changes to them (tools/fuzz_changes.py) are
random, or led by coverage with --atheris (needs the package atheris).

The folder holds what adds up over runs: journal.jsonl, a line a turn; corpus/READER/, inputs that reached something
new; findings/READER-PLACE.bin, the smallest input for each place that failed. --replay reads such files again.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path


def _coverage() -> AbstractContextManager[object]:
    """Counts branches of what is imported inside, for guided turns."""
    if "--atheris" not in sys.argv:
        return nullcontext()
    import atheris

    return atheris.instrument_imports(include=["openane"])


with _coverage():
    from fuzz_inputs import collect, files
    from fuzz_journal import Turn, append, read, report
    from fuzz_targets import READERS, exercise

    from openane.formats.sniff import FileKind

LARGEST_INPUT = 1 << 20
LIMIT_BYTES = 1 << 30
"""Of address space beyond what the process has when the runs begin."""
GUIDED_SLOWNESS = 3.0
"""Counting branches takes time; what is too slow in a guided turn is read again without."""
PATIENCE = 3.0
"""In limits of a run: what the limit does not end hangs outside of Python, or waits for ever."""
POLL_SECONDS = 0.1
WARM = 300
"""Inputs that are read before the limits hold."""


class TooLongError(BaseException):
    """A run used up its time; no `except Exception` on the way may catch it."""


# One run -------------------------------------------------------------------------------------------------------------


@contextmanager
def limits() -> Iterator[None]:
    """Bounds the memory of the process for the block, and arms the handler of the time limit."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    handler = signal.signal(signal.SIGPROF, _stop)
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + LIMIT_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.signal(signal.SIGPROF, handler)


def _stop(_: int, __: object) -> None:
    raise TooLongError("too much processor time")


def attempt(name: str, data: bytes, folder: Path, slowness: float = 1.0) -> BaseException | None:
    """One run under the limits; what went wrong, or nothing.

    The limit counts processor time, so that a busy machine, or one that stops the process for a while, makes no
    findings.
    """
    signal.setitimer(signal.ITIMER_PROF, READERS[name].limit_seconds * slowness)
    try:
        try:
            exercise(name, data, folder)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except (Exception, TooLongError) as error:
        return error
    return None


def what(error: BaseException) -> str:
    """An error as one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def place(error: BaseException) -> str:
    """The kind of an error and the innermost line of openane that it came through, fit for a file name."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "openane" in Path(frame.filename).parts]
    where = f"{Path(frames[-1].filename).stem}-{frames[-1].lineno}" if frames else "outside"
    return f"{type(error).__name__}-{where}"


# One turn ------------------------------------------------------------------------------------------------------------

_HEAD = struct.Struct("<QQQd")
"""Runs, bytes of the input that is being read, findings, processor seconds."""


class Board:
    """Memory that a turn shares with the process that watches it; it outlives a crash."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _HEAD.size + LARGEST_INPUT)
        self.runs = self.findings = 0
        self._began = 0.0

    def start(self) -> None:
        """Begins to count processor time."""
        self._began = time.process_time()

    def begin(self, data: bytes) -> None:
        """Says what is read next."""
        self.runs += 1
        used = time.process_time() - self._began
        self._memory[_HEAD.size : _HEAD.size + len(data)] = data
        _HEAD.pack_into(self._memory, 0, self.runs, len(data), self.findings, used)

    def end(self) -> None:
        """Says that all was read."""
        _HEAD.pack_into(self._memory, 0, self.runs, 0, self.findings, time.process_time() - self._began)

    def state(self) -> tuple[int, int, float, bytes]:
        """Runs, findings, processor seconds and the input that is being read, seen from outside."""
        runs, size, findings, seconds = _HEAD.unpack_from(self._memory, 0)
        return runs, findings, seconds, self._memory[_HEAD.size : _HEAD.size + size]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a turn is to do.

    Attributes:
        name: of the reader.
        folder: of journal, corpus and findings.
        seconds: of processor time, after which no run begins.
        runs: after which it ends as well.
        seed: of the changes.
        guided: whether coverage leads the way.
        found: more sound inputs, by kind.
    """

    name: str
    folder: Path
    seconds: float
    runs: int
    seed: str
    guided: bool = False
    found: Mapping[FileKind, Sequence[bytes]] = field(default_factory=dict)

    @property
    def corpus(self) -> Path:
        """Where inputs are kept that reached something new."""
        return self.folder / "corpus" / self.name


def inputs(name: str, found: Mapping[FileKind, Sequence[bytes]], corpus: Path | None = None) -> list[bytes]:
    """What a reader's turns begin with; none where the packages that make its files are missing."""
    seeds = list(READERS[name].seeds())
    if not seeds:
        return []
    kept = [path.read_bytes() for path in sorted(corpus.iterdir())] if corpus and corpus.is_dir() else []
    return [*seeds, *(data for kind in READERS[name].kinds for data in found.get(kind, ())), *kept]


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory where there is one; most readers open files."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def play(plan: Plan, board: Board) -> None:
    """A turn, in the process made for it."""
    warnings.simplefilter("ignore")
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    if not plan.guided:
        os.dup2(silent, 2)
    data = inputs(plan.name, plan.found, plan.corpus)
    with scratch() as folder:
        warm(plan.name, data, folder)
        board.start()
        with limits():
            run = _Run(plan, board, folder)
            for content in data:
                run(content)
            if plan.guided:
                _guide(run, data)
            source = random.Random(f"{plan.seed}/{plan.name}")
            change = READERS[plan.name].change
            for _ in range(plan.runs):
                if run.over():
                    break
                run(change(source.choice(data), source)[:LARGEST_INPUT])
    board.end()


def warm(name: str, data: Sequence[bytes], folder: Path) -> None:
    """Reads inputs once without limits, so that imports are paid before the limits hold."""
    for content in data[:WARM]:
        with suppress(Exception):
            exercise(name, content, folder)


class _Run:
    """Reads one input after the other and keeps those that fail."""

    def __init__(self, plan: Plan, board: Board, folder: Path) -> None:
        self.plan, self.folder, self._board = plan, folder, board
        self._slowness = GUIDED_SLOWNESS if plan.guided else 1.0
        self._end = time.process_time() + plan.seconds
        self._parent = os.getppid()
        self._known: set[str] = set()

    def over(self) -> bool:
        """Whether the time of the turn is used up, or who watches it is gone."""
        return time.process_time() > self._end or os.getppid() != self._parent

    def __call__(self, data: bytes) -> None:
        self._board.begin(data)
        error = attempt(self.plan.name, data, self.folder, self._slowness)
        if error is not None:
            key = place(error)
            self._board.findings += key not in self._known
            self._known.add(key)
            keep_finding(self.plan, key, data, what(error))

    def guided(self, data: bytes) -> None:
        """The same for atheris, which has no limit of processor time."""
        self(data)
        if self.over() or self._board.runs >= self.plan.runs:
            self._board.end()
            shutil.rmtree(self.folder, ignore_errors=True)
            os._exit(0)


def keep_finding(plan: Plan, key: str, data: bytes, text: str) -> None:
    """Writes an input that fails, unless a smaller one for the same place is there."""
    path = plan.folder / "findings" / f"{plan.name}-{key}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.stat().st_size > len(data):
        path.write_bytes(data)
        path.with_suffix(".txt").write_text(text + "\n", errors="replace")


def _guide(run: _Run, data: Sequence[bytes]) -> None:
    """Hands over to atheris, which never comes back."""
    import atheris

    plan = run.plan
    plan.corpus.mkdir(parents=True, exist_ok=True)
    seeds = run.folder / "seeds"
    seeds.mkdir()
    for number, content in enumerate(data):
        (seeds / str(number)).write_bytes(content)
    change = READERS[plan.name].change

    def mutate(content: bytes, limit: int, seed: int) -> bytes:
        source = random.Random(seed)
        changed = change(content, source) if source.random() < 0.6 else atheris.Mutate(content, limit)
        return bytes(changed[:limit])

    signals = ("segv", "bus", "abrt", "ill", "fpe", "int", "term", "xfsz", "usr1", "usr2")
    options = [f"-seed={random.Random(plan.seed).getrandbits(31)}", f"-max_len={LARGEST_INPUT >> 3}", "-len_control=0"]
    options += ["-rss_limit_mb=0", "-reload=0", *(f"-handle_{name}=0" for name in signals)]
    options += ["-timeout=1000000"]  # none of its own: the limits here count; 0 would end the turn at any moment
    atheris.Setup([sys.argv[0], str(plan.corpus), str(seeds), *options], run.guided, custom_mutator=mutate)
    atheris.Fuzz()


# Turns of all readers ------------------------------------------------------------------------------------------------


def watch(plan: Plan) -> Turn:
    """Runs a turn in a process of its own and sees it through, whatever becomes of it."""
    board = Board()
    with tempfile.TemporaryFile() as log:
        child = os.fork()
        if not child:
            status = 1
            try:
                os.dup2(log.fileno(), 2)
                play(plan, board)
                status = 0
            except BaseException:
                with os.fdopen(os.dup(log.fileno()), "w") as stream:  # standard error may be silent by now
                    traceback.print_exc(file=stream)
            finally:
                os._exit(status)
        slowness = GUIDED_SLOWNESS if plan.guided else 1.0
        fate = _fate(child, board, PATIENCE * slowness * READERS[plan.name].limit_seconds + 1.0)
        log.seek(0)
        text = log.read().decode("utf-8", "replace")
    runs, findings, seconds, data = board.state()
    if fate and runs:
        keep_finding(plan, re.sub(r"\W+", "-", fate), data, f"{fate}\n{text[-2000:]}")
        findings += 1
    elif fate:
        print(f"{plan.name}: the turn did not begin: {fate}\n{text[-2000:]}", file=sys.stderr)
    edges = max(map(int, re.findall(r"cov: (\d+)", text)), default=0)
    return Turn(plan.name, plan.guided, runs, round(seconds, 3), findings, _size(plan), edges)


def _size(plan: Plan) -> int:
    return len(inputs(plan.name, plan.found, plan.corpus))


def _fate(child: int, board: Board, patience: float) -> str:
    """Waits for a turn; what ended it early, or nothing.

    Args:
        child: the process.
        board: where it reports what it does.
        patience: seconds in one run, of processor time, or of sleep; time in which the process is stopped or the
            machine is busy does not count.
    """
    before, asleep, used = -1, 0.0, 0.0
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(POLL_SECONDS)
        runs = board.state()[0]
        state, seconds = _condition(child)
        if runs != before or not runs:
            before, asleep, used = runs, 0.0, seconds
        asleep += POLL_SECONDS * (state in ("S", "D"))
        if max(asleep, seconds - used) > patience:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "stuck"
    if os.WIFSIGNALED(status):
        return f"killed by signal {os.WTERMSIG(status)}"
    return f"ended with status {os.WEXITSTATUS(status)}" if os.WEXITSTATUS(status) else ""


def _condition(process: int) -> tuple[str, float]:
    """State (R runs or would, S and D sleep, T is stopped) and processor seconds of a process."""
    try:
        facts = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", 0.0
    return facts[0], (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What runs in this process gave: how many of each reader, and what was found, as text."""

    counts: Counter[str]
    findings: list[str]


def run_here(name: str, runs: int, seed: int, seconds: float) -> Outcome:
    """Reads the sound inputs of a reader and random changes of them in this process; for the tests.

    Args:
        name: of the reader.
        runs: of changed inputs.
        seed: of the changes; the same seed makes the same inputs.
        seconds: of processor time after which no further run begins.
    """
    counts: Counter[str] = Counter()
    findings = []
    with scratch() as folder:
        data = inputs(name, {})
        warm(name, data, folder)
        end = time.process_time() + seconds
        with limits():
            source = random.Random(f"{seed}/{name}")
            changed = (READERS[name].change(source.choice(data), source) for _ in range(runs if data else 0))
            for content in (*data, *changed):
                if time.process_time() > end:
                    break
                error = attempt(name, content, folder)
                counts[name] += 1
                if error is not None:
                    findings.append(what(error))
    return Outcome(counts, findings)


def replay(paths: Sequence[Path]) -> list[str]:
    """Reads files again whose names begin with the reader; a line for each that fails."""
    found = []
    warmed = set()
    with scratch() as folder:
        for path in paths:
            name = path.name.partition("-")[0]
            if name not in warmed:
                warmed.add(name)
                warm(name, inputs(name, {}), folder)
            with limits():
                error = attempt(name, path.read_bytes(), folder)
            if error is not None:
                found.append(f"{path}: {what(error)} ({place(error)})")
    return found


def main() -> int:
    """Reads the arguments and runs; the status is 1 when something was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", metavar="READER", help=", ".join(READERS))
    parser.add_argument("--seconds", type=float, default=600.0, help="begin no turn after this time")
    parser.add_argument("--turn", type=float, default=20.0, help="processor seconds of a turn")
    parser.add_argument("--runs", type=int, default=1 << 60, help="runs of a turn at most")
    parser.add_argument("--seed", default="", help="of the changes; by default the number of the turn")
    parser.add_argument("--corpus", type=Path, nargs="*", default=[], help="files or folders with more sound inputs")
    parser.add_argument("--folder", type=Path, default=Path("fuzz"), help="of journal, corpus and findings")
    parser.add_argument("--atheris", action="store_true", help="let coverage lead the way")
    parser.add_argument("--report", action="store_true", help="print the sums of the journal and end")
    parser.add_argument("--replay", type=Path, nargs="+", default=[], help="read these findings again and end")
    arguments = parser.parse_args()
    unknown = set(arguments.readers) - set(READERS)
    if unknown:
        parser.error(f"no such reader: {', '.join(sorted(unknown))}")
    if arguments.replay:
        found = replay(arguments.replay)
        print("\n".join(found) or "all are answered as they should be")
        return int(bool(found))
    journal = arguments.folder / "journal.jsonl"
    if not arguments.report:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        take_turns(arguments, journal)
    turns = read(journal)
    print(report(turns, READERS))
    return int(any(turn.findings for turn in turns) and not arguments.report)


def take_turns(arguments: argparse.Namespace, journal: Path) -> None:
    """Gives every reader its turns until the time is over."""
    files()
    found = collect(arguments.corpus)
    end = time.monotonic() + arguments.seconds
    number = len(read(journal))
    names = [name for name in arguments.readers or READERS if inputs(name, found)]
    while True:
        for name in names:
            if time.monotonic() > end:
                return
            share = READERS[name].share
            seed = arguments.seed or str(number)
            plan = Plan(name, arguments.folder, arguments.turn * share, arguments.runs, seed, arguments.atheris, found)
            turn = watch(plan)
            append(journal, turn)
            number += 1
            if turn.findings:
                print(f"{name}: {turn.findings} findings in {turn.runs} runs", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
