"""Finds a file that is there for its account. A row may outlive its file's time by days; a pending file is there."""

from __future__ import annotations

from offpeak.core.errors import NotFound
from offpeak.core.file import File
from offpeak.core.ports import Clock, Files


def find_file(account_id: str, file_id: str, *, clock: Clock, files: Files) -> File:
    """Raises NotFound."""
    file = files.get(account_id, file_id)
    if not is_there(file, clock.now()):
        raise NotFound(f"There is no file {file_id}.")
    return file


def is_there(file: File, now: float) -> bool:
    return file.expires_at is None or now < file.expires_at
