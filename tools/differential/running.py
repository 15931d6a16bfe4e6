"""Cases one after another on several processes, each with a limit of time; a process that dies is a finding too."""

from __future__ import annotations

import multiprocessing
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from differential import journal
from differential.coverage import Reached
from differential.levels import Verdict, judge
from differential.network import Network
from differential.shrinking import shrink
from differential.strategy import make

CASE_SECONDS = 90.0
"""Processor time of one case; what takes longer has failed."""
ALIKE = 2
"""Failures of one kind that are shrunk, for each process; the others are only noted."""
SHARE_CASES = 2000
"""The cases from 0 on that every change is judged by: some ten minutes of one processor. All of them pass."""
Line = dict[str, Any]


class TooLongError(Exception):
    """A case used up its processor time."""


def _too_long(number: int, frame: object) -> None:
    raise TooLongError(f"more than {CASE_SECONDS:g} s of processor time")


def timed(network: Network) -> Verdict:
    """`judge` within the limit of processor time."""
    signal.signal(signal.SIGPROF, _too_long)
    signal.setitimer(signal.ITIMER_PROF, CASE_SECONDS)
    try:
        return judge(network)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


class Runner:
    """Runs cases in one process; remembers what is covered and which failures are known."""

    def __init__(self) -> None:
        self.reached = Reached()
        self.alike: Counter[str] = Counter()

    def case(self, seed: int) -> Line:
        """One case as a line of the journal."""
        start = time.process_time()
        network, choices = make(seed)
        verdict = timed(network)
        line: Line = {
            "seed": seed,
            "result": verdict.result,
            "seconds": round(time.process_time() - start, 2),
            "operations": sorted({type(step.operation).__name__ for step in network.steps}),
            "units": dict(verdict.reached.units),
            "tasks": dict(verdict.reached.tasks),
            "tables": dict(verdict.reached.tables),
            "fields": self.reached.new(verdict.reached),
            "programs": verdict.reached.programs,
            "refusals": verdict.refusals,
            "onnxruntime": verdict.onnxruntime,
            "error": round(verdict.error, 6),
            "margin": round(min(verdict.margin, 1e9), 4),
        }
        if verdict.failed:
            line["detail"] = verdict.detail
            self.alike[kind(verdict)] += 1
            if self.alike[kind(verdict)] <= ALIKE and not verdict.result.startswith(TooLongError.__name__):
                network = shrink(network, choices, lambda candidate: kind(timed(candidate)) == kind(verdict))
                line["shrunk"] = timed(network).detail
            line["network"] = network.json()
        return line


def kind(verdict: Verdict) -> str:
    """Failures of one kind: the result, and of an error that escaped its words without the numbers."""
    if not verdict.failed:
        return ""
    words = re.sub(r"[\d.]+|'[^']*'", "", verdict.detail)[:60] if "escaped" in verdict.result else ""
    return f"{verdict.result} {words}"


def work(path: Path, take: Callable[[], int | None], current: Any, index: int, end: float) -> None:
    """What one process does: cases until the time is up, none is left, or the process that began it is gone."""
    parent = multiprocessing.parent_process()
    runner = Runner()
    current[index] = 0
    judge(make(0)[0])  # the simulator is compiled on its first use, which is not the time of a case
    while time.time() < end and (parent is None or parent.is_alive()):
        seed = take()
        if seed is None:
            break
        current[index] = seed
        journal.append(path, runner.case(seed))
    current[index] = -1


class Numbers:
    """The numbers of the next cases, shared by processes; those that a killed run left out come first.

    Args:
        path: of the journal.
        start: first case of the journal.
        count: cases from there on; None for no end.
        context: of the processes.
    """

    def __init__(self, path: Path, start: int, count: int | None, context: Any) -> None:
        self.end = None if count is None else start + count
        done = {int(line["seed"]) for line in journal.read(path)}
        self.next = context.Value("q", max((seed + 1 for seed in done if seed >= start), default=start))
        missing = [seed for seed in islice(journal.unfinished(path, start), 1000) if seed < self.next.value]
        self.missing = context.Array("q", missing or [-1])
        self.left = context.Value("q", len(missing))

    def __call__(self) -> int | None:
        """The next number; None when all are taken."""
        with self.next.get_lock():
            if self.left.value > 0:
                self.left.value -= 1
                return int(self.missing[self.left.value])
            if self.next.value == self.end:
                return None
            self.next.value += 1
            return int(self.next.value) - 1


def run(path: Path, start: int, seconds: float, jobs: int, count: int | None = None) -> Iterator[str]:
    """Runs cases and writes them to the journal, for a time or until so many are done.

    Yields:
        What happens to the processes.
    """
    context = multiprocessing.get_context("spawn")
    numbers, current = Numbers(path, start, count, context), context.Array("q", [-1] * jobs)
    end = time.time() + seconds

    def begin(index: int) -> Any:
        process = context.Process(target=work, args=(path, numbers, current, index, end))
        process.start()
        return process

    processes = [begin(index) for index in range(jobs)]
    while any(process.is_alive() for process in processes):
        time.sleep(0.5)
        for index, process in enumerate(processes):
            if process.exitcode and current[index] >= 0:
                seed = int(current[index])
                result, detail = "the process died", f"exit status {process.exitcode}"
                journal.append(path, {"seed": seed, "result": result, "detail": detail})
                yield f"case {seed}: {result}, {detail}"
                current[index] = -1
                if time.time() < end:
                    processes[index] = begin(index)
