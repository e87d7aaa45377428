"""Ids sort by their time of birth: 12 hex digits of milliseconds, then 64 random bits. Lists need no other index."""

from __future__ import annotations

import secrets

FILE, BATCH, UPLOAD, PART, ACCOUNT, KEY = "file-", "batch_", "upload_", "part_", "acct_", "key_"
REQUEST, GROUP, GATHERING = "req_", "group_", "gather_"
MILLISECOND_DIGITS = 12
WEBHOOK, EVENT = "whe_", "evt_"
AUDIT = "audit_"


def new_id(prefix: str, now: float) -> str:
    """A new id such as `batch_0193…`. `now` is in seconds since the epoch."""
    return f"{prefix}{int(now * 1000):012x}{secrets.token_hex(8)}"


def birth(id: str, prefix: str) -> float | None:
    """When an id of this prefix was made, in seconds since the epoch; None for what `new_id` did not make."""
    digits = id[len(prefix) : len(prefix) + MILLISECOND_DIGITS]
    whole = id.startswith(prefix) and len(id) == len(prefix) + MILLISECOND_DIGITS + 16
    try:
        return int(digits, 16) / 1000 if whole else None
    except ValueError:
        return None
