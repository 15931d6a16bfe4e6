"""Runs programs on a Mac through Apple's private frameworks. Untested on hardware.

Calls and their order are those of published projects (see docs/runtimes.md); tests replay them against a recorded
fake. Whether a given macOS version still accepts them can only be found out on a Mac; every refusal is reported in
the system's own words.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from openane.core.errors import OpenaneError, UnavailableError
from openane.formats.hwx import write_hwx
from openane.program import Program
from openane.runtimes.macos.models import ClientModel
from openane.runtimes.macos.objc import Bridge, SystemBridge
from openane.runtimes.macos.request import MacosSession
from openane.runtimes.runtime import Availability, SessionOptions
from openane.targets import attach

FRAMEWORK: Final = "AppleNeuralEngine"
UNTESTED: Final = "untested on hardware"


class _FolderModel(ClientModel):
    """A model whose folder goes with it."""

    def __init__(self, bridge: Bridge, program: Program) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="openane-", suffix=".mlmodelc")
        folder = Path(self._temporary.name)
        try:
            (folder / "model.hwx").write_bytes(write_hwx(attach(program)))
            super().__init__(bridge, folder)
        except BaseException:
            self._temporary.cleanup()
            raise

    def unload(self) -> None:
        super().unload()
        self._temporary.cleanup()


class MacosRuntime:
    """The runtime for Macs with a neural engine.

    Args:
        bridge: makes the connection to the system; tests put a fake here.
        system: `platform.system()`.
        machine: `platform.machine()`.
    """

    name = "macos"

    def __init__(
        self, bridge: Callable[[], Bridge] = SystemBridge, system: str | None = None, machine: str | None = None
    ) -> None:
        self._bridge = bridge
        self._system = platform.system() if system is None else system
        self._machine = platform.machine() if machine is None else machine

    def probe(self) -> Availability:
        """Looks for an Apple chip and the framework; loads nothing else."""
        if self._system != "Darwin":
            return Availability(False, f"this is {self._system}, not macOS", "Use --on simulator.")
        if self._machine != "arm64":
            return Availability(False, f"this Mac has no neural engine ({self._machine})", "Use --on simulator.")
        try:
            self._bridge().load(FRAMEWORK)
        except UnavailableError as error:
            return Availability(False, error.diagnostic.what, error.diagnostic.hint)
        return Availability(
            True,
            f"the framework {FRAMEWORK} is here ({UNTESTED})",
            "Loading programs that Apple did not compile may need entitlements; see `openane doctor`.",
            {"framework": FRAMEWORK},
        )

    def open(self, program: Program, options: SessionOptions | None = None) -> MacosSession:
        """Writes the program as model.hwx and loads it through aned.

        Raises:
            UnavailableError: this is not a such Mac, or the process lacks what the system asks for.
            FaultError: the system refused the program.
        """
        found = self.probe()
        if not found.available:
            raise UnavailableError(found.reason, where="runtime macos", hint=found.hint)
        bridge = self._bridge()
        bridge.load(FRAMEWORK)
        try:
            return MacosSession(bridge, program, _FolderModel(bridge, program))
        except OpenaneError as error:
            raise error.at(f"runtime macos ({UNTESTED})") from error


def runtime() -> MacosRuntime:
    """The runtime for this machine."""
    return MacosRuntime()
