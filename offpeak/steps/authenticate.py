"""Who is calling: an API key in any of three headers, looked up by its hash."""

from __future__ import annotations

from collections.abc import Mapping

from offpeak.core.account import Account, hash_secret
from offpeak.core.errors import NotFound, Unauthenticated
from offpeak.core.ports import Accounts, Clock

REMEMBERED_SECONDS = 60
REMEMBERED_MAX = 1_000
SECRET_CHARACTERS_MAX = 256
_SCHEMES = frozenset({"bearer", "token"})
# One answer for a missing, an unknown and a revoked key: whoever tries keys learns nothing.
_REFUSAL = "No valid API key. Send one as 'Authorization: Bearer KEY', 'Authorization: Token KEY' or 'X-API-Key: KEY'."


class Authentication:
    """Remembers a key's account for 60 s in this process; so long may a revoked key still open the door."""

    def __init__(self, *, clock: Clock, accounts: Accounts) -> None:
        self._clock = clock
        self._accounts = accounts
        self._remembered: dict[str, tuple[Account, float]] = {}

    def account(self, headers: Mapping[str, str]) -> Account:
        """The caller's account. Raises Unauthenticated. `headers` know their names in lower case."""
        secret = _secret(headers)
        if not secret or len(secret) > SECRET_CHARACTERS_MAX:
            raise Unauthenticated(_REFUSAL)
        key_hash = hash_secret(secret)
        now = self._clock.now()
        remembered = self._remembered.get(key_hash)
        if remembered and now < remembered[1]:
            return remembered[0]
        self._remembered.pop(key_hash, None)
        account = self._look_up(key_hash)
        if len(self._remembered) >= REMEMBERED_MAX:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[key_hash] = (account, now + REMEMBERED_SECONDS)
        return account

    def _look_up(self, key_hash: str) -> Account:
        try:
            key = self._accounts.key(key_hash)
        except NotFound:
            raise Unauthenticated(_REFUSAL) from None
        if key.revoked_at is not None:
            raise Unauthenticated(_REFUSAL)
        return self._accounts.get(key.account_id)


def _secret(headers: Mapping[str, str]) -> str:
    scheme, _, secret = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() in _SCHEMES:
        return secret.strip()
    return headers.get("x-api-key", "").strip()
