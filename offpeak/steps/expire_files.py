"""Deletes the files whose time is over: bytes first, then rows, so that what is left half done is found again.

For their accounts they are gone already (`find_file`). An input that a running batch still reads waits for its end.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import islice

from offpeak.core.drop import is_dropped
from offpeak.core.errors import StateConflict
from offpeak.core.ports import Batches, Changes, Clock, Files, Multipart, Save, Writer

FILES_MAX = 500
"""What one call deletes. Where there is more, the next one goes on."""


def expire_files(
    *,
    clock: Clock,
    writer: Writer,
    multipart: Multipart,
    changes: Changes,
    files: Files,
    batches: Batches,
) -> int:
    """How many files were deleted."""
    inputs = {batch.input_key for batch in batches.open()}
    over = (file for file in files.expired(int(clock.now())) if file.key not in inputs)
    deleted = 0
    for file in islice(over, FILES_MAX):
        if file.multipart_id is not None:
            multipart.abort(file.key, file.multipart_id)
        if not is_dropped(file.key):
            writer.delete(file.key)
        with suppress(StateConflict):  # its account was quicker, or another call
            changes.commit(Save(file.deleted()))
            deleted += 1
    return deleted
