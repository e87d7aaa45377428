"""Cancels an upload. Its parts can't be reached any more; the bucket's life-cycle rule removes them."""

from __future__ import annotations

from offpeak.core.errors import StateConflict
from offpeak.core.file import Upload, UploadStatus
from offpeak.core.ports import Changes, Clock, Files, Save

TRIES_MAX = 5


def cancel_upload(
    account_id: str, upload_id: str, *, clock: Clock, changes: Changes, files: Files
) -> Upload:
    """The upload, cancelled now or before. Raises NotFound, StateConflict when it ended otherwise."""
    for tries_left in reversed(range(TRIES_MAX)):
        upload = files.upload(account_id, upload_id)
        if upload.status is UploadStatus.CANCELLED:
            return upload
        cancelled = upload.cancelled(int(clock.now()))
        try:
            changes.commit(Save(cancelled))
        except StateConflict:
            if not tries_left:
                raise
        else:
            return cancelled
    raise AssertionError("unreachable: the last try returns or raises")
