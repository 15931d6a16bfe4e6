"""Builds sdist and wheel into dist/, installs the wheel in a clean environment, and works with it as a user would.

    python tools/package.py [--python EXECUTABLE]      (make package)

The wheel is built from the sdist, so that both are proved. The environment stays in build/package, where
`make sbom` describes what the installation brought along.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from environments import clean_environment, install, run

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
ENVIRONMENT = ROOT / "build" / "package"
EXAMPLE = ROOT / "tests" / "e2e" / "package" / "downstream.py"
FORBIDDEN = ("tests/", "shared/", ".venv", "__pycache__", ".pyc", ".hwx")
SOURCES = (".c", ".h")
"""Endings of what the kernels are made of: wheels have them compiled."""
WANTED = ("openane/py.typed", "openane/data/digits.onnx", "openane/viewer/static/page.html")
EXTRAS = "demo,onnx"

USE = """
import sys, openane, pathlib
assert pathlib.Path(openane.__file__).is_relative_to(sys.prefix), openane.__file__
import numpy as np
path = pathlib.Path(openane.__file__).parent / "data" / "digits.onnx"
artifact = openane.compile(path)
image = np.random.default_rng(0).random((1, 1, 28, 28), np.float32)
outputs = openane.run(artifact, {"image": image})
reference = artifact.graph.evaluate({"image": image.astype(float)})
for name, array in outputs.items():
    assert np.abs(array - reference[name]).max() < 0.03, name
text = openane.disassemble(path)
assert openane.assemble(text)
print(f"Python {sys.version.split()[0]}: openane {openane.__version__} compiles and runs")
"""


def build() -> tuple[Path, Path]:
    """The sdist and the wheel built from it, alone in dist/."""
    DIST.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", name, ROOT)
        for old in (*DIST.glob("*.whl"), *DIST.glob("*.tar.gz")):
            old.unlink()
        made = [Path(shutil.move(path, DIST / path.name)) for path in sorted(Path(name).iterdir())]
    (wheel,) = (path for path in made if path.suffix == ".whl")
    (sdist,) = (path for path in made if path.suffix == ".gz")
    return sdist, wheel


def check_contents(sdist: Path, wheel: Path) -> None:
    """What must be in, is; what must not, is not."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    missing = [name for name in WANTED if name not in names]
    extra = [name for name in names if name.endswith(SOURCES) or any(part in name for part in FORBIDDEN)]
    kernels = [name for name in names if name.startswith("openane/sim/kernels/engine.")]
    assert len(kernels) == 1, f"the wheel has {kernels} for kernels"
    assert not missing and not extra, f"the wheel lacks {missing} and has {extra}"
    with tarfile.open(sdist) as archive_file:
        members = archive_file.getnames()
    inner = [name.partition("/")[2] for name in members]
    assert {"pyproject.toml", "LICENSE", "README.md", "tests/conftest.py"} <= set(inner), "the sdist is not whole"
    large = [name for name in inner if name.startswith((".venv", "build/", "site/", "shared/", ".git/"))]
    assert not large, f"the sdist has {large[:3]}"


def check_types(python: Path, cache: Path) -> None:
    """A strictly typed program that uses the installed package, seen through mypy.

    Args:
        python: of the environment with the package; mypy itself is in this one.
        cache: folder for what mypy keeps.
    """
    folder = cache.parent / "typed"
    folder.mkdir(parents=True, exist_ok=True)
    example = shutil.copy(EXAMPLE, folder)
    options = ("--strict", "--config-file=", "--cache-dir", cache, "--python-executable", python)
    run(sys.executable, "-m", "mypy", *options, example, cwd=folder)


def try_out(wheel: Path, python: str) -> str:
    """Installs the wheel with nothing else around and uses it; returns what the use printed."""
    own = clean_environment(python, ENVIRONMENT)
    install(own, [f"{wheel}[{EXTRAS}]"])
    run(own, "-W", "error", "-c", "import openane")
    said = run(own, "-c", USE)
    said += run(own.with_name("openane"), "--version")
    check_types(own, ROOT / "build" / "mypy")
    return f"{said}{EXAMPLE.name} passes mypy --strict against the installed package"


def main() -> None:
    """Builds and tries."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="interpreter to try, this one by default")
    arguments = parser.parse_args()
    try:
        sdist, wheel = build()
        check_contents(sdist, wheel)
        print(f"{sdist.name} {sdist.stat().st_size} bytes, {wheel.name} {wheel.stat().st_size} bytes")
        print(try_out(wheel, arguments.python))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(error.cmd)} failed\n{error.stdout}\n{error.stderr}")


if __name__ == "__main__":
    main()
