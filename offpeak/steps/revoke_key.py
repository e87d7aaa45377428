"""Revokes an API key. Processes that remember it forget it within 60 s (the time they keep a key's lookup)."""

from __future__ import annotations

from offpeak.core.account import ApiKey
from offpeak.core.errors import NotFound, StateConflict
from offpeak.core.ports import Accounts, Changes, Clock, Save

TRIES_MAX = 5


def revoke_key(key_id: str, *, clock: Clock, accounts: Accounts, changes: Changes) -> ApiKey:
    """The key of this id, revoked now, or when it was revoked before. Raises NotFound for an unknown id."""
    for tries_left in reversed(range(TRIES_MAX)):
        key = find_key(key_id, accounts)
        if key.revoked_at is not None:
            return key
        revoked = key.revoked(int(clock.now()))
        try:
            changes.commit(Save(revoked))
        except StateConflict:
            if not tries_left:
                raise
        else:
            return revoked
    raise AssertionError("unreachable: the last try returns or raises")


def find_key(key_id: str, accounts: Accounts) -> ApiKey:
    """The key of this id, as it is now. Raises NotFound."""
    keys = (key for account in accounts.list() for key in accounts.keys(account.id))
    for key in keys:
        if key.id == key_id:
            return accounts.key(key.hash)
    raise NotFound(f"There is no key {key_id!r}.", param="key", code="key_not_found")
