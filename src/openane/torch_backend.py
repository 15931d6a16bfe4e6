"""openane as a backend of `torch.compile`: inference of PyTorch modules on the simulator or on a device.

    compiled = torch.compile(model.eval(), backend="openane", dynamic=False)
    with torch.no_grad():
        outputs = compiled(image)

PyTorch splits a module into graphs of tensor operations; each is compiled for the shapes of its first call, with the
module's parameters as constants. Gradients do not pass through it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from openane.api import InferenceSession
from openane.core.errors import UnsupportedError


def openane_backend(
    graph_module: Any, example_inputs: Sequence[Any], *, options: dict[str, Any] | None = None, **_: Any
) -> Callable[..., tuple[Any, ...]]:
    """The backend, as PyTorch calls it.

    Args:
        graph_module: a `torch.fx.GraphModule`.
        example_inputs: its parameters and inputs, of the shapes to compile for.
        options: of `torch.compile`: keywords of `openane.Session`, such as {"on": "linux"}.

    Returns:
        A function of the same arguments; it returns a tuple of tensors on the CPU.

    Raises:
        UnsupportedError: sizes are symbols: compile with dynamic=False.
        OpenaneError: the graph is refused.
    """
    import torch

    if any(isinstance(each, torch.SymInt) or not isinstance(each, torch.Tensor) for each in example_inputs):
        raise UnsupportedError(
            "the graph has sizes that change",
            where="torch.compile",
            hint="Compile with torch.compile(..., dynamic=False).",
        )
    fixed = [number for number, each in enumerate(example_inputs) if _is_constant(torch, each)]
    given = [number for number in range(len(example_inputs)) if number not in fixed]
    module = _bound(torch, graph_module, {number: example_inputs[number].detach() for number in fixed})
    examples = tuple(example_inputs[number].detach() for number in given)
    session = InferenceSession(module, example_inputs=examples, **(options or {}))
    names, kinds = list(session.inputs), list(session.outputs)

    def run(*arguments: Any) -> tuple[Any, ...]:
        feeds = {name: arguments[number].detach().cpu().numpy() for name, number in zip(names, given, strict=True)}
        return tuple(torch.from_numpy(array.copy()) for array in session.run(kinds, feeds))

    return run


def _is_constant(torch: Any, value: Any) -> bool:
    """Whether PyTorch passes a parameter or buffer of the module, not an input of a call."""
    return isinstance(value, torch.nn.Parameter) or getattr(value, "_dynamo_static_input_type", None) is not None


def _bound(torch: Any, graph_module: Any, fixed: dict[int, Any]) -> Any:
    """The module of the remaining arguments."""

    class BoundGraph(torch.nn.Module):  # type: ignore[misc]
        """The graph with its parameters as constants."""

        def __init__(self) -> None:
            super().__init__()
            self.graph_module = graph_module
            for number, value in fixed.items():
                self.register_buffer(f"constant_{number}", value)

        def forward(self, *inputs: Any) -> Any:
            rest = iter(inputs)
            count = len(fixed) + len(inputs)
            arguments = [getattr(self, f"constant_{i}") if i in fixed else next(rest) for i in range(count)]
            return self.graph_module(*arguments)

    return BoundGraph()
