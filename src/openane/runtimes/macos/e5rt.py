"""The e5rt functions of Espresso.framework: compiled Core ML programs on the engine without an entitlement.

Order of calls as published by ANEForge and ane-compiler (2025-26). Every function answers 0 for success; `create`
functions give their result through the first pointer, `retain` and `compile` through the last. Names of setters and
of release functions are completed by analogy where the publications shorten them; a missing one is reported by name.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from openane.core.errors import FaultError, InputError, UnavailableError
from openane.runtimes.macos.foundation import system_error
from openane.runtimes.macos.objc import Bridge, address

NEURAL_ENGINE_ONLY: Final = 4
"""Bit mask of devices: 1 BNNS, 2 MPSGraph, 4 the neural engine."""


class E5Program:
    """A model compiled by Espresso for the engine alone, with one buffer per port.

    Args:
        bridge: to the system.
        model: path of MIL text or of a compiled model.
        cache: folder for the compiler's results.
        inputs: port name -> bytes.
        outputs: port name -> bytes.
        architecture: compile for this chip; empty takes the machine's own.
        function: name of the function in the model.

    Raises:
        UnavailableError: the framework or a function is missing in this macOS version.
        FaultError: a call failed; which, and its status.
    """

    def __init__(
        self,
        bridge: Bridge,
        model: Path,
        cache: Path,
        inputs: Mapping[str, int],
        outputs: Mapping[str, int],
        *,
        architecture: str = "",
        function: str = "main",
    ) -> None:
        self._bridge = bridge
        self._owned = ExitStack()
        bridge.load("Espresso")
        try:
            library = self._compile(model, cache, architecture)
            self._operation = self._operation_of(library, function)
            self._buffers = {
                name: self._bind(f"e5rt_execution_stream_operation_retain_{kind}_port", name, size_bytes)
                for kind, ports in (("input", inputs), ("output", outputs))
                for name, size_bytes in ports.items()
            }
            self._stream = self._create("e5rt_execution_stream_create")
            self._owned.callback(self._release, "e5rt_execution_stream_release", self._stream)
        except BaseException:
            self._owned.close()
            raise
        self._inputs, self._outputs = dict(inputs), dict(outputs)

    def run(self, inputs: Mapping[str, bytes]) -> dict[str, bytes]:
        """One run: bytes of every input port in, bytes of every output port out.

        Raises:
            InputError: a port is missing or has another size.
            FaultError: a call failed.
        """
        for name, size_bytes in self._inputs.items():
            if len(inputs.get(name, b"")) != size_bytes:
                raise InputError(
                    "the bytes do not fit the port",
                    where=f"input {name}",
                    value=f"{len(inputs.get(name, b''))} bytes",
                    limit=f"{size_bytes} bytes",
                )
            self._memory(name, size_bytes)[:] = inputs[name]
        self._step("e5rt_execution_stream_operation_prepare_op_for_encode", self._operation)
        self._step("e5rt_execution_stream_encode_operation", self._stream, self._operation)
        self._step("e5rt_execution_stream_execute_sync", self._stream)
        results = {name: bytes(self._memory(name, size)) for name, size in self._outputs.items()}
        self._step("e5rt_execution_stream_reset", self._stream)
        return results

    def close(self) -> None:
        """Releases everything; a second call does nothing."""
        self._owned.close()

    def _compile(self, model: Path, cache: Path, architecture: str) -> int:
        text = ctypes.c_char_p
        config = self._create("e5rt_e5_compiler_config_options_create")
        self._step("e5rt_e5_compiler_config_options_set_bundle_cache_location", config, text(bytes(cache)))
        compiler = self._create("e5rt_e5_compiler_create_with_config", config)
        options = self._create("e5rt_e5_compiler_options_create")
        prefix = "e5rt_e5_compiler_options_set"
        self._step(f"{prefix}_compute_device_types_mask", options, ctypes.c_uint64(NEURAL_ENGINE_ONLY))
        self._step(f"{prefix}_force_recompilation", options, ctypes.c_int8(1))
        self._step(f"{prefix}_segmenter", options, text(b"graph"))
        if architecture:
            custom = text(f"TargetArchitecture={architecture}".encode())
            self._step(f"{prefix}_custom_ane_compiler_options", options, custom)
        library = self._retain("e5rt_e5_compiler_compile", compiler, text(bytes(model)), options)
        self._owned.callback(self._release, "e5rt_program_library_release", library)
        for name, reference in (
            ("e5rt_e5_compiler_options_release", options),
            ("e5rt_e5_compiler_release", compiler),
            ("e5rt_e5_compiler_config_options_release", config),
        ):
            self._release(name, reference)
        return library

    def _operation_of(self, library: int, function: str) -> int:
        name = ctypes.c_char_p(function.encode())
        program = self._retain("e5rt_program_library_retain_program_function", library, name)
        self._owned.callback(self._release, "e5rt_program_function_release", program)
        options = self._create("e5rt_precompiled_compute_op_create_options_create_with_program_function", program)
        self._owned.callback(self._release, "e5rt_precompiled_compute_op_create_options_release", options)
        operation = self._create(
            "e5rt_execution_stream_operation_create_precompiled_compute_operation_with_options", options
        )
        self._owned.callback(self._release, "e5rt_execution_stream_operation_release", operation)
        return operation

    def _bind(self, retain_port: str, name: str, size_bytes: int) -> int:
        port = self._retain(retain_port, self._operation, ctypes.c_char_p(name.encode()))
        self._owned.callback(self._release, "e5rt_io_port_release", port)
        buffer = self._create("e5rt_buffer_object_alloc", ctypes.c_uint64(size_bytes), ctypes.c_uint64(0))
        self._owned.callback(self._release, "e5rt_buffer_object_release", buffer)
        self._step("e5rt_io_port_bind_buffer_object", port, buffer)
        return buffer

    def _memory(self, name: str, size_bytes: int) -> memoryview:
        base = self._retain("e5rt_buffer_object_get_data_ptr", self._buffers[name])
        return self._bridge.memory(base, size_bytes)

    def _create(self, name: str, *arguments: int | ctypes.c_uint64) -> int:
        place = self._bridge.out()
        self._step(name, address(place), *arguments)
        return self._given(name, place)

    def _retain(self, name: str, *arguments: int | ctypes.c_char_p) -> int:
        place = self._bridge.out()
        self._step(name, *arguments, address(place))
        return self._given(name, place)

    def _given(self, name: str, place: ctypes.c_void_p) -> int:
        if not place.value:
            raise FaultError("the call succeeded but gave nothing back", where=name)
        return place.value

    def _step(
        self, name: str, *arguments: int | ctypes.c_void_p | ctypes.c_char_p | ctypes.c_uint64 | ctypes.c_int8
    ) -> None:
        status = self._bridge.call(name, *arguments, result=ctypes.c_int64)
        if status:
            raise system_error(name, status)

    def _release(self, name: str, reference: int) -> None:
        """Release functions take the address of the reference; where one is missing the object stays until the end."""
        place = self._bridge.out()
        place.value = reference
        with suppress(UnavailableError):
            self._bridge.call(name, address(place), result=ctypes.c_int64)
