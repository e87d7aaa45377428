"""What travels in the queue of stand-alone requests, as JSON.

    a request     {"id", "account_id", "model", "endpoint", "window", "deadline", "tokens",
                   "body" | "body_key", "again"?}
    a reminder    {"lane_id", "gathering_id"}      look whether this gathering is due

Decoding raises `msgspec.DecodeError` (a ValueError) for anything else.
"""

from __future__ import annotations

import msgspec

QUEUED_BODY_BYTES_MAX = 200_000
"""A larger body waits in S3: the queue's messages have at most 1 MiB, and a function is handed 6 MB of them."""


NO_BODY = msgspec.Raw()


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A registered request on its way into a shard. `body` is its JSON on one line, ASCII; a large one lies at
    `body_key`. `window` in seconds, `deadline` in seconds since the epoch. `tokens` is what it may
    generate at most. `again`: it may have been sent before."""

    id: str
    account_id: str
    model: str
    endpoint: str
    window: int
    deadline: int
    tokens: int = 0
    body: msgspec.Raw = NO_BODY
    body_key: str | None = None
    again: bool = False


class Reminder(msgspec.Struct, frozen=True, kw_only=True):
    lane_id: str
    gathering_id: str


Record = RequestRecord | Reminder

_ENCODER = msgspec.json.Encoder()
_REQUESTS = msgspec.json.Decoder(RequestRecord)
_REMINDERS = msgspec.json.Decoder(Reminder)


def encode_record(record: Record) -> str:
    return _ENCODER.encode(record).decode()


def decode_record(text: str) -> Record:
    try:
        return _REMINDERS.decode(text)
    except msgspec.ValidationError:
        return _REQUESTS.decode(text)
