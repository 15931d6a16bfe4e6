"""Rules about whole programs and their tasks: memory, buffers, numbers of tasks, and what registers can express."""

from __future__ import annotations

from openane.backend.machine import MachineSpec
from openane.backend.rules import RuleKind, rule

_SMALLER = "Make the tensor smaller or split the layer."


def _l2(machine: MachineSpec) -> str:
    return f"{machine.l2_bytes} bytes less what stays resident"


@rule(
    "l2-block",
    family="every program",
    kind=RuleKind.COMPILER,
    limit=_l2,
    hint=_SMALLER,
    evidence="execution.md#l2: the L2 has 2 MiB; the values of a chain of tasks are there together",
)
def block_fits_l2(size_bytes: int, room_bytes: int) -> object | None:
    """The intermediate values of a layer do not fit into L2."""
    return f"{size_bytes} bytes" if size_bytes > room_bytes else None


@rule(
    "l2-resident",
    family="every program",
    kind=RuleKind.COMPILER,
    limit=_l2,
    hint=_SMALLER,
    evidence="execution.md#l2: the L2 has 2 MiB; a task reads this value from there",
)
def resident_fits_l2(size_bytes: int, room_bytes: int) -> object | None:
    """An intermediate value does not fit into L2."""
    return f"{size_bytes} bytes" if size_bytes > room_bytes else None


@rule(
    "tile-fits",
    family="every program",
    kind=RuleKind.COMPILER,
    limit=_l2,
    hint="Use fewer channels, make the tensor smaller, or split the layer over channels.",
    evidence="execution.md#staging: tensors from and to DRAM are staged in L2; encoding.md#real-sizes",
)
def tile_fits_l2(size_bytes: int, room_bytes: int) -> object | None:
    """The smallest tile of a layer does not fit into L2."""
    return f"{size_bytes} bytes" if size_bytes > room_bytes else None


@rule(
    "surface-count",
    family="every program",
    kind=RuleKind.ENGINE,
    limit=lambda machine: f"at most {machine.buffers.surface_count}",
    hint="Join inputs or outputs by concatenation.",
    evidence="execution.md#buffers: 32 buffer indices, of which the first four have other uses",
)
def surface_count(machine: MachineSpec, count: int) -> object | None:
    """The network has more inputs and outputs than the engine has buffer indices."""
    return count if count > machine.buffers.surface_count else None


@rule(
    "constant-bytes",
    family="every program",
    kind=RuleKind.ENGINE,
    limit=lambda machine: f"{machine.max_constant_bytes} bytes",
    hint="Split the network into several programs.",
    evidence="limits.md#programs: about 2 GB of weights",
)
def constant_bytes(machine: MachineSpec, size_bytes: int) -> object | None:
    """The constants of the network do not fit into one program."""
    return f"more than {size_bytes} bytes" if size_bytes > machine.max_constant_bytes else None


@rule(
    "task-count",
    family="every program",
    kind=RuleKind.ENGINE,
    limit=lambda machine: f"1 to {machine.max_tasks}",
    hint="Split the network into several programs, or keep the layers with most tasks on the host.",
    evidence="execution.md#header-words: a task number has 16 bits",
)
def task_count(machine: MachineSpec, count: int) -> object | None:
    """The network has no task, or more tasks than task numbers."""
    return count if not 1 <= count <= machine.max_tasks else None


@rule(
    "field",
    family="every program",
    kind=RuleKind.ENGINE,
    limit="what the field of the register holds",
    hint="Make the tensor smaller, or run this layer on the host.",
    evidence="widths of the registers (execution.md#header-words, encoding.md#common-block)",
)
def fits_field(finding: str) -> object | None:
    """A task does not fit its registers."""
    return finding or None


@rule(
    "on-record",
    family="every program",
    kind=RuleKind.COMPILER,
    limit="computations, operands and sizes that a recorded program has (openane compile --evidence recorded)",
    hint="Run this layer on the host, or compile without --evidence recorded.",
    evidence="docs/evidence.md: programs of Apple's compiler",
)
def on_record(finding: str) -> object | None:
    """No program of Apple's compiler shows the encoding of a task."""
    return finding or None


@rule(
    "known-hang",
    family="every program",
    kind=RuleKind.ENGINE,
    limit="words that are not known to stop a chip",
    hint="Please report this network: the compiler should not have chosen this encoding.",
    evidence="execution.md#hangs: reported from experiments on one chip",
)
def no_known_hang(finding: str) -> object | None:
    """The task is known to stop a chip."""
    return finding or None
