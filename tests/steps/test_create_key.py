"""Keys are born in `create_key`: shown once, kept as a hash."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from offpeak.core.account import KEY_PREFIX, Scope
from offpeak.core.errors import InvalidRequest, NotFound
from offpeak.core.ports import Add
from offpeak.memory.memory import Memory
from offpeak.steps.create_key import CreatedKey, create_key


def make(
    memory: Memory, account: str, name: str = "api", *, make_account: bool = True, **more: Any
) -> CreatedKey:
    return create_key(
        account, name, make_account=make_account,
        clock=memory.clock, accounts=memory.accounts, changes=memory.changes,
        key_hashes=memory.key_hashes, **more,
    )  # fmt: skip


def test_the_first_key_makes_its_account() -> None:
    memory = Memory()
    made = make(memory, "research")
    assert [account.name for account in memory.accounts.list()] == ["research"]
    assert made.key.account_id == memory.accounts.list()[0].id


def test_the_second_key_belongs_to_the_same_account() -> None:
    memory = Memory()
    first, second = make(memory, "research"), make(memory, "research")
    assert first.account.id == second.account.id
    assert {key.id for key in memory.accounts.keys(first.account.id)} == {
        first.key.id,
        second.key.id,
    }


def test_an_account_may_be_named_by_its_id() -> None:
    memory = Memory()
    first = make(memory, "research")
    assert make(memory, first.account.id, make_account=False).account.id == first.account.id


def test_the_stored_key_opens_by_its_secret_and_does_not_hold_it() -> None:
    memory = Memory()
    made = make(memory, "research")
    stored = memory.accounts.key(memory.key_hashes.hash_key(made.secret))
    assert made.secret.startswith(KEY_PREFIX)
    assert stored.id == made.key.id
    assert made.secret not in str(dataclasses.asdict(stored))
    assert made.secret.endswith(stored.last4)


def test_an_unknown_account_is_refused_unless_it_shall_be_made() -> None:
    with pytest.raises(NotFound, match="There is no account 'reserach'"):
        make(Memory(), "reserach", make_account=False)


def test_a_name_that_two_accounts_bear_is_refused_with_their_ids() -> None:
    memory = Memory()
    first = make(memory, "research").account
    memory.changes.commit(Add(dataclasses.replace(first, id="acct_2")))
    with pytest.raises(InvalidRequest, match="acct_2"):
        make(memory, "research")


@pytest.mark.parametrize("name", ["", "x" * 65, "new\nline"])
def test_a_name_nobody_can_read_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="printable"):
        make(Memory(), name)


def test_a_key_is_made_with_its_scope_and_its_end() -> None:
    memory = Memory()
    key = make(memory, "research", scope=Scope.READ, expires_after=60).key
    assert (key.scope, key.expires_at) == (Scope.READ, key.created_at + 60)
    assert make(memory, "research").key.expires_at is None


@pytest.mark.parametrize("seconds", [0, -1, 11 * 366 * 86_400])
def test_a_life_that_is_none_is_refused(seconds: int) -> None:
    with pytest.raises(InvalidRequest, match="ten years"):
        make(Memory(), "research", expires_after=seconds)
