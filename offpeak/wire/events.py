"""Events as receivers get them: OpenAI's envelope, and the headers of Standard Webhooks that sign it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Any

from offpeak.core.delivery import Event
from offpeak.core.webhook import SECRET_PREFIX

USER_AGENT = "Offpeak-Webhooks/1"


def make_event(event_id: str, event_type: str, created_at: int, data: Mapping[str, Any]) -> Event:
    """An event in OpenAI's envelope; `created_at` is when it happened, in seconds since the epoch."""
    fields = {
        "id": event_id,
        "object": "event",
        "created_at": created_at,
        "type": event_type,
        "data": dict(data),
    }
    return Event(id=event_id, type=event_type, created_at=created_at, body=json.dumps(fields))


def signed_headers(
    event_id: str, body: bytes, *, secrets: Iterable[str], now: float
) -> dict[str, str]:
    """What goes with the body. One signature a secret; a receiver takes any that it knows."""
    timestamp = str(int(now))
    return {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(
            f"v1,{_signature(secret, event_id, timestamp, body)}" for secret in secrets
        ),
    }


def _signature(secret: str, event_id: str, timestamp: str, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{event_id}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
