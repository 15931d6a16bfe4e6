"""Windows of convolutions and pooling against the padded source."""

from __future__ import annotations

from openane.core.errors import FaultError
from openane.sim.decoded_task import DecodedTask, MacOperation, MacWork


def check_window(work: DecodedTask) -> None:
    """Refuses results whose whole window is before or after the source: their value is unknown.

    Raises:
        FaultError: there are some.
    """
    engine = work.engine
    if engine.window is None:
        return
    spread = isinstance(engine, MacWork) and engine.operation is MacOperation.TRANSPOSED
    for axis, name in ((0, "rows"), (1, "columns")):
        window, pad, stride = engine.window[axis], engine.pad[axis], engine.stride[axis]
        extent, result = work.view[3 + axis], work.result_view[3 + axis]
        if pad >= window:
            raise FaultError(
                f"the result has {name} whose window is before the source",
                where=f"{work.where}: Common.ConvCfg",
                value=f"pad {pad}, kernel {window}",
                limit=f"a pad up to {window - 1}",
            )
        inner = (extent - 1) * stride + 1 if spread else extent
        last = (result - 1) * (1 if spread else stride) - pad
        if last >= inner + (window if spread else 0):
            raise FaultError(
                f"the result has {name} whose window is outside the source",
                where=f"{work.where}: Common.OutDim",
                value=f"{result} {name} of {extent}, kernel {window}, stride {stride}",
                limit=f"pad {pad} before the source",
            )
