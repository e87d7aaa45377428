"""Makes a file of bytes that came with the request."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from offpeak.core.account import Account
from offpeak.core.errors import InvalidRequest, NotFound, StateConflict, TooLarge
from offpeak.core.file import File
from offpeak.core.ids import FILE
from offpeak.core.layout import file_key
from offpeak.core.ports import Add, Changes, Clock, Files, Idempotency, Writer
from offpeak.steps.reserve_id import reserve_id

INPUT_PURPOSE = "batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    filename: str
    purpose: str
    expires_after: int | None = None


def create_file(
    account: Account,
    new: NewFile,
    body: bytes,
    *,
    idempotency_key: str | None,
    clock: Clock,
    writer: Writer,
    changes: Changes,
    files: Files,
    idempotency: Idempotency,
) -> File:
    """The object first, then the row that makes it a file. Raises InvalidRequest, TooLarge, StateConflict."""
    check_new_file(account, new.purpose, len(body))
    file_id = reserve_id(
        FILE,
        account_id=account.id,
        route="POST /files",
        key=idempotency_key,
        request={
            "filename": new.filename,
            "purpose": new.purpose,
            "expires_after": new.expires_after,
            "sha256": hashlib.sha256(body).hexdigest(),
        },
        clock=clock,
        idempotency=idempotency,
    )
    made = already_made(account.id, file_id, files) if idempotency_key else None
    if made is not None:
        return made
    stored = writer.put(file_key(account.id, file_id), body)
    now = int(clock.now())
    file = File(
        id=file_id,
        account_id=account.id,
        filename=new.filename,
        purpose=new.purpose,
        bytes=len(body),
        key=stored.key,
        created_at=now,
        expires_at=now + account.kept_seconds(new.expires_after),
        etag=stored.etag,
    )
    return add_file(file, changes=changes, files=files)


def check_new_file(account: Account, purpose: str, size: int) -> None:
    """Raises InvalidRequest for a purpose that isn't ours, TooLarge over the account's limit."""
    check_purpose(purpose)
    check_file_bytes(account, size)


def check_purpose(purpose: str) -> None:
    """Raises InvalidRequest."""
    if purpose != INPUT_PURPOSE:
        raise InvalidRequest(
            f"Invalid value for 'purpose': {purpose!r}. Only {INPUT_PURPOSE!r} is supported.",
            param="purpose",
            code="invalid_purpose",
        )


def check_file_bytes(account: Account, size: int, *, at_least: bool = False) -> None:
    """Raises TooLarge. With `at_least`, `size` is what has come so far."""
    limit = account.limits.file_bytes_max
    if size > limit:
        raise TooLarge(
            f"The file has {'at least ' if at_least else ''}{size:,} bytes; this account's limit is {limit:,} bytes a "
            "file. Split it, or ask the operators of this service to lift the limit.",
            param="bytes",
            code="file_too_large",
        )


def already_made(account_id: str, file_id: str, files: Files) -> File | None:
    """What an earlier request with the same Idempotency-Key made."""
    try:
        return files.get(account_id, file_id)
    except NotFound:
        return None


def add_file(file: File, *, changes: Changes, files: Files) -> File:
    """Adds the row; when the same request is a step ahead, its row is the answer."""
    try:
        changes.commit(Add(file))
    except StateConflict:
        return files.get(file.account_id, file.id)
    return file
