"""State that a model keeps between calls: a state is an input, and its last value is an output."""

from __future__ import annotations

from openane.frontends.mil.call import OperationCall
from openane.frontends.mil.operations.entry import Entry
from openane.frontends.mil.program import ValueReference


def _read(call: OperationCall) -> None:
    """The value that a state has at this place of the program."""
    call.finish_values(call.value("input"))


def _write(call: OperationCall) -> None:
    """From here on the state has another value."""
    _store(call, "input", "data")


def _update(call: OperationCall) -> None:
    """As a write, followed by a read."""
    call.finish_values(_store(call, "state", "value"))


def _store(call: OperationCall, state: str, value: str) -> str:
    reference = call.operation.arguments.get(state)
    if not isinstance(reference, ValueReference) or reference.name not in call.builder.states:
        call.refuse(f"argument {state!r} is not a state", limit=", ".join(call.builder.states) or "no states")
    declared, found = call.builder.types[reference.name], call.type(value)
    if declared != found:
        call.refuse("the value does not fit the state", value=found, limit=declared)
    stored = call.value(value)
    call.builder.values[reference.name] = stored
    return stored


ENTRIES = {
    "read_state": Entry(("input",), _read),
    "write_state": Entry(("input", "data"), _write),
    "coreml_update_state": Entry(("state", "value"), _update),
}
"""`write_state` has no result."""
