"""Makes a file of bytes that were received in parts; of what is smaller, `create_file` does."""

from __future__ import annotations

from offpeak.core.account import Account
from offpeak.core.errors import NotFound, StateConflict
from offpeak.core.file import File
from offpeak.core.ids import FILE
from offpeak.core.ports import Changes, Clock, Files, Idempotency, Writer
from offpeak.steps.create_file import NewFile, add_file, already_made, check_new_file, create_file
from offpeak.steps.received_object import ReceivedObject
from offpeak.steps.reserve_id import reserve_id


def receive_file(
    account: Account,
    new: NewFile,
    received: ReceivedObject,
    *,
    idempotency_key: str | None,
    clock: Clock,
    writer: Writer,
    changes: Changes,
    files: Files,
    idempotency: Idempotency,
) -> File:
    """The object first, then the row that makes it a file. Raises what `create_file` does.

    `received` must be hashed where there is an Idempotency-Key: the same key with other bytes is another request. What
    an earlier request made is answered again, and what was received now is given up with its context.
    """
    content = received.content
    if content is not None:
        return create_file(
            account, new, content, idempotency_key=idempotency_key, clock=clock, writer=writer,
            changes=changes, files=files, idempotency=idempotency,
        )  # fmt: skip
    check_new_file(account, new.purpose, received.bytes)
    file_id = reserve_id(
        FILE,
        account_id=account.id,
        route="POST /files",
        key=idempotency_key,
        request={
            "filename": new.filename,
            "purpose": new.purpose,
            "expires_after": new.expires_after,
            "sha256": received.sha256,
        },
        fresh=received.id,
        clock=clock,
        idempotency=idempotency,
    )
    made = already_made(account.id, file_id, files) if idempotency_key else None
    if made is not None:
        return made
    stored = received.complete()
    now = int(clock.now())
    file = File(
        id=file_id,
        account_id=account.id,
        filename=new.filename,
        purpose=new.purpose,
        bytes=received.bytes,
        key=stored.key,
        created_at=now,
        expires_at=now + account.kept_seconds(new.expires_after),
        etag=stored.etag,
    )
    return _added(file, writer=writer, changes=changes, files=files)


def _added(file: File, *, writer: Writer, changes: Changes, files: Files) -> File:
    """The file; or the one that the same request, a step ahead, made of its own bytes."""
    try:
        kept = add_file(file, changes=changes, files=files)
    except (NotFound, StateConflict):
        writer.delete(file.key)
        raise
    if kept.key != file.key:
        writer.delete(file.key)
    return kept
