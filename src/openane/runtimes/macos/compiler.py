"""Apple's own compiler, ANECCompile, for comparison with ours: net.plist or MIL in, model.hwx out."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Final

from openane.core.errors import InputError
from openane.runtimes.macos.foundation import Value, system_error, to_object
from openane.runtimes.macos.objc import Bridge, autorelease_pool

OUTPUT_NAME: Final = "model.hwx"
DEBUG_MASK: Final = 0x7FFFFFFF


def compile_network(bridge: Bridge, network: Path, folder: Path, architecture: str, *, debug: bool = False) -> Path:
    """Compiles a network description with ANECCompile.

    A wrong architecture is not refused by Apple's compiler but replaced in silence: check the subtype of the result.

    Args:
        bridge: to the system.
        network: net.plist, or a .mil text; weight files next to it.
        folder: where model.hwx goes.
        architecture: "h13" and so on.
        debug: also write the compiler's intermediate forms.

    Returns:
        The path of the compiled file.

    Raises:
        UnavailableError: the framework is missing.
        FaultError: the compiler refused; its status number says little, the per-layer validators say more.
    """
    if not network.is_file():
        raise InputError("there is no such network file", where=str(network))
    bridge.load("ANECompiler")
    folder.mkdir(parents=True, exist_ok=True)
    keys = ("NetworkSourceFileName", "NetworkSourceFilePath")
    if network.suffix == ".plist":
        keys = ("NetworkPlistName", "NetworkPlistPath")
    options: dict[str, Value] = {
        "InputNetworks": [{keys[0]: network.name, keys[1]: f"{network.parent}/"}],
        "OutputFilePath": f"{folder}/",
        "OutputFileName": OUTPUT_NAME,
    }
    flags: dict[str, Value] = {"TargetArchitecture": architecture}
    if debug:
        flags |= {"CompileANEProgramForDebugging": True, "DebugMask": DEBUG_MASK}
    seen: list[int] = []
    block = bridge.block(lambda status, *_: seen.append(status or 0), ctypes.c_int64, ctypes.c_void_p)
    with autorelease_pool(bridge):
        status = bridge.call(
            "ANECCompile", to_object(bridge, options), to_object(bridge, flags), block, result=ctypes.c_int32
        )
    result = folder / OUTPUT_NAME
    if status or not result.is_file():
        raise system_error(f"ANECCompile of {network.name}", status or next(iter(seen), 0))
    return result
