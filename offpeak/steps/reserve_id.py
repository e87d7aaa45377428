"""Reserves the id of what a POST will make, so that the same request sent twice makes it once.

The id is stored under the caller's `Idempotency-Key` before anything is made. Whoever repeats the request gets the
same id and finishes what an earlier try left undone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from offpeak.core.errors import InvalidRequest, StateConflict
from offpeak.core.ids import new_id
from offpeak.core.ports import Claim, Clock, Idempotency

KEY_CHARACTERS_MAX = 255
CLAIM_SECONDS = 86_400


def reserve_id(
    prefix: str,
    *,
    account_id: str,
    route: str,
    key: str | None,
    request: Mapping[str, Any],
    fresh: str | None = None,
    clock: Clock,
    idempotency: Idempotency,
) -> str:
    """A new id, or the one that this account's request with this key was given within the last day.

    `request` is what the request means, as JSON values; `fresh` is the new id, where one was made before. Raises
    InvalidRequest for a key that is none, StateConflict (code `idempotency_key_reused`) when the key came with another
    request before.
    """
    now = clock.now()
    fresh = fresh or new_id(prefix, now)
    if key is None:
        return fresh
    if not 0 < len(key) <= KEY_CHARACTERS_MAX or not (key.isascii() and key.isprintable()):
        raise InvalidRequest(
            f"An Idempotency-Key is 1 to {KEY_CHARACTERS_MAX} printable ASCII characters.",
            param="Idempotency-Key",
            code="invalid_idempotency_key",
        )
    text = json.dumps(request, sort_keys=True)
    claim = Claim(resource_id=fresh, fingerprint=hashlib.sha256(text.encode()).hexdigest())
    held = idempotency.claim(f"{account_id} {route}", key, claim, int(now) + CLAIM_SECONDS)
    if held.fingerprint != claim.fingerprint:
        raise StateConflict(
            "This Idempotency-Key was used for a different request. Use a new key.",
            param="Idempotency-Key",
            code="idempotency_key_reused",
        )
    return held.resource_id
