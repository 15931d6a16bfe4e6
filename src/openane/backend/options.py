"""Choices of the back end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from openane.core.choices import AllowedEncodings
from openane.core.passes import Stage


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """Choices of the back end.

    Attributes:
        dialect: which compiler's layout habits to follow; None takes the target's default.
        check: refuse encodings that are known to hang the hardware (always on in the command line).
        evidence: which encodings may be used; recorded ones only: other forms of units (`passes.recorded`), or refuse.
        compress: store kernels with a palette or without zeros where that takes fewer bytes.
        rescale: rescale kernels (`passes.rescaling`).
        calibration: typical inputs for that, one array per input of the network; none for proven bounds only.
        observe: called with every stage of the compilation, for dumps.
    """

    dialect: str | None = None
    check: bool = True
    evidence: AllowedEncodings = AllowedEncodings.ANY
    compress: bool = False
    rescale: bool = False
    calibration: Mapping[str, np.ndarray] = field(default_factory=dict)
    observe: Callable[[Stage], None] | None = field(default=None, compare=False)
