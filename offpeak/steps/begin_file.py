"""Begins a file whose bytes go straight to S3, in parts, and are made a file by `complete_file`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offpeak.core.account import Account
from offpeak.core.errors import InvalidRequest
from offpeak.core.file import File, FileStatus
from offpeak.core.ids import FILE
from offpeak.core.layout import file_key
from offpeak.core.ports import (
    PART_BYTES_MAX,
    PART_BYTES_MIN,
    Changes,
    Clock,
    Files,
    Idempotency,
    Multipart,
    Presigner,
)
from offpeak.steps.create_file import NewFile, add_file, already_made, check_new_file
from offpeak.steps.reserve_id import reserve_id

MIB = 1 << 20
PART_BYTES_SMALLEST = 32 * MIB
PARTS_WANTED_MAX = 1_000  # so that their URLs, up to 2 kB each, fit one answer
URL_SECONDS = 6 * 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunFile:
    """`part_urls[n - 1]` takes part n; `part_bytes` is the size of each but the last."""

    file: File
    part_bytes: int
    part_urls: Sequence[str]
    urls_expire_at: int


def begin_file(
    account: Account,
    new: NewFile,
    size: int,
    *,
    parts: int | None = None,
    idempotency_key: str | None,
    clock: Clock,
    multipart: Multipart,
    presigner: Presigner,
    changes: Changes,
    files: Files,
    idempotency: Idempotency,
) -> BegunFile:
    """A pending file of `size` bytes, in as many parts as the caller wants. With an Idempotency-Key, asking again gives
    fresh URLs for the same file.

    Raises InvalidRequest, TooLarge, StateConflict.
    """
    check_new_file(account, new.purpose, size)
    part_bytes = _part_bytes(size) if parts is None else _equal_part_bytes(size, parts)
    file_id = reserve_id(
        FILE,
        account_id=account.id,
        route="POST /files",
        key=idempotency_key,
        request={
            "filename": new.filename,
            "purpose": new.purpose,
            "expires_after": new.expires_after,
            "bytes": size,
            **({} if parts is None else {"parts": parts}),
        },
        clock=clock,
        idempotency=idempotency,
    )
    file = already_made(account.id, file_id, files) if idempotency_key else None
    if file is None:
        file = _add_pending(account, new, size, file_id, clock, multipart, changes, files)
    multipart_id = file.multipart_id if file.status is FileStatus.PENDING else None
    numbers = range(1, max(1, -(-size // part_bytes)) + 1) if multipart_id else ()
    return BegunFile(
        file=file,
        part_bytes=part_bytes,
        part_urls=[
            presigner.part_url(file.key, multipart_id or "", number, URL_SECONDS)
            for number in numbers
        ],
        urls_expire_at=int(clock.now()) + URL_SECONDS,
    )


def _add_pending(
    account: Account, new: NewFile, size: int, file_id: str, clock: Clock, multipart: Multipart,
    changes: Changes, files: Files,
) -> File:  # fmt: skip
    now = int(clock.now())
    key = file_key(account.id, file_id)
    multipart_id = multipart.begin(key)
    pending = File(
        id=file_id,
        account_id=account.id,
        filename=new.filename,
        purpose=new.purpose,
        bytes=size,
        key=key,
        created_at=now,
        expires_at=now + account.kept_seconds(new.expires_after),
        status=FileStatus.PENDING,
        multipart_id=multipart_id,
    )
    file = add_file(pending, changes=changes, files=files)
    if file.multipart_id != multipart_id:
        multipart.abort(key, multipart_id)
    return file


def _equal_part_bytes(size: int, parts: int) -> int:
    """Raises InvalidRequest where S3 would refuse such parts."""
    part_bytes = -(-size // parts)
    if part_bytes > PART_BYTES_MAX or (parts > 1 and part_bytes < PART_BYTES_MIN):
        raise InvalidRequest(
            f"{parts} parts of {size:,} bytes are {part_bytes:,} bytes each; "
            f"a part has {PART_BYTES_MIN:,} to {PART_BYTES_MAX:,} bytes.",
            param="num_parts",
            code="invalid_parts",
        )
    return part_bytes


def _part_bytes(size: int) -> int:
    """Whole MiB, as few as keep the parts countable."""
    return max(PART_BYTES_SMALLEST, -(-size // (PARTS_WANTED_MAX * MIB)) * MIB)
