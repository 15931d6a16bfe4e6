"""Espresso's dump of the network that it hands to the engine's compiler (freedomtan, anecc)."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path
from typing import Final

from openane.core.errors import FaultError, InputError
from openane.runtimes.macos.foundation import system_error
from openane.runtimes.macos.objc import Bridge, address

NEURAL_ENGINE_CONTEXT: Final = 0x2718
ANY_DEVICE: Final = 0xFFFFFFFF
HALF_PRECISION: Final = 0x10010
DUMP_FOLDER: Final = Path("/", "tmp", "espresso_ir_dump")
"""Where Espresso writes unless it names another folder."""


class _Network(ctypes.Structure):
    _fields_ = (("plan", ctypes.c_void_p), ("index", ctypes.c_uint64))


def dump_network(bridge: Bridge, model: Path, folder: Path, dump_folder: Path = DUMP_FOLDER) -> tuple[Path, ...]:
    """Writes net.plist, its weight files and their companions for a compiled neural-network model.

    Args:
        bridge: to the system.
        model: .mlmodelc with a model.espresso.net inside.
        folder: where the files go.
        dump_folder: where this system's Espresso writes them.

    Returns:
        The files, in the order of their names.

    Raises:
        InputError: the model has no Espresso network (ML programs have none).
        UnavailableError: the framework or a function is missing.
        FaultError: Espresso refused.
    """
    network = model / "model.espresso.net"
    if not network.is_file():
        raise InputError(
            "the compiled model holds no Espresso network",
            where=str(model),
            limit="model.espresso.net inside",
            hint="ML programs are compiled from MIL: take model.hwx from the cache, or use the in-memory path.",
        )
    bridge.load("Espresso")
    context = bridge.call(
        "espresso_create_context", ctypes.c_uint64(NEURAL_ENGINE_CONTEXT), ctypes.c_uint64(ANY_DEVICE)
    )
    if not context:
        raise FaultError("Espresso made no context for the engine", hint="Does this Mac have a neural engine?")
    plan = bridge.call("espresso_create_plan", context, ctypes.c_uint64(0))
    added = _Network()
    place = ctypes.c_void_p(ctypes.addressof(added))
    name = ctypes.c_char_p(bytes(network))
    written = bridge.out()
    try:
        for doing, arguments in (
            ("espresso_plan_add_network", (plan, name, ctypes.c_uint64(HALF_PRECISION), place)),
            ("espresso_plan_build", (plan,)),
            ("espresso_dump_ir", (plan, address(written))),
        ):
            status = bridge.call(doing, *arguments, result=ctypes.c_int32)
            if status:
                raise system_error(doing, status)
    finally:
        bridge.call("espresso_plan_destroy", plan, result=ctypes.c_int32)
        bridge.call("espresso_context_destroy", context, result=ctypes.c_int32)
    return _collect(dump_folder, folder)


def _collect(dump_folder: Path, folder: Path) -> tuple[Path, ...]:
    files = sorted(path for path in dump_folder.rglob("*") if path.is_file()) if dump_folder.is_dir() else []
    if not any(path.name == "net.plist" for path in files):
        raise FaultError(
            "Espresso reported success but wrote no net.plist",
            where=str(dump_folder),
            hint="This macOS version may write elsewhere; look for new net.plist files and report the place.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(Path(shutil.copy2(path, folder / path.name)) for path in files)
