"""Makes a file of what was put at its URL: its size is known only now, and so is whether the account may have it."""

from __future__ import annotations

from dataclasses import replace

from offpeak.core.account import Account
from offpeak.core.errors import InvalidRequest, NotFound, StateConflict, TooLarge
from offpeak.core.file import File, FileStatus
from offpeak.core.ports import Changes, Clock, Files, ObjectInfo, Reader, Save, Writer
from offpeak.steps.create_file import check_new_file
from offpeak.steps.find_file import find_file

COUNTED_BYTES_MAX = 100_000_000
"""Of a larger file the lines aren't counted while the caller waits: this much is read in about 2 s."""


def complete_put(
    account: Account,
    file_id: str,
    *,
    clock: Clock,
    reader: Reader,
    writer: Writer,
    changes: Changes,
    files: Files,
) -> File:
    """The file, processed; again when it was before.

    From here on the file is the bytes that were seen: who puts others at the URL while it is good makes no batch of
    them, for every read is pinned to the ETag.

    Raises NotFound, InvalidRequest when nothing was put yet or it comes in parts, TooLarge (the file is dropped),
    StateConflict when other bytes were put meanwhile.
    """
    file = find_file(account.id, file_id, clock=clock, files=files)
    if file.status is not FileStatus.PENDING:
        return file
    stored = _stored(file, reader)
    try:
        check_new_file(account, file.purpose, stored.bytes)
    except TooLarge:
        changes.commit(Save(file.deleted()))
        writer.delete(file.key)
        raise
    processed = replace(
        file.processed(bytes=stored.bytes, etag=stored.etag),
        expires_at=file.created_at + account.kept_seconds(),
        lines=_count_lines(stored, reader),
    )
    try:
        changes.commit(Save(processed))
    except StateConflict:
        return _completed_meanwhile(account.id, file_id, clock=clock, files=files)
    return processed


def _stored(file: File, reader: Reader) -> ObjectInfo:
    if file.multipart_id is not None:
        raise InvalidRequest(
            f"File {file.id} comes in parts: complete the multipart upload.",
            code="file_not_complete",
        )
    try:
        return reader.head(file.key)
    except NotFound:
        raise InvalidRequest(
            f"Nothing was put for file {file.id} yet. PUT its bytes at the Location you were given.",
            code="file_not_complete",
        ) from None


def _count_lines(stored: ObjectInfo, reader: Reader) -> int | None:
    """The last one may lack its newline."""
    if stored.bytes > COUNTED_BYTES_MAX:
        return None
    lines, last = 0, b""
    for chunk in reader.stream(stored.key, etag=stored.etag):
        lines += chunk.count(b"\n")
        last = chunk[-1:]
    return lines + (last not in (b"", b"\n"))


def _completed_meanwhile(account_id: str, file_id: str, *, clock: Clock, files: Files) -> File:
    file = find_file(account_id, file_id, clock=clock, files=files)
    if file.status is not FileStatus.PROCESSED:
        raise StateConflict(
            f"File {file_id} changed while it was completed.", code="write_conflict"
        )
    return file
