"""Two published ways to put a model on the engine: from MIL text in memory, and from a folder through aned."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from openane.core.errors import FaultError
from openane.runtimes.macos.foundation import Attempt, to_object, to_text
from openane.runtimes.macos.objc import BOOL, Bridge, autorelease_pool
from openane.runtimes.macos.request import options_object, qos, retained

MODEL_TYPE_KEY: Final = "kANEFModelType"
PRECOMPILED: Final = "kANEFModelPreCompiled"
"""Names of the framework's constants for a folder that holds a compiled model.hwx; a guess, never tried."""


class InMemoryModel:
    """MIL text compiled and loaded by the system (`_ANEInMemoryModel`; maderix, Orion, beefface).

    Args:
        bridge: to the system, with AppleNeuralEngine loaded.
        text: MIL program.
        weights: file name inside the MIL text -> bytes of the file.

    Raises:
        FaultError: the system's compiler or loader refused; its own words.
    """

    def __init__(self, bridge: Bridge, text: str, weights: Mapping[str, bytes]) -> None:
        self._bridge = bridge
        with autorelease_pool(bridge):
            described = bridge.send(
                bridge.send(bridge.class_named("_ANEInMemoryModelDescriptor"), "alloc"),
                "initWithNetworkText:weights:optionsPlist:isMILModel:",
                to_object(bridge, text.encode()),
                to_object(bridge, {name: {"offset": 0, "data": data} for name, data in weights.items()}),
                0,
                BOOL(1),
            )
            model = bridge.send(bridge.class_named("_ANEInMemoryModel"), "inMemoryModelWithDescriptor:", described)
            bridge.send(described, "release", result=None)
            if not model:
                raise FaultError("macOS made no model of the MIL text", hint="Check the text with coremltools.")
            self._model = retained(bridge, model)
            self._folder = Path(tempfile.gettempdir()) / self._identifier()
            try:
                self._save(text, weights)
                self._step("compiling MIL", "compileWithQoS:options:error:")
                self._step("loading MIL", "loadWithQoS:options:error:")
            except BaseException:
                self._discard()
                raise

    def evaluate(self, request: int) -> None:
        """Maps the surfaces and runs."""
        mapping = Attempt(self._bridge, "mapping surfaces")
        mapping.check(
            self._bridge.send(
                self._model,
                "mapIOSurfacesWithRequest:cacheInference:error:",
                request,
                BOOL(1),
                mapping.error,
                result=BOOL,
            )
        )
        try:
            self._step("running", "evaluateWithQoS:options:request:error:", request)
        finally:
            self._bridge.send(self._model, "unmapIOSurfacesWithRequest:", request, result=None)

    def unload(self) -> None:
        """Unloads and removes the files."""
        attempt = Attempt(self._bridge, "unloading")
        self._bridge.send(self._model, "unloadWithQoS:error:", qos(), attempt.error, result=BOOL)
        self._discard()

    def _identifier(self) -> str:
        """The folder name the framework looks for below the temporary folder."""
        name = to_text(self._bridge, self._bridge.send(self._model, "hexStringIdentifier"))
        if not name or not name.replace("_", "").isalnum():
            raise FaultError("macOS gave the model no usable identifier", value=repr(name))
        return name

    def _save(self, text: str, weights: Mapping[str, bytes]) -> None:
        (self._folder / "weights").mkdir(parents=True, exist_ok=True)
        (self._folder / "model.mil").write_text(text)
        for name, data in weights.items():
            (self._folder / "weights" / Path(name).name).write_bytes(data)

    def _step(self, doing: str, selector: str, *arguments: int) -> None:
        attempt = Attempt(self._bridge, doing)
        options = options_object(self._bridge)
        attempt.check(self._bridge.send(self._model, selector, qos(), options, *arguments, attempt.error, result=BOOL))

    def _discard(self) -> None:
        self._bridge.send(self._model, "release", result=None)
        shutil.rmtree(self._folder, ignore_errors=True)


class ClientModel:
    """A folder with a compiled model, loaded through aned (`_ANEClient`, `_ANEModel`).

    Args:
        bridge: to the system, with AppleNeuralEngine loaded.
        folder: holds model.hwx, or is a .mlmodelc.
        key: of the model inside the folder.
        compile_first: whether the system has to compile the folder before it can load it.
    """

    def __init__(self, bridge: Bridge, folder: Path, key: str = "{}", *, compile_first: bool = False) -> None:
        self._bridge = bridge
        kind = {} if compile_first else {MODEL_TYPE_KEY: PRECOMPILED}
        with autorelease_pool(bridge):
            client = bridge.send(bridge.class_named("_ANEClient"), "sharedConnection")
            model = bridge.send(
                bridge.class_named("_ANEModel"), "modelAtURL:key:", to_object(bridge, folder), to_object(bridge, key)
            )
            if not client or not model:
                raise FaultError(
                    "macOS gave no " + ("model for the folder" if client else "connection to aned"),
                    where=str(folder),
                    hint="See `openane doctor` for what the process would need.",
                )
            self._client, self._model = client, retained(bridge, model)
            try:
                for doing, selector in (
                    ("compiling", "compileModel:options:qos:error:"),
                    ("loading", "loadModel:options:qos:error:"),
                )[0 if compile_first else 1 :]:
                    attempt = Attempt(bridge, f"{doing} {folder.name}")
                    options = options_object(bridge, kind)
                    answer = bridge.send(client, selector, self._model, options, qos(), attempt.error, result=BOOL)
                    attempt.check(answer)
            except BaseException:
                bridge.send(self._model, "release", result=None)
                raise

    def evaluate(self, request: int) -> None:
        """Runs through aned; one command is in flight at a time."""
        attempt = Attempt(self._bridge, "running")
        attempt.check(
            self._bridge.send(
                self._client,
                "evaluateWithModel:options:request:qos:error:",
                self._model,
                options_object(self._bridge),
                request,
                qos(),
                attempt.error,
                result=BOOL,
            )
        )

    def unload(self) -> None:
        """Unloads the model."""
        attempt = Attempt(self._bridge, "unloading")
        options = options_object(self._bridge)
        self._bridge.send(
            self._client, "unloadModel:options:qos:error:", self._model, options, qos(), attempt.error, result=BOOL
        )
        self._bridge.send(self._model, "release", result=None)
