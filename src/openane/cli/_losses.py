"""The part of `openane explain` about what the MAC array loses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openane.cli._inputs import complete_inputs, read_inputs
from openane.cli._say import say
from openane.cli._show import print_table

if TYPE_CHECKING:
    from openane.analysis.mac_loss import MacLoss
    from openane.artifact.plan import Artifact

SHOWN_LOSSES = 12
"""The number of worst layers that the table lists; --json has all."""


def losses_of(artifact: Artifact, calibrate: tuple[str, ...], run: bool) -> tuple[MacLoss, ...]:
    """The predicted loss of the MAC array, on given or generated arrays, or on assumed activations without a run."""
    from openane.analysis.mac_loss import Activations, predict_losses
    from openane.compiler.generated_inputs import blaming_generated

    if not run:
        return predict_losses(artifact, {}, Activations.ASSUMED)
    arrays, made = complete_inputs(read_inputs(calibrate, artifact.plan.inputs), artifact.plan)
    with blaming_generated(made):
        return predict_losses(artifact, arrays, Activations.MADE_UP if made else Activations.GIVEN)


def show_losses(losses: tuple[MacLoss, ...]) -> None:
    """Prints the layers in which the MAC array loses more than fp16 itself."""
    from openane.analysis.mac_loss import report

    noticeable = [loss for loss in losses if loss.remedy]
    if noticeable:
        table = report(noticeable[:SHOWN_LOSSES])
        columns, rows = table.table()
        numeric = tuple(column.name for column in columns if column.numeric)
        print_table(table.title, tuple(column.name for column in columns), [tuple(row) for row in rows], numeric)
    if len(noticeable) > SHOWN_LOSSES:
        say(f"and {len(noticeable) - SHOWN_LOSSES} more layers in which the MAC array loses more than fp16 itself")
