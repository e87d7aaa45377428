"""Tells the outside that a batch has ended, and how. At least once: whoever listens goes by the batch's id."""

from __future__ import annotations

from offpeak.core.errors import StateConflict
from offpeak.core.gathering import is_gathering
from offpeak.core.ports import Announcements, Batches, Files, Writer
from offpeak.steps.drop_input import drop_input


def announce_batch(
    account_id: str, batch_id: str, *, writer: Writer, files: Files, batches: Batches,
    announcements: Announcements,
) -> str:  # fmt: skip
    """What was announced: `batch.completed`, `batch.failed`, … Raises StateConflict for a batch that goes on.

    An input whose file was deleted meanwhile was kept for this batch alone, and is deleted now.
    """
    batch = batches.get(account_id, batch_id)
    if not batch.is_terminal:
        raise StateConflict(f"Batch {batch_id} has not ended: it is {batch.status}.")
    kind = f"batch.{batch.status}"
    if is_gathering(batch_id):
        return kind  # nobody's batch: its requests tell of themselves
    announcements.announce(kind, batch)
    drop_input(batch, writer=writer, files=files, batches=batches)
    return kind
