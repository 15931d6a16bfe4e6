"""openane: an open toolchain for the Apple Neural Engine.

    artifact = openane.compile("model.onnx")          # any level in, programs out
    outputs = openane.run(artifact, {"image": image}) # on the simulator, or on a device
    openane.compare("model.onnx").right               # is it computed as the model says?

Everything else lives in the subpackages, one per level: `graph`, `net`, `program`, `formats`, and around them
`frontends`, `targets`, `compiler`, `sim`, `runtimes`, `analysis`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openane.core.version import __version__ as __version__

if TYPE_CHECKING:
    from openane import plot
    from openane.api import (
        Session,
        assemble,
        bundle,
        compare,
        compile,
        disassemble,
        estimate,
        explain,
        load,
        run,
        view,
    )

__all__ = [
    "Session",
    "__version__",
    "assemble",
    "bundle",
    "compare",
    "compile",
    "disassemble",
    "estimate",
    "explain",
    "load",
    "plot",
    "run",
    "view",
]


def __getattr__(name: str) -> Any:
    """The public functions are imported on first use, so that `import openane` stays instant and silent."""
    if name == "plot":
        import importlib

        return importlib.import_module("openane.plot")
    if name in __all__:
        from openane import api

        return getattr(api, name)
    raise AttributeError(f"module 'openane' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, whether imported yet or not."""
    return sorted(__all__)
