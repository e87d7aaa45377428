"""S3's notices of new objects, as it puts them into SQS: keys are quoted as in a form, a space is a plus.

A new configuration is greeted by a test notice, which has no records.
"""

from __future__ import annotations

from urllib.parse import unquote_plus

import msgspec


class _Named(msgspec.Struct):
    name: str


class _Object(msgspec.Struct):
    key: str


class _Place(msgspec.Struct):
    bucket: _Named
    object: _Object


class _Record(msgspec.Struct):
    s3: _Place


class _Notice(msgspec.Struct, rename="pascal"):
    records: list[_Record] | None = None
    event: str | None = None


_NOTICES = msgspec.json.Decoder(_Notice)
_TEST = "s3:TestEvent"


def parse_drop_event(body: str | bytes, bucket: str) -> list[str]:
    """The keys of the new objects in this bucket. Raises ValueError for what is no such notice.

    The ETag that it gives is that of an object which may be gone: what lies there now is looked at instead.
    """
    notice = _NOTICES.decode(body)
    if notice.records is None and notice.event != _TEST:
        raise ValueError("This is no notice of S3's.")
    places = [record.s3 for record in notice.records or ()]
    return [unquote_plus(p.object.key) for p in places if p.bucket.name == bucket]
