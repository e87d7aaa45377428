"""Ends a direct upload: S3 puts the parts together, and the pending file can be used."""

from __future__ import annotations

from collections.abc import Mapping

from offpeak.core.errors import InvalidRequest, NotFound, StateConflict
from offpeak.core.file import File, FileStatus
from offpeak.core.ports import Changes, Clock, Files, Multipart, ObjectInfo, Reader, Save, Writer
from offpeak.steps.find_file import find_file


def complete_file(
    account_id: str,
    file_id: str,
    etags: Mapping[int, str],
    *,
    clock: Clock,
    reader: Reader,
    writer: Writer,
    multipart: Multipart,
    changes: Changes,
    files: Files,
) -> File:
    """The file, processed; again when it was before. `etags` are S3's answers to the parts, by their numbers.

    Raises InvalidRequest when S3 refuses the parts (they may be sent again), and when they don't add up to the
    announced bytes: then the file is dropped, for its parts can't be had back.
    """
    file = find_file(account_id, file_id, clock=clock, files=files)
    if file.multipart_id is None:
        return file
    stored = _put_together(file, file.multipart_id, etags, reader=reader, multipart=multipart)
    if stored.bytes != file.bytes:
        changes.commit(Save(file.deleted()))
        writer.delete(file.key)
        raise InvalidRequest(
            f"The parts have {stored.bytes:,} bytes, {file.bytes:,} were announced. Upload the file again.",
            param="parts",
            code="bytes_mismatch",
        )
    processed = file.processed(bytes=stored.bytes, etag=stored.etag)
    try:
        changes.commit(Save(processed))
    except StateConflict:
        return _completed_meanwhile(account_id, file_id, clock=clock, files=files)
    return processed


def _put_together(
    file: File, multipart_id: str, etags: Mapping[int, str], *, reader: Reader, multipart: Multipart
) -> ObjectInfo:
    try:
        return multipart.complete(file.key, multipart_id, etags)
    except InvalidRequest as error:
        raise InvalidRequest(
            f"S3 refused the parts: {error.message}", param="parts", code="invalid_parts"
        ) from None
    except NotFound:
        # An earlier try came this far and no further.
        try:
            return reader.head(file.key)
        except NotFound:
            raise StateConflict(
                "The upload of this file was given up. Upload the file again.",
                code="file_not_pending",
            ) from None


def _completed_meanwhile(account_id: str, file_id: str, *, clock: Clock, files: Files) -> File:
    file = find_file(account_id, file_id, clock=clock, files=files)
    if file.status is not FileStatus.PROCESSED:
        raise StateConflict(
            f"File {file_id} changed while it was completed.", code="write_conflict"
        )
    return file
