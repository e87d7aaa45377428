"""Makes an upload: a file to come, whose parts pass through the API one by one."""

from __future__ import annotations

from dataclasses import dataclass

from offpeak.core.account import Account
from offpeak.core.errors import NotFound, StateConflict, TooLarge
from offpeak.core.file import Upload
from offpeak.core.ids import UPLOAD
from offpeak.core.ports import Add, Changes, Clock, Files, Idempotency
from offpeak.steps.create_file import check_new_file
from offpeak.steps.reserve_id import reserve_id

UPLOAD_SECONDS = 3_600
UPLOAD_BYTES_MAX = 256 << 20
"""Completing reads all of it (twice, when an MD5 is to be checked) and writes it once, while the caller waits: 20 s at
the 40 MB/s that a function surely gets, and API Gateway gives up after 29 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUpload:
    """`bytes` is the size of the file that the parts will make."""

    filename: str
    purpose: str
    mime_type: str
    bytes: int
    expires_after: int | None = None


def create_upload(
    account: Account,
    new: NewUpload,
    *,
    idempotency_key: str | None,
    clock: Clock,
    changes: Changes,
    files: Files,
    idempotency: Idempotency,
) -> Upload:
    """Pending, for an hour. Raises InvalidRequest, TooLarge, StateConflict."""
    check_new_file(account, new.purpose, new.bytes)
    if new.bytes > UPLOAD_BYTES_MAX:
        raise TooLarge(
            f"An upload makes at most {UPLOAD_BYTES_MAX:,} bytes. Send a larger file straight to S3: "
            "POST /v1/files with JSON {filename, purpose, bytes}.",
            param="bytes",
            code="upload_too_large",
        )
    upload_id = reserve_id(
        UPLOAD,
        account_id=account.id,
        route="POST /uploads",
        key=idempotency_key,
        request={
            "filename": new.filename,
            "purpose": new.purpose,
            "mime_type": new.mime_type,
            "bytes": new.bytes,
            "expires_after": new.expires_after,
        },
        clock=clock,
        idempotency=idempotency,
    )
    now = int(clock.now())
    upload = Upload(
        id=upload_id,
        account_id=account.id,
        filename=new.filename,
        purpose=new.purpose,
        mime_type=new.mime_type,
        bytes=new.bytes,
        created_at=now,
        expires_at=now + UPLOAD_SECONDS,
        file_expires_after=account.kept_seconds(new.expires_after),
    )
    try:
        changes.commit(Add(upload))
    except StateConflict:
        return _made_before(account.id, upload_id, files)
    return upload


def _made_before(account_id: str, upload_id: str, files: Files) -> Upload:
    try:
        return files.upload(account_id, upload_id)
    except NotFound:
        raise StateConflict("The upload changed meanwhile.", code="write_conflict") from None
