"""Begins a file whose bytes come in one PUT straight to S3, of a size nobody has announced: Together's upload."""

from __future__ import annotations

from dataclasses import dataclass

from offpeak.core.account import Account
from offpeak.core.file import File, FileStatus
from offpeak.core.ids import FILE
from offpeak.core.layout import file_key
from offpeak.core.ports import Changes, Clock, Files, Idempotency, Presigner
from offpeak.steps.create_file import NewFile, add_file, already_made, check_new_file
from offpeak.steps.reserve_id import reserve_id

URL_SECONDS = 900
"""To begin the PUT in; it may last longer. Whoever has the URL can put other bytes there meanwhile: no read takes them
for the file (see `complete_put`)."""
PENDING_SECONDS = 86_400
"""A file that nobody completed is deleted then, with what was put."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunPut:
    file: File
    url: str


def begin_put(
    account: Account,
    new: NewFile,
    *,
    idempotency_key: str | None,
    clock: Clock,
    presigner: Presigner,
    changes: Changes,
    files: Files,
    idempotency: Idempotency,
) -> BegunPut:
    """A pending file, and where its bytes go; `complete_put` makes it usable. Raises InvalidRequest, StateConflict."""
    check_new_file(account, new.purpose, 0)
    file_id = reserve_id(
        FILE,
        account_id=account.id,
        route="POST /together/files",
        key=idempotency_key,
        request={"filename": new.filename, "purpose": new.purpose},
        clock=clock,
        idempotency=idempotency,
    )
    file = already_made(account.id, file_id, files) if idempotency_key else None
    if file is None:
        now = int(clock.now())
        pending = File(
            id=file_id, account_id=account.id, filename=new.filename, purpose=new.purpose, bytes=0,
            key=file_key(account.id, file_id), created_at=now, expires_at=now + PENDING_SECONDS,
            status=FileStatus.PENDING,
        )  # fmt: skip
        file = add_file(pending, changes=changes, files=files)
    return BegunPut(file=file, url=presigner.upload_url(file.key, URL_SECONDS))
