"""Deletes a file: at once for its account; its bytes when no batch reads them any more."""

from __future__ import annotations

from offpeak.core.drop import is_dropped
from offpeak.core.errors import StateConflict
from offpeak.core.file import File
from offpeak.core.ports import Batches, Changes, Clock, Files, Multipart, Save, Writer
from offpeak.steps.find_file import find_file

TRIES_MAX = 5


def delete_file(
    account_id: str,
    file_id: str,
    *,
    clock: Clock,
    writer: Writer,
    multipart: Multipart,
    changes: Changes,
    files: Files,
    batches: Batches,
) -> None:
    """Raises NotFound. A batch that is running keeps its input and ends as it would have; `drop_input` cleans up.

    An object of the drop folder is its producer's, and stays.
    """
    for tries_left in reversed(range(TRIES_MAX)):
        file = find_file(account_id, file_id, clock=clock, files=files)
        try:
            changes.commit(Save(file.deleted()))
            break
        except StateConflict:
            if not tries_left:
                raise
    _drop(file, writer=writer, multipart=multipart, batches=batches)


def _drop(file: File, *, writer: Writer, multipart: Multipart, batches: Batches) -> None:
    if file.multipart_id is not None:
        multipart.abort(file.key, file.multipart_id)
    if not is_dropped(file.key) and not is_read(file.key, batches):
        writer.delete(file.key)


def is_read(key: str, batches: Batches) -> bool:
    """Whether a batch that has not ended has this object as its input."""
    return any(batch.input_key == key for batch in batches.open())
