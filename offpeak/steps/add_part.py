"""Adds a part to an upload: an object of its own until the upload is complete, which names the order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from offpeak.core.errors import InvalidRequest, StateConflict
from offpeak.core.file import Upload, UploadStatus
from offpeak.core.ids import PART
from offpeak.core.layout import part_key
from offpeak.core.ports import Clock, Files, Idempotency, Writer
from offpeak.steps.reserve_id import reserve_id


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedPart:
    id: str
    upload_id: str
    created_at: int


def add_part(
    account_id: str,
    upload_id: str,
    data: bytes,
    *,
    idempotency_key: str | None,
    clock: Clock,
    writer: Writer,
    files: Files,
    idempotency: Idempotency,
) -> AddedPart:
    """Raises NotFound, InvalidRequest for a part larger than the whole, StateConflict when the upload has ended."""
    upload = files.upload(account_id, upload_id)
    require_pending(upload, clock.now())
    check_part_bytes(upload, len(data))
    part_id = reserve_id(
        PART,
        account_id=account_id,
        route=f"POST /uploads/{upload.id}/parts",
        key=idempotency_key,
        request={"sha256": hashlib.sha256(data).hexdigest()},
        clock=clock,
        idempotency=idempotency,
    )
    writer.put(part_key(account_id, upload.id, part_id), data)
    return AddedPart(id=part_id, upload_id=upload.id, created_at=int(clock.now()))


def check_part_bytes(upload: Upload, size: int) -> None:
    """Raises InvalidRequest for a part larger than the whole."""
    if size > upload.bytes:
        raise InvalidRequest(
            f"The part has {size:,} bytes, the whole upload {upload.bytes:,}.",
            param="data",
            code="bytes_mismatch",
        )


def require_pending(upload: Upload, now: float) -> None:
    """Raises StateConflict."""
    status = upload.status_at(int(now))
    if status is not UploadStatus.PENDING:
        raise StateConflict(f"Upload {upload.id} is {status}.", code="upload_not_pending")
