"""Deletes an ended batch's input if its file was deleted while the batch ran (`delete_file` had to leave the bytes)."""

from __future__ import annotations

from offpeak.core.batch import Batch
from offpeak.core.drop import is_dropped
from offpeak.core.errors import NotFound
from offpeak.core.ports import Batches, Files, Writer
from offpeak.steps.delete_file import is_read


def drop_input(batch: Batch, *, writer: Writer, files: Files, batches: Batches) -> None:
    """Does nothing while the file is there, or another batch reads it; nor to a producer's object."""
    if not batch.input_key or is_dropped(batch.input_key):
        return
    if _is_deleted(batch, files) and not is_read(batch.input_key, batches):
        writer.delete(batch.input_key)


def _is_deleted(batch: Batch, files: Files) -> bool:
    try:
        files.get(batch.account_id, batch.input_file_id)
    except NotFound:
        return True
    return False
