"""S3's events of new objects, as EventBridge puts them into SQS."""

from __future__ import annotations

import msgspec


class _Named(msgspec.Struct):
    name: str


class _Object(msgspec.Struct):
    key: str


class _Detail(msgspec.Struct):
    bucket: _Named
    object: _Object


class _Event(msgspec.Struct):
    detail: _Detail


_EVENTS = msgspec.json.Decoder(_Event)


def parse_drop_event(body: str | bytes, bucket: str) -> str | None:
    """The key of the new object; None for another bucket's. Raises ValueError for what is no such event.

    The ETag in the event is that of an object which may be gone: what lies there now is looked at instead.
    """
    detail = _EVENTS.decode(body).detail
    return detail.object.key if detail.bucket.name == bucket else None
