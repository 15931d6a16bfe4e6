"""What an installation of the package brings with it, as CycloneDX JSON in dist/; the same bytes for the same versions.

    python tools/sbom.py      (make sbom, after make package)

Describes the clean environment that `make package` leaves in build/package, and checks that the description names the
package itself and everything that pyproject.toml asks for.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from environments import run
from package import DIST, ENVIRONMENT, EXTRAS, ROOT

OUTPUT = DIST / "openane.cdx.json"


def describe(python: Path) -> None:
    """Writes the description of an environment."""
    options = ("--output-reproducible", "--short-PURLs", "--mc-type", "library", "--pyproject", ROOT / "pyproject.toml")
    tool = Path(sys.executable).with_name("cyclonedx-py")
    run(tool, "environment", *options, "--output-file", OUTPUT, python)


def required() -> set[str]:
    """Names of what the installation asks for directly."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["optional-dependencies"][extra] for extra in EXTRAS.split(",")]
    return {plain(line) for line in sum(groups, project["dependencies"])}


def plain(requirement: str) -> str:
    """The name in a requirement, spelled as package indices do."""
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def main() -> None:
    """Writes and checks."""
    python = ENVIRONMENT / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        sys.exit("build/package is not there: run `make package` first")
    try:
        describe(python)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(error.cmd)} failed\n{error.stdout}\n{error.stderr}")
    found = json.loads(OUTPUT.read_text())
    components = {plain(each["name"]): each["version"] for each in found["components"]}
    missing = required() - components.keys()
    assert not missing, f"the description lacks {sorted(missing)}"
    assert found["metadata"]["component"]["name"] == "openane", "the description is of something else"
    print(f"{OUTPUT.relative_to(ROOT)}: {len(components)} packages, CycloneDX {found['specVersion']}")


if __name__ == "__main__":
    main()
