"""Ids sort by their time of birth: 12 hex digits of milliseconds, then 64 random bits. Lists need no other index."""

from __future__ import annotations

import secrets

FILE, BATCH, UPLOAD, PART, ACCOUNT, KEY = "file-", "batch_", "upload_", "part_", "acct_", "key_"
WEBHOOK, EVENT = "whe_", "evt_"


def new_id(prefix: str, now: float) -> str:
    """A new id such as `batch_0193…`. `now` is in seconds since the epoch."""
    return f"{prefix}{int(now * 1000):012x}{secrets.token_hex(8)}"
