"""Builds sdist and wheel, installs the wheel in a clean environment, and works with it as a user would.

    python tools/package.py [--python EXECUTABLE ...]      (make package)

The wheel is built from the sdist, so that both are proved. With several interpreters each gets its own environment.
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

ROOT = Path(__file__).parents[1]
FORBIDDEN = ("tests/", "shared/", ".venv", "__pycache__", ".pyc", ".so", ".hwx")
WANTED = ("openane/py.typed", "openane/data/digits.onnx", "openane/viewer/static/page.html")

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
assert openane.disassemble(path)
print(f"Python {sys.version.split()[0]}: openane {openane.__version__} compiles and runs")
"""


def run(*command: object, cwd: Path) -> None:
    """Runs a command; its failure ends everything."""
    subprocess.run([str(part) for part in command], cwd=cwd, check=True)


def build(folder: Path) -> tuple[Path, Path]:
    """The sdist and the wheel built from it."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


def check_contents(sdist: Path, wheel: Path) -> None:
    """What must be in, is; what must not, is not."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    missing = [name for name in WANTED if name not in names]
    extra = [name for name in names if any(part in name for part in FORBIDDEN)]
    assert not missing and not extra, f"the wheel lacks {missing} and has {extra}"
    with tarfile.open(sdist) as archive_file:
        members = archive_file.getnames()
    inner = [name.partition("/")[2] for name in members]
    assert {"pyproject.toml", "LICENSE", "README.md", "tests/conftest.py"} <= set(inner), "the sdist is not whole"
    large = [name for name in inner if name.startswith((".venv", "site/", "shared/", ".git/"))]
    assert not large, f"the sdist has {large[:3]}"


def try_out(wheel: Path, python: str, folder: Path) -> None:
    """Installs the wheel with nothing else around and uses it."""
    environment = folder / "environment"
    run(python, "-m", "venv", environment, cwd=folder)
    own = environment / ("Scripts" if sys.platform == "win32" else "bin")
    run(own / "python", "-m", "pip", "install", "--quiet", f"{wheel}[onnx]", cwd=folder)
    run(own / "python", "-W", "error", "-c", "import openane", cwd=folder)
    run(own / "python", "-c", USE, cwd=folder)
    run(own / "openane", "--version", cwd=folder)


def main() -> None:
    """Builds once and tries every interpreter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--python", nargs="*", default=[sys.executable], help="interpreters to try, this one by default"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        sdist, wheel = build(Path(name))
        check_contents(sdist, wheel)
        print(f"{sdist.name} {sdist.stat().st_size} bytes, {wheel.name} {wheel.stat().st_size} bytes")
        for number, python in enumerate(arguments.python):
            folder = Path(name) / str(number)
            folder.mkdir()
            found = shutil.which(python)
            assert found, f"there is no {python}"
            try_out(wheel, str(Path(found).absolute()), folder)


if __name__ == "__main__":
    main()
