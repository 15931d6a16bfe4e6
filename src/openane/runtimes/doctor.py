"""What this machine is, what works on it, and what to do next."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Final

from openane.core.errors import UnavailableError
from openane.runtimes.linux import abi
from openane.runtimes.linux.server import COMPILERS
from openane.runtimes.macos.objc import Bridge, SystemBridge
from openane.runtimes.registry import NAMES, load
from openane.runtimes.runtime import Availability

Read = Callable[[Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class DoctorFinding:
    """One line of the report.

    Attributes:
        area: "machine", "package", "linux", "macos", "tool".
        name: what was looked at.
        value: what was found.
        works: False where something that openane can use is missing; None where there is nothing to judge.
        hint: what to do about it.
    """

    area: str
    name: str
    value: str
    works: bool | None = None
    hint: str = ""


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """Everything the doctor knows.

    Attributes:
        findings: facts about the machine, its packages and drivers.
        runtimes: what each runtime's probe found, by name.
        next_steps: what to do, most useful first.
    """

    findings: tuple[DoctorFinding, ...]
    runtimes: dict[str, Availability]
    next_steps: tuple[str, ...]


PACKAGES: Final = {
    "numpy": ("arrays", ""),
    "onnx": ("reading .onnx", "onnx"),
    "onnxruntime": ("host steps and the demo", "demo"),
    "coremltools": ("reading Core ML models", "coreml"),
    "torch": ("reading .pt2", "torch"),
    "keras": ("reading .keras", "keras"),
}
"""Package -> what openane uses it for, and the extra that installs it (empty: always needed)."""

FRAMEWORKS: Final = {
    "AppleNeuralEngine": "loads and runs models",
    "ANECompiler": "Apple's compiler, for comparison",
    "Espresso": "net.plist capture and e5rt",
    "IOSurface": "tensors in shared memory",
    "CoreML": "compiles models",
}

MACOS_REMARKS: Final = (
    ((0, 0), "net.plist 1.0.9; programs number outputs first; unmodified anecc accepts programs of these versions"),
    ((14, 0), "programs number inputs first, which unmodified anecc handles incorrectly; compute plans are available"),
    ((26, 0), "compact tasks; e5rt's async_submit is called submit_async"),
    ((26, 6), "even root cannot read the cache of compiled models: capture with Espresso's dump or the compiler"),
)
"""(first version, what matters from it on), oldest first; from published reports."""

ENTITLEMENTS: Final = (
    "com.apple.ane.iokit-user-access",
    "com.apple.aned.private.allow",
)
"""What Apple's own clients hold; a process without them is refused with 0xe00002c7 on the direct paths."""


def examine(
    system: str | None = None,
    read: Read | None = None,
    bridge: Callable[[], Bridge] = SystemBridge,
    version_of: Callable[[str], str] = metadata.version,
) -> DoctorReport:
    """Looks at the machine; changes nothing, loads no model, and never raises.

    Args:
        system: `platform.system()`; tests pass another.
        read: output of a command, empty when it cannot be run.
        bridge: to macOS.
        version_of: version of an installed package; raises PackageNotFoundError.
    """
    system = platform.system() if system is None else system
    read = read or _output
    findings = [*_machine(system, read), *_packages(version_of), _compiler()]
    if system == "Darwin":
        findings += _macos(read, bridge)
    if system == "Linux":
        findings += _linux()
    runtimes = {name: load(name).probe() for name in NAMES}
    return DoctorReport(tuple(findings), runtimes, _next_steps(findings, runtimes))


def macos_remarks(version: str) -> tuple[str, ...]:
    """What is known to matter about a macOS version ("14.5"), oldest first; empty when it is not a version."""
    try:
        numbers = tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        return ()
    return tuple(text for first, text in MACOS_REMARKS if numbers >= first)


def _machine(system: str, read: Read) -> list[DoctorFinding]:
    facts = {
        "system": f"{system} {platform.release()}",
        "processor": platform.machine(),
        "cores": str(os.cpu_count() or "unknown"),
        "python": platform.python_version(),
    }
    if system == "Darwin":
        facts |= {
            "macOS": platform.mac_ver()[0] or read(("sw_vers", "-productVersion")),
            "build": read(("sysctl", "-n", "kern.osversion")),
            "chip": read(("sysctl", "-n", "machdep.cpu.brand_string")),
            "model": read(("sysctl", "-n", "hw.model")),
        }
    return [DoctorFinding("machine", name, value or "unknown") for name, value in facts.items()]


def _packages(version_of: Callable[[str], str]) -> list[DoctorFinding]:
    findings = []
    for name, (purpose, extra) in PACKAGES.items():
        try:
            findings.append(DoctorFinding("package", name, version_of(name), True, ""))
        except metadata.PackageNotFoundError:
            install = f"pip install 'openane[{extra}]'" if extra else f"pip install {name}"
            findings.append(DoctorFinding("package", name, "not installed", False, f"For {purpose}: {install}"))
    return findings


def _compiler() -> DoctorFinding:
    found = next(filter(None, map(shutil.which, COMPILERS)), "")
    hint = "" if found else "Needed by `openane emulate`; Debian: apt install gcc."
    return DoctorFinding("tool", "C compiler", found or "none", bool(found), hint)


def _linux() -> list[DoctorFinding]:
    calls = ", ".join(f"{name} {number:#x}" for number, name in sorted(abi.REQUEST_NAMES.items()))
    return [
        DoctorFinding("linux", "driver interface", calls),
        DoctorFinding("linux", "devices the driver binds to", ", ".join(abi.COMPATIBLE)),
    ]


def _macos(read: Read, bridge: Callable[[], Bridge]) -> list[DoctorFinding]:
    findings = [_framework(name, purpose, bridge) for name, purpose in FRAMEWORKS.items()]
    protection = read(("csrutil", "status")) or "unknown"
    findings.append(
        DoctorFinding(
            "macos",
            "system integrity protection",
            protection,
            None,
            "Programs that Apple did not compile load only if signature checks are disabled (status 0xe00002e2 "
            "otherwise). Do not disable them on a machine that you depend on.",
        )
    )
    findings.append(
        DoctorFinding(
            "macos",
            "entitlements",
            "none requested",
            None,
            f"Direct access needs {' or '.join(ENTITLEMENTS)} (status 0xe00002c7 otherwise); the paths through "
            "aned and e5rt need none for models that Apple's compiler accepts.",
        )
    )
    version = platform.mac_ver()[0] or read(("sw_vers", "-productVersion"))
    findings += [DoctorFinding("macos", f"macOS {version}", remark) for remark in macos_remarks(version)]
    return findings


def _framework(name: str, purpose: str, bridge: Callable[[], Bridge]) -> DoctorFinding:
    try:
        bridge().load(name)
    except UnavailableError as error:
        return DoctorFinding("macos", name, "missing", False, f"Needed because it {purpose}. {error.diagnostic.hint}")
    return DoctorFinding("macos", name, f"present; {purpose}", True)


def _next_steps(findings: Sequence[DoctorFinding], runtimes: dict[str, Availability]) -> tuple[str, ...]:
    steps = [f"Install {finding.name}: {finding.hint}" for finding in findings if _is_essential(finding)]
    devices = [name for name, found in runtimes.items() if name != "simulator" and found.available]
    if devices:
        steps.append(f"Check the device against the simulator: openane verify-device --on {devices[0]} -o result.json")
    else:
        steps.append("Run models with --on simulator; it executes the same program bytes on every machine.")
    system = platform.system().lower().replace("darwin", "macos")
    steps += [
        f"To use the device ({name}): {found.hint}"
        for name, found in runtimes.items()
        if name == system and not found.available and found.hint
    ]
    return tuple(steps)


def _is_essential(finding: DoctorFinding) -> bool:
    return finding.area == "package" and finding.works is False and not PACKAGES[finding.name][1]


def _output(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(list(command), capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
