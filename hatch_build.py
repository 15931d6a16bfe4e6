"""Builds the kernels of the simulator into the package: for an editable installation, a wheel, or by hand.

    python hatch_build.py                       for this machine
    python hatch_build.py --platform macos-arm64

Each instruction set is a compilation of the same source; the library chooses when it is loaded. The compiler is Zig's
C compiler, a package on PyPI, and cross-compiles for every platform.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # by hand, without the build system
    BuildHookInterface = object  # type: ignore[assignment,misc]

FOLDER = Path(__file__).parent / "src" / "openane" / "sim" / "kernels"
FLAGS = (
    "-O3", "-g0", "-std=c11", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror",
    "-fwrapv", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-ffreestanding",
)  # fmt: skip
"""Integers wrap, and no rounding is moved or left out."""


class Platform(NamedTuple):
    """What a library is built for.

    Attributes:
        target: as the compiler names it.
        sets: name of each instruction set in the source, and processor.
        library: file name.
        tag: of the wheel.
        link: options of the linker. Nothing of a C library is used but `memcpy`, `memset` and `sched_yield`, which
            the process of Python has: the library depends on no version of one.
    """

    target: str
    sets: dict[str, str]
    library: str
    tag: str
    link: tuple[str, ...] = ("-nostdlib",)


_X86 = {"base": "x86_64_v2", "v3": "x86_64_v3", "v4": "x86_64_v4"}
_ARM = {"base": "generic"}
PLATFORMS = {
    "linux-x86_64": Platform("x86_64-linux", _X86, "engine.so", "manylinux_2_28_x86_64"),
    "linux-arm64": Platform("aarch64-linux", _ARM, "engine.so", "manylinux_2_28_aarch64"),
    "macos-arm64": Platform("aarch64-macos.12.0", {"base": "apple_m1"}, "engine.dylib", "macosx_12_0_arm64", ()),
    "macos-x86_64": Platform("x86_64-macos.12.0", _X86, "engine.dylib", "macosx_12_0_x86_64", ()),
    "windows-x86_64": Platform("x86_64-windows-gnu", _X86, "engine.dll", "win_amd64", ("-lkernel32",)),
}


def this_platform() -> str:
    """The platform that Python runs on."""
    system = {"darwin": "macos", "win32": "windows"}.get(sys.platform, "linux")
    machine = {"amd64": "x86_64", "x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
    name = f"{system}-{machine.get(platform.machine().lower(), platform.machine())}"
    if name not in PLATFORMS:
        raise SystemExit(f"the kernels are not built for {name}; there are {', '.join(PLATFORMS)}")
    return name


def digest() -> str:
    """Of the sources."""
    found = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.[ch]")):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def build(name: str) -> Path:
    """Compiles the library for a platform into the package, unless it is there, and returns its path."""
    chosen, path = PLATFORMS[name], FOLDER / PLATFORMS[name].library
    script = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    mark = f"kernels {name} {script} {digest()}"
    if path.exists() and mark.encode() in path.read_bytes():
        return path
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", chosen.target]

    def compile_one(job: tuple[str, ...]) -> None:
        subprocess.run([*compiler, *FLAGS, *job], check=True, cwd=FOLDER)

    with tempfile.TemporaryDirectory() as folder:
        objects = {name: str(Path(folder, f"{name}.o")) for name in (*chosen.sets, "run")}
        jobs = [
            (f"-mcpu={cpu}", "-mprefer-vector-width=512", f"-DISA={isa}", "-c", "engine.c", "-o", objects[isa])
            for isa, cpu in chosen.sets.items()
        ]
        jobs.append((f"-mcpu={chosen.sets['base']}", f'-DSOURCES="{mark}"', "-c", "run.c", "-o", objects["run"]))
        with ThreadPoolExecutor() as pool:
            list(pool.map(compile_one, jobs))
        made = Path(folder, chosen.library)
        subprocess.run([*compiler, "-shared", "-s", *chosen.link, *objects.values(), "-o", made], check=True)
        for old in FOLDER.glob("engine.[!ch]*"):
            old.unlink()
        path.write_bytes(made.read_bytes())
    return path


class CustomBuildHook(BuildHookInterface):
    """What hatchling calls; the environment variable OPENANE_PLATFORM chooses another platform (tools/wheels.py)."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds the library and puts it into the wheel."""
        name = os.environ.get("OPENANE_PLATFORM") or this_platform()
        path = build(name)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{PLATFORMS[name].tag}"
        build_data["artifacts"].append(path.relative_to(self.root).as_posix())


def main() -> None:
    """Builds by hand."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--platform", choices=sorted(PLATFORMS), default=this_platform())
    print(build(parser.parse_args().platform))


if __name__ == "__main__":
    main()
