"""What may be shown of a record that was given up: ids of ours, never what somebody asked or was answered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

SHOWN = frozenset(
    {
        "pool", "account_id", "batch_id", "group_id", "gathering_id", "lane_id", "destination_id",
        "event_id", "id", "model", "detail-type", "inferenceId", "invocationStatus", "eventName",
    }
)  # fmt: skip
INSIDE = frozenset({"detail"})
"""Objects of an envelope that hold such names. A request's body is none of them."""
NAME = re.compile(r"[A-Za-z0-9_.:/#-]{1,100}")
"""Anything else is not one of ours, whatever its field is called."""


def names_in(body: str) -> dict[str, str]:
    """The fields of `SHOWN` that a record has. Nothing for what is no JSON object."""
    try:
        record = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return dict(_names(record)) if isinstance(record, dict) else {}


def _names(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for field, value in record.items():
        if field in SHOWN and isinstance(value, str) and NAME.fullmatch(value):
            yield field, value
        elif field in INSIDE and isinstance(value, dict):
            yield from _names({k: v for k, v in value.items() if k not in INSIDE})
