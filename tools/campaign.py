"""Random networks through every level and through onnxruntime, on the same inputs.

    python tools/campaign.py --seconds 600 --journal campaign.jsonl     new cases (make campaign)
    python tools/campaign.py --share                                    the cases of every change (make share)
    python tools/campaign.py --seed 1234                                one case, reported in full
    python tools/campaign.py --network case.json                        a case from a file
    python tools/campaign.py --report --journal campaign.jsonl          what a journal holds
    python tools/campaign.py --everyday 20000                           networks of everyday sizes, in every dialect

A case is made from its number alone. The reference in double precision, the passes, the net of units, onnxruntime, the
model written as ONNX and read again, and the simulator are compared. A failing case is shrunk by hypothesis and kept in
the journal, one line of JSON a case; the journal also says where the next run goes on. See docs/campaign.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
from pathlib import Path

from differential import everyday, journal
from differential.network import Network, parse
from differential.page import page
from differential.report import report, tell
from differential.running import SHARE_CASES, run, timed
from differential.strategy import make

from openane import __version__

SHARE_SECONDS = 300.0
"""Time for these, on all cores; what a slow machine does not reach is reported."""


def main() -> int:
    """Runs the campaign; the status is 1 when something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="60, or 300 for the share")
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--start", type=int, help="first case of a new journal; by itself the commit decides")
    parser.add_argument("--share", action="store_true", help=f"cases 0 to {SHARE_CASES - 1}; without a journal")
    parser.add_argument("--seed", type=int, help="run this case only")
    parser.add_argument("--network", type=Path, help="run the network of this file only")
    parser.add_argument("--report", action="store_true", help="run nothing, tell what the journal holds")
    parser.add_argument("--everyday", type=int, metavar="CASES", help="compile this many, run one in fifty")
    parser.add_argument("--page", type=Path, help="as --report, written as a page of the docs")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _one(make(arguments.seed)[0])
    if arguments.network is not None:
        data = json.loads(arguments.network.read_text())
        return _one(parse(data.get("network", data)))
    if arguments.everyday is not None:
        count = everyday.run(arguments.start or 0, arguments.everyday, seconds=arguments.seconds)
        print("\n".join(count.lines()))
        return int(bool(count.rejected or count.failed))
    if arguments.page is not None:
        if arguments.journal is None:
            parser.error("a page needs --journal")
        arguments.page.write_text("\n".join(page(journal.read(arguments.journal))) + "\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.journal or Path(folder) / "campaign.jsonl"
        if arguments.share:
            path = Path(folder) / "share.jsonl"
            seconds = arguments.seconds or SHARE_SECONDS
            _run(path, 0, seconds, arguments.jobs, SHARE_CASES)
            done = sum(1 for _ in journal.read(path))
            print(f"share: {done:,} of {SHARE_CASES:,} cases in at most {seconds:g} s")
            if not done:
                return 1
        elif not arguments.report:
            first = min((int(line["seed"]) for line in journal.read(path)), default=None)
            start = first if arguments.start is None else arguments.start
            _run(path, fresh() if start is None else start, arguments.seconds or 60.0, arguments.jobs, None)
        failures = 0
        for text, failed in report(journal.read(path)):
            failures += failed
            print(text)
    return int(failures > 0)


def _run(path: Path, start: int, seconds: float, jobs: int, count: int | None) -> None:
    for line in run(path, start, seconds, jobs, count):
        print(line)


def fresh() -> int:
    """The first case of a new journal: the commit decides, so that a campaign for each commit keeps finding faults.

    Outside of a repository the version does. No such case is one of the share.
    """
    command = ["git", "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return SHARE_CASES + int.from_bytes(__version__.encode()[:5])
    return SHARE_CASES + int(done.stdout.strip()[:9], 16)


def _one(network: Network) -> int:
    verdict = timed(network)
    print("\n".join(tell(network)))
    print(f"{verdict.result} {verdict.detail}")
    print(f"onnxruntime: {verdict.onnxruntime}; refusals: {', '.join(verdict.refusals) or 'none'}")
    print(f"largest error {verdict.error:.3g} of the largest value, {verdict.margin:.3g} of the tolerance")
    print(json.dumps(network.json()))
    return int(verdict.failed)


if __name__ == "__main__":
    sys.exit(main())
