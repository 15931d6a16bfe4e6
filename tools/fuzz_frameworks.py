"""Makes hostile files out of sound ones and watches what the frameworks do with them.

    python tools/fuzz_frameworks.py torch MODEL.pt2... --seconds 600
    python tools/fuzz_frameworks.py keras MODEL.keras... --seconds 600
    python tools/fuzz_frameworks.py hdf5 MODEL.h5... --seconds 600
    python tools/fuzz_frameworks.py saved FOLDER... --seconds 600

Text is planted at every position of the JSON of .pt2 and .keras files; HDF5 files and SavedModels are changed in their
structure (`fuzz_containers.py`). An audit hook of the interpreter looks at everything that is compiled, executed,
imported, unpickled, started or opened for writing. A finding is a planted text in one of these, a file of its name, a
process or a pickle at all, and whatever is not an error of openane.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fuzz_containers import CANARY, hdf5_cases, saved_cases

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.json_positions import planted, positions  # of the tests

PAYLOADS = (
    f"__import__('os').mkdir('{CANARY}')",
    f'x"); {CANARY} = 1 #',
    f"x\n{CANARY}()",
    f"x; {CANARY}()",
    f"__{CANARY}__",
    f"../{CANARY}",
    f"/tmp/{CANARY}/x",
    f"[{CANARY} for _ in (1,)]",
    f"{{{CANARY}}}",
    f"torch.os.{CANARY}()",
    f"\\u0022{CANARY}",
    {"as_expr": {"expr_str": f"{CANARY}()", "hint": {"as_int": 1}}},
    {"class_name": "__lambda__", "config": {"code": CANARY, "defaults": None, "closure": None}},
    {"class_name": "function", "module": "builtins", "config": CANARY, "registered_name": "function"},
    {"class_name": CANARY, "module": "os", "config": {}, "registered_name": f"a>{CANARY}"},
    None, -1, 1 << 70, 1e400, True, [], {},
)  # fmt: skip
STARTED = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "os.fork", "pickle.find_class")
WATCHED = (
    "compile",
    "exec",
    "import",
    "open",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "shutil.copyfile",
    "ctypes.dlopen",
)


class Watch:
    """Notes what the interpreter does while a file is read."""

    def __init__(self) -> None:
        self.on = False
        self.found: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if (event.startswith(STARTED) and not _is_ours(event, arguments)) or (
            event in WATCHED and CANARY in repr(arguments)
        ):
            self.found.append(f"{event} {arguments!r}"[:300])


def _is_ours(event: str, arguments: tuple[Any, ...]) -> bool:
    """The process that walks through HDF5 files."""
    text = repr(arguments)
    return event != "pickle.find_class" and ("openane.frontends.keras.walk" in text or event == "os.fork")


def archive_cases(files: list[Path], seed: int, target: Path) -> Iterator[str]:
    """Writes archives with one payload each to a path, in an order of the seed; gives where the payload is."""
    generator = random.Random(seed)
    tables = []
    for path in files:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        for name, data in members.items():
            if name.endswith(".json"):
                decoded = json.loads(data)
                tables.append((members, name, decoded, list(positions(decoded))))
    while True:
        members, name, decoded, places = generator.choice(tables)
        place = generator.choice(places)
        changed = planted(decoded, place, generator.choice(PAYLOADS))
        with zipfile.ZipFile(target, "w") as archive:
            for each, data in {**members, name: json.dumps(changed).encode()}.items():
                archive.writestr(each, data)
        yield f"{name}: {place}"


FRAMEWORKS = {
    "torch": (".pt2", archive_cases),
    "keras": (".keras", archive_cases),
    "hdf5": (".h5", hdf5_cases),
    "saved": ("", saved_cases),
}
"""Ending of a file and what makes hostile ones."""


def main() -> None:
    """Runs the campaign and prints its counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("framework", choices=FRAMEWORKS)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import openane
    from openane.core.errors import OpenaneError

    ending, cases = FRAMEWORKS[options.framework]
    watch, counts, findings = Watch(), Counter[str](), 0
    for path in options.files:
        openane.load(path)  # imports what will be needed
    sys.addaudithook(watch)
    files = [each.resolve() for each in options.files]
    stop = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        path = Path(f"case{ending}")
        for what in cases(files, options.seed, path):
            watch.found.clear()
            watch.on = True
            try:
                openane.load(path)
                outcome = "read"
            except OpenaneError as error:
                outcome = type(error).__name__
            except Exception as error:
                outcome = f"FINDING {type(error).__name__}: {error}"[:200]
            watch.on = False
            watch.found += [f"a file {each}" for each in Path().glob(f"*{CANARY}*")]
            if watch.found or outcome.startswith("FINDING"):
                findings += 1
                print(outcome, what, watch.found[:3], flush=True)
                kept = Path(tempfile.gettempdir(), f"finding-{findings}{ending}")
                (shutil.copytree if path.is_dir() else shutil.copy)(path, kept)
                for each in Path().glob(f"*{CANARY}*"):
                    each.unlink()
            counts[outcome if not outcome.startswith("FINDING") else "FINDING"] += 1
            if time.monotonic() > stop:
                break
    print(f"{sum(counts.values())} files, {findings} findings: {dict(counts)}")


if __name__ == "__main__":
    main()
