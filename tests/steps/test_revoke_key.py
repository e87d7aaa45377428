"""A revoked key stays known as revoked."""

from __future__ import annotations

import pytest

from offpeak.core.account import ApiKey
from offpeak.core.errors import NotFound
from offpeak.memory.memory import Memory
from offpeak.steps.create_key import create_key
from offpeak.steps.revoke_key import revoke_key


def revoke(memory: Memory, key_id: str) -> ApiKey:
    return revoke_key(key_id, clock=memory.clock, accounts=memory.accounts, changes=memory.changes)


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def key(memory: Memory) -> ApiKey:
    return create_key(
        "research", "api", make_account=True,
        clock=memory.clock, accounts=memory.accounts, changes=memory.changes,
        key_hashes=memory.key_hashes,
    ).key  # fmt: skip


def test_a_revoked_key_is_stored_as_revoked(memory: Memory, key: ApiKey) -> None:
    revoke(memory, key.id)
    assert memory.accounts.key(key.hash).revoked_at == int(memory.clock.now())


def test_revoking_twice_keeps_the_first_time(memory: Memory, key: ApiKey) -> None:
    first = revoke(memory, key.id)
    memory.clock.advance(100)
    assert revoke(memory, key.id).revoked_at == first.revoked_at


def test_other_keys_of_the_account_go_on_working(memory: Memory, key: ApiKey) -> None:
    other = create_key(
        "research", "second", make_account=False,
        clock=memory.clock, accounts=memory.accounts, changes=memory.changes,
        key_hashes=memory.key_hashes,
    ).key  # fmt: skip
    revoke(memory, key.id)
    assert memory.accounts.key(other.hash).revoked_at is None


def test_an_unknown_key_is_refused(memory: Memory) -> None:
    with pytest.raises(NotFound, match="There is no key 'key_0'"):
        revoke(memory, "key_0")
