"""Writes the status file beside a dropped object, so that the last word stands whoever else is writing.

A writer looks at the file that is there, then at what it has to tell, and puts its own in place of that very file. So
nobody overwrites what they haven't seen, and a final status is never followed by an older one.
"""

from __future__ import annotations

from collections.abc import Callable

from offpeak.core.drop import DropSource
from offpeak.core.errors import NotFound, StateConflict, Unavailable
from offpeak.core.ports import Reader, Writer
from offpeak.wire.drop_status import STATUS_BYTES_MAX, StoredStatus, decode_status

TRIES_MAX = 20


def write_drop_status(
    source: DropSource,
    tell: Callable[[StoredStatus | None], bytes | None],
    *,
    reader: Reader,
    writer: Writer,
) -> bool:
    """Whether it was written. `tell` is given the status that is there, and has None to say where that one stands.

    Nothing is written for an object that was replaced: the status is that of the bytes that lie there now.
    """
    for _ in range(TRIES_MAX):
        try:
            stored, etag = _read(source.status_key, reader)
            body = tell(stored) if is_current(source, reader) else None
            if body is None:
                return False
            writer.put_over(source.status_key, body, etag, "application/json")
        except StateConflict:
            continue
        return True
    raise Unavailable(f"{source.status_key} changed {TRIES_MAX} times while it was written.")


def is_current(source: DropSource, reader: Reader) -> bool:
    """Whether no other bytes lie there now. A producer may take the object away once its batch runs."""
    try:
        return reader.head(source.key).etag == source.etag
    except NotFound:
        return True


def read_drop_status(source: DropSource, reader: Reader) -> StoredStatus | None:
    """What the status file says. Raises StateConflict when it is replaced meanwhile."""
    return _read(source.status_key, reader)[0]


def _read(key: str, reader: Reader) -> tuple[StoredStatus | None, str | None]:
    """What the file says and its ETag. Raises StateConflict when it is replaced meanwhile."""
    try:
        etag = reader.head(key).etag
        return decode_status(reader.read(key, 0, STATUS_BYTES_MAX, etag=etag)), etag
    except NotFound:
        return None, None
