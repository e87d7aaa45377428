"""Lists of cancelled requests, as workers read them: a JSON array of ids, under the hour in which they were sent.

    work/cancelled/{pool}/{hour}/{name}.json

A worker knows the hours of its own requests and reads no others; the lists go with `work/` after two weeks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from offpeak.core.ids import REQUEST, birth

_IDS = msgspec.json.Decoder(list[str])


def hour_of(request_id: str) -> str | None:
    """The name of the hour it was sent in; None for what is no request's id."""
    born = birth(request_id, REQUEST)
    return None if born is None else f"{int(born) // 3600:08}"


def by_hour(request_ids: Iterable[str]) -> Mapping[str, list[str]]:
    hours: dict[str, list[str]] = defaultdict(list)
    for request_id in request_ids:
        hour = hour_of(request_id)
        if hour is not None:
            hours[hour].append(request_id)
    return hours


def encode_ids(request_ids: Iterable[str]) -> bytes:
    return msgspec.json.encode(list(request_ids))


def decode_ids(body: bytes) -> list[str]:
    """Raises ValueError."""
    return _IDS.decode(body)
