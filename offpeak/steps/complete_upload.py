"""Completes an upload: joins its parts, in the caller's order, into a file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from offpeak.core.account import DAY_SECONDS, RETENTION_DAYS
from offpeak.core.errors import InvalidRequest, StateConflict
from offpeak.core.file import File, Upload, UploadStatus
from offpeak.core.ids import FILE, new_id
from offpeak.core.layout import file_key, part_key
from offpeak.core.ports import (
    Add,
    Changes,
    Clock,
    Files,
    Multipart,
    ObjectInfo,
    Reader,
    Save,
    Writer,
)
from offpeak.steps.add_part import require_pending
from offpeak.steps.join_objects import join_objects

STORED_PARTS_MAX = 20_000
KEPT_SECONDS = RETENTION_DAYS * DAY_SECONDS  # of what was begun before uploads said it


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedUpload:
    upload: Upload
    file: File


def complete_upload(
    account_id: str,
    upload_id: str,
    part_ids: Sequence[str],
    md5: str | None,
    *,
    clock: Clock,
    reader: Reader,
    writer: Writer,
    multipart: Multipart,
    changes: Changes,
    files: Files,
) -> CompletedUpload:
    """The upload and its file; the same again when it was completed before.

    Raises InvalidRequest for a part that isn't there or is named twice, and when the bytes or their MD5 differ from
    what was announced (the upload stays pending); StateConflict when it was cancelled or has expired.
    """
    upload = files.upload(account_id, upload_id)
    if upload.file_id is not None:
        return _completed_before(upload, upload.file_id, files)
    now = int(clock.now())
    require_pending(upload, now)
    parts = _find_parts(upload, part_ids, reader)
    _check_bytes(upload, parts)
    if md5 is not None:
        _check_md5(parts, md5, reader)
    file_id = new_id(FILE, clock.now())
    stored = join_objects(
        parts,
        file_key(account_id, file_id),
        "application/octet-stream",
        reader=reader,
        multipart=multipart,
        writer=writer,
    )
    file = File(
        id=file_id,
        account_id=account_id,
        filename=upload.filename,
        purpose=upload.purpose,
        bytes=stored.bytes,
        key=stored.key,
        created_at=now,
        expires_at=now + (upload.file_expires_after or KEPT_SECONDS),
        etag=stored.etag,
    )
    completed = upload.completed(file.id, now)
    try:
        changes.commit(Add(file), Save(completed))
    except StateConflict:
        writer.delete(file.key)
        return _settled_meanwhile(account_id, upload_id, now, files)
    return CompletedUpload(upload=completed, file=file)


def _settled_meanwhile(account_id: str, upload_id: str, now: int, files: Files) -> CompletedUpload:
    """Another completion, or a cancellation, was faster."""
    upload = files.upload(account_id, upload_id)
    if upload.status is UploadStatus.COMPLETED and upload.file_id is not None:
        return _completed_before(upload, upload.file_id, files)
    require_pending(upload, now)
    raise StateConflict(f"Upload {upload.id} changed meanwhile.", code="write_conflict")


def _completed_before(upload: Upload, file_id: str, files: Files) -> CompletedUpload:
    return CompletedUpload(upload=upload, file=files.get(upload.account_id, file_id))


def _find_parts(upload: Upload, part_ids: Sequence[str], reader: Reader) -> list[ObjectInfo]:
    """The parts in the caller's order. Ids are looked up among what is there, never made keys of."""
    if len(set(part_ids)) != len(part_ids):
        raise _invalid("part_ids", "duplicate_part", "'part_ids' names a part twice.")
    prefix = part_key(upload.account_id, upload.id, "")
    listed = islice(reader.list(prefix), STORED_PARTS_MAX)
    stored = {info.key.removeprefix(prefix): info for info in listed}
    missing = [part_id for part_id in part_ids if part_id not in stored]
    if missing:
        raise _invalid(
            "part_ids", "part_not_found", f"Upload {upload.id} has no part {missing[0]!r}."
        )
    return [stored[part_id] for part_id in part_ids]


def _check_bytes(upload: Upload, parts: Sequence[ObjectInfo]) -> None:
    total = sum(part.bytes for part in parts)
    if total != upload.bytes:
        raise _invalid(
            "part_ids",
            "bytes_mismatch",
            f"The parts have {total:,} bytes, {upload.bytes:,} were announced.",
        )


def _check_md5(parts: Sequence[ObjectInfo], md5: str, reader: Reader) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    for part in parts:
        for chunk in reader.stream(part.key):
            digest.update(chunk)
    if digest.hexdigest() != md5.lower():
        raise _invalid("md5", "md5_mismatch", f"The parts' MD5 is {digest.hexdigest()}, not {md5}.")


def _invalid(param: str, code: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, param=param, code=code)
