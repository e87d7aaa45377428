"""Finds a file whose bytes can be downloaded, and are its own."""

from __future__ import annotations

from offpeak.core.errors import NotFound, StateConflict
from offpeak.core.file import File, FileStatus
from offpeak.core.ports import Clock, Files, Reader
from offpeak.steps.create_file import INPUT_PURPOSE
from offpeak.steps.find_file import find_file


def find_content(
    account_id: str, file_id: str, *, clock: Clock, files: Files, reader: Reader
) -> File:
    """Raises NotFound, and StateConflict for a file that isn't complete yet or in whose place other bytes were put."""
    file = find_file(account_id, file_id, clock=clock, files=files)
    if file.status is FileStatus.PENDING:
        raise StateConflict(f"File {file.id} is not complete yet.", code="file_not_complete")
    check_bytes(file, reader)
    return file


def check_bytes(file: File, reader: Reader) -> None:
    """Raises StateConflict where the bytes aren't the file's. Only uploads can be written to by others than us, through
    a URL that is still good."""
    if file.purpose != INPUT_PURPOSE or file.etag is None:
        return
    try:
        is_itself = reader.head(file.key).etag == file.etag
    except NotFound:
        raise NotFound(f"There is no file {file.id}.") from None
    if not is_itself:
        raise StateConflict(
            f"Other bytes were put in the place of file {file.id} after it was processed. Upload it again.",
            code="file_replaced",
        )
