"""Capturing what Apple's compiler makes of a Core ML model: net.plist, weights and model.hwx.

Several published ways are tried in turn, because each macOS version closes some of them; every step says what it
gave or why it failed, and a failed step does not stop the others.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from importlib import resources
from pathlib import Path
from typing import Final

from openane.core.errors import FaultError, InputError, OpenaneError, UnavailableError
from openane.core.files import write_atomically
from openane.runtimes.macos.compiler import OUTPUT_NAME, compile_network
from openane.runtimes.macos.espresso import dump_network
from openane.runtimes.macos.foundation import Attempt, to_object
from openane.runtimes.macos.objc import Bridge, autorelease_pool
from openane.targets.registry import DEFAULT_TARGET

CACHE_FOLDERS: Final = (
    Path("/Library/Caches/com.apple.aned"),
    Path("~/Library/Caches/com.apple.aned").expanduser(),
)
"""Where aned keeps compiled models, in ModelAssetsCache and InMemoryModelCache; closed since macOS 26.6."""
MODEL_SUFFIXES: Final = (".mlmodel", ".mlpackage", ".mlmodelc")
NEURAL_ENGINE_AND_CPU: Final = 3
"""MLComputeUnits that let Core ML use the engine."""
COMPILE_SECONDS: Final = 600


class CaptureOutcome(Enum):
    """How a step ended."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class CaptureStep:
    """One step of a capture.

    Attributes:
        name: what was tried.
        outcome: how it ended.
        message: why it failed or was skipped; empty when it is done.
        files: what it wrote.
    """

    name: str
    outcome: CaptureOutcome
    message: str = ""
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Capture:
    """What to capture, and how to reach the system.

    Attributes:
        bridge: to the frameworks.
        model: .mlmodel, .mlpackage or .mlmodelc.
        folder: where everything goes; made when missing.
        architecture: chip that Apple's compiler is asked for.
        run: runs a command and returns (status, what it printed).
        caches: folders to search for compiled models.
        now: the clock.
    """

    bridge: Bridge
    model: Path
    folder: Path
    architecture: str = DEFAULT_TARGET
    run: Callable[[Sequence[str]], tuple[int, str]] = field(default_factory=lambda: run_command)
    caches: tuple[Path, ...] = CACHE_FOLDERS
    now: Callable[[], float] = time.time

    def steps(self) -> Iterator[CaptureStep]:
        """Captures step by step.

        Raises:
            InputError: the model is missing or no Core ML model, or the folder cannot be made.
        """
        check_model(self.model)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder: {error.strerror}", where=str(self.folder)) from error
        yield self._attempt("lldb script for a capture by hand", self._write_script)
        compiled = yield from self._compiled_model()
        if compiled is None:
            return
        yield self._attempt("net.plist by Espresso", lambda: dump_network(self.bridge, compiled, self.folder))
        network = next((path for path in (self.folder / "net.plist", compiled / "model.mil") if path.is_file()), None)
        if network is None:
            yield CaptureStep(
                "model.hwx by Apple's compiler", CaptureOutcome.SKIPPED, "there is no net.plist and no model.mil"
            )
        else:
            yield self._attempt(
                "model.hwx by Apple's compiler",
                lambda: (compile_network(self.bridge, network, self.folder / "apple", self.architecture),),
            )
        yield self._attempt("model.hwx from aned's cache", lambda: self._from_cache(compiled))

    def _attempt(self, name: str, action: Callable[[], tuple[Path, ...]]) -> CaptureStep:
        try:
            return CaptureStep(name, CaptureOutcome.DONE, files=action())
        except (OpenaneError, OSError) as error:
            return CaptureStep(name, CaptureOutcome.FAILED, str(error))

    def _compiled_model(self) -> Generator[CaptureStep, None, Path | None]:
        """Yields the step that compiles the model and returns the compiled form, None when that failed."""
        if self.model.suffix == ".mlmodelc":
            return self.model
        step = self._attempt("compiling the model with coremlcompiler", self._compile)
        yield step
        return step.files[0] if step.files else None

    def _compile(self) -> tuple[Path, ...]:
        command = ("xcrun", "coremlcompiler", "compile", str(self.model), str(self.folder))
        status, text = self.run(command)
        compiled = self.folder / f"{self.model.stem}.mlmodelc"
        if status or not compiled.is_dir():
            last = text.strip().splitlines()[-1] if text.strip() else f"status {status}"
            raise FaultError(
                f"coremlcompiler failed: {last}",
                where=self.model.name,
                hint="It comes with Xcode: xcode-select --install, or pass a compiled .mlmodelc.",
            )
        return (compiled,)

    def _from_cache(self, compiled: Path) -> tuple[Path, ...]:
        """Has Core ML load the model for the engine and takes what aned compiled meanwhile."""
        readable = [folder for folder in self.caches if folder.is_dir()]
        if not readable:
            raise UnavailableError(
                "aned's cache cannot be read",
                where=", ".join(map(str, self.caches)),
                hint="Run as root on macOS before 26.6; later versions close it to everybody.",
            )
        before = self.now()
        load_model(self.bridge, compiled)
        found = sorted(
            path for folder in readable for path in folder.rglob(OUTPUT_NAME) if path.stat().st_mtime >= before
        )
        if not found:
            raise FaultError(
                "loading the model left nothing new in aned's cache",
                hint="It may have been compiled before, or Core ML runs it elsewhere; clear the cache and try again.",
            )
        target = self.folder / "cache"
        target.mkdir(exist_ok=True)
        return tuple(Path(shutil.copy2(path, target / f"{number}-{path.name}")) for number, path in enumerate(found))

    def _write_script(self) -> tuple[Path, ...]:
        script = self.folder / "capture.lldb"
        write_atomically(script, resources.files(__package__).joinpath("capture.lldb").read_bytes())
        return (script,)


def check_model(model: Path) -> None:
    """Raises InputError when the path is not a Core ML model."""
    if model.suffix not in MODEL_SUFFIXES:
        raise InputError(
            "this is not a Core ML model",
            where=str(model),
            value=model.suffix or "no suffix",
            limit=", ".join(MODEL_SUFFIXES),
        )
    if not model.exists():
        raise InputError("there is no such model", where=str(model))


def load_model(bridge: Bridge, compiled: Path) -> None:
    """Has Core ML load a compiled model for the engine and drops it again.

    Raises:
        FaultError: Core ML refused; its own words.
        UnavailableError: the framework is missing.
    """
    bridge.load("CoreML")
    with autorelease_pool(bridge):
        configuration = bridge.send(bridge.send(bridge.class_named("MLModelConfiguration"), "alloc"), "init")
        units = to_object(bridge, NEURAL_ENGINE_AND_CPU)
        bridge.send(configuration, "setValue:forKey:", units, to_object(bridge, "computeUnits"), result=None)
        attempt = Attempt(bridge, f"loading {compiled.name}")
        model = bridge.send(
            bridge.class_named("MLModel"),
            "modelWithContentsOfURL:configuration:error:",
            to_object(bridge, compiled.resolve()),
            configuration,
            attempt.error,
        )
        bridge.send(configuration, "release", result=None)
        attempt.check(model)


def run_command(command: Sequence[str]) -> tuple[int, str]:
    """Runs a command; status 127 when it does not exist, 124 when it takes too long."""
    try:
        done = subprocess.run(list(command), capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False)
    except OSError as error:
        return 127, f"{command[0]}: {error.strerror}"
    except subprocess.TimeoutExpired:
        return 124, f"{command[0]} took more than {COMPILE_SECONDS} s"
    return done.returncode, done.stdout + done.stderr
