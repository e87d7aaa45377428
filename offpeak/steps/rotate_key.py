"""Replaces an API key by a new one with the same rights. Both are good for a while, so that callers change over one by
one; then only the new one is."""

from __future__ import annotations

from offpeak.core.errors import InvalidRequest, StateConflict
from offpeak.core.ports import Accounts, Add, Changes, Clock, KeyHashes, Save
from offpeak.steps.create_key import CreatedKey, make_key
from offpeak.steps.revoke_key import find_key

OVERLAP_SECONDS_MAX = 90 * 86_400


def rotate_key(
    key_id: str, overlap_seconds: int, *, clock: Clock, accounts: Accounts, changes: Changes,
    key_hashes: KeyHashes,
) -> CreatedKey:  # fmt: skip
    """The new key. It has the old one's name, scope and limit, and as long a life; the old one ends in
    `overlap_seconds`, or when it was to end anyway. Both happen or neither.

    Raises NotFound for an unknown key, StateConflict for one that is good no more, or that is being changed.
    """
    check_overlap(overlap_seconds)
    now = clock.now()
    old = find_key(key_id, accounts)
    if not old.is_good(now):
        raise StateConflict(
            f"Key {key_id} is good no more. Make a new one: `offpeak keys create`.",
            param="key",
            code="key_ended",
        )
    account = accounts.get(old.account_id)
    new, secret = make_key(
        account.id, old.name, scope=old.scope, expires_after=old.lifetime_seconds,
        requests_per_second=old.requests_per_second, now=now, key_hashes=key_hashes,
    )  # fmt: skip
    changes.commit(Add(new), Save(old.rotated(overlap_seconds, int(now))))
    return CreatedKey(account=account, key=new, secret=secret)


def check_overlap(seconds: int) -> None:
    """Raises InvalidRequest for one that is too long."""
    if not 0 <= seconds <= OVERLAP_SECONDS_MAX:
        raise InvalidRequest("A rotated key is good for 90 more days at most.", param="overlap")
