"""Adds a part to an upload out of bytes that were received in parts themselves; of what is smaller, `add_part` does."""

from __future__ import annotations

from offpeak.core.errors import NotFound
from offpeak.core.ids import PART
from offpeak.core.layout import part_key
from offpeak.core.ports import Clock, Files, Idempotency, Multipart, ObjectInfo, Reader, Writer
from offpeak.steps.add_part import AddedPart, add_part, check_part_bytes, require_pending
from offpeak.steps.join_objects import join_objects
from offpeak.steps.received_object import ReceivedObject
from offpeak.steps.reserve_id import reserve_id


def receive_part(
    account_id: str,
    upload_id: str,
    received: ReceivedObject,
    *,
    idempotency_key: str | None,
    clock: Clock,
    reader: Reader,
    writer: Writer,
    multipart: Multipart,
    files: Files,
    idempotency: Idempotency,
) -> AddedPart:
    """Raises what `add_part` does. `received` must be hashed where there is an Idempotency-Key."""
    content = received.content
    if content is not None:
        return add_part(
            account_id, upload_id, content, idempotency_key=idempotency_key, clock=clock,
            writer=writer, files=files, idempotency=idempotency,
        )  # fmt: skip
    upload = files.upload(account_id, upload_id)
    require_pending(upload, clock.now())
    check_part_bytes(upload, received.bytes)
    part_id = reserve_id(
        PART,
        account_id=account_id,
        route=f"POST /uploads/{upload.id}/parts",
        key=idempotency_key,
        request={"sha256": received.sha256},
        fresh=received.id,
        clock=clock,
        idempotency=idempotency,
    )
    key = part_key(account_id, upload.id, part_id)
    if not _is_there(key, reader):
        stored = received.complete()
        _move(stored, key, reader=reader, writer=writer, multipart=multipart)
    return AddedPart(id=part_id, upload_id=upload.id, created_at=int(clock.now()))


def _is_there(key: str, reader: Reader) -> bool:
    try:
        reader.head(key)
    except NotFound:
        return False
    return True


def _move(
    stored: ObjectInfo, key: str, *, reader: Reader, writer: Writer, multipart: Multipart
) -> None:
    """To where the id says, where an earlier try of the same request reserved it and came no further."""
    if stored.key == key:
        return
    join_objects(
        [stored], key, "application/octet-stream",
        reader=reader, multipart=multipart, writer=writer,
    )  # fmt: skip
    writer.delete(stored.key)
