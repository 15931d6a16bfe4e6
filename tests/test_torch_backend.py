"""torch.compile with openane as its backend."""

from __future__ import annotations

import numpy as np
import pytest

from openane.core.errors import OpenaneError

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")


class Small(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Layers with parameters and a buffer, and two results."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.linear = torch.nn.Linear(8, 4)

    def forward(self, x, y):  # type: ignore[no-untyped-def]
        z = torch.relu(self.norm(self.conv(x)) + y)
        return self.linear(z.mean((2, 3))), z


def test_the_backend_computes_what_the_module_does() -> None:
    from openane.torch_backend import openane_backend

    torch._dynamo.reset()
    module = Small().eval()
    compiled = torch.compile(module, backend=openane_backend, dynamic=False)
    with torch.no_grad():
        for _ in range(2):
            x, y = torch.randn(1, 3, 8, 8), torch.randn(1, 8, 8, 8)
            for found, wanted in zip(compiled(x, y), module(x, y), strict=True):
                assert found.dtype == wanted.dtype
                np.testing.assert_allclose(found.numpy(), wanted.numpy(), atol=1e-2)


def test_options_reach_the_session() -> None:
    from openane.torch_backend import openane_backend

    torch._dynamo.reset()
    compiled = torch.compile(torch.nn.ReLU(), backend=openane_backend, dynamic=False, options={"on": "nowhere"})
    with pytest.raises(Exception, match="no such runtime"), torch.no_grad():
        compiled(torch.randn(1, 3, 8, 8))


def test_changing_sizes_are_refused() -> None:
    from openane.torch_backend import openane_backend

    with pytest.raises(OpenaneError, match=r"dynamic=False"):
        openane_backend(torch.nn.ReLU(), [3])
