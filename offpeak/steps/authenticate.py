"""Who is calling: an API key in any of three headers, looked up by its hash."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from offpeak.core.account import ApiKey, Caller, Scope, hash_without_pepper
from offpeak.core.errors import Forbidden, NotFound, Unauthenticated
from offpeak.core.ports import Accounts, Clock, KeyHashes

REMEMBERED_SECONDS = 60
REMEMBERED_MAX = 1_000
SECRET_CHARACTERS_MAX = 256
_SCHEMES = frozenset({"bearer", "token"})
# One answer for a missing, an unknown, a revoked and an expired key: whoever tries keys learns nothing.
_REFUSAL = "No valid API key. Send one as 'Authorization: Bearer KEY', 'Authorization: Token KEY' or 'X-API-Key: KEY'."


class Authentication:
    """Remembers a key's account for 60 s in this process; so long may a revoked key still open the door. A key's own
    end is kept to the second."""

    def __init__(self, *, clock: Clock, accounts: Accounts, key_hashes: KeyHashes) -> None:
        self._clock = clock
        self._accounts = accounts
        self._hashes = key_hashes
        self._remembered: dict[str, tuple[Caller, float]] = {}

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Raises Unauthenticated. `headers` know their names in lower case."""
        secret = _secret(headers)
        if not secret or len(secret) > SECRET_CHARACTERS_MAX:
            raise Unauthenticated(_REFUSAL)
        key_hash = self._hashes.hash_key(secret)
        now = self._clock.now()
        remembered = self._remembered.get(key_hash)
        if remembered and now < remembered[1]:
            return remembered[0]
        self._remembered.pop(key_hash, None)
        key = self._look_up(secret, key_hash)
        if key is None or not key.is_good(now):
            raise Unauthenticated(_REFUSAL)
        caller = Caller(
            account=self._accounts.get(key.account_id), key_id=key.id, scope=key.scope,
            requests_per_second=key.requests_per_second,
        )  # fmt: skip
        if len(self._remembered) >= REMEMBERED_MAX:
            del self._remembered[next(iter(self._remembered))]
        forgotten_at = now + REMEMBERED_SECONDS
        if key.expires_at is not None:
            forgotten_at = min(forgotten_at, key.expires_at)
        self._remembered[key_hash] = (caller, forgotten_at)
        return caller

    def _look_up(self, secret: str, key_hash: str) -> ApiKey | None:
        """The key of this secret; one from before the pepper is found by the hash it was kept under. What a table gives
        is compared once more, in constant time: what opens is the hash, not whatever answers to it."""
        for wanted in (key_hash, hash_without_pepper(secret)):
            try:
                key = self._accounts.key(wanted)
            except NotFound:
                continue
            return key if hmac.compare_digest(key.hash, wanted) else None
        return None


def require_scope(caller: Caller, needed: Scope, what: str) -> None:
    """Raises Forbidden, before anything is looked at: it says nothing about what `what` leads to."""
    if not caller.scope.covers(needed):
        raise Forbidden(
            f"This key may {caller.scope}; {what} needs a key with the scope '{needed}'. "
            "`offpeak keys create --scope` makes one."
        )


def _secret(headers: Mapping[str, str]) -> str:
    scheme, _, secret = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() in _SCHEMES:
        return secret.strip()
    return headers.get("x-api-key", "").strip()
