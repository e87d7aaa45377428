"""A key is replaced by one with the same rights; both are good for a while, and then one."""

from __future__ import annotations

import pytest

from offpeak.core.account import ApiKey, Scope
from offpeak.core.errors import InvalidRequest, NotFound, StateConflict
from offpeak.core.ports import Save
from offpeak.memory.memory import Memory
from offpeak.steps.create_key import CreatedKey, create_key
from offpeak.steps.rotate_key import OVERLAP_SECONDS_MAX, rotate_key

DAY = 86_400


@pytest.fixture
def memory() -> Memory:
    return Memory()


def make(memory: Memory, expires_after: int | None = None) -> ApiKey:
    return create_key(
        "research", "ci", make_account=True, scope=Scope.SUBMIT, expires_after=expires_after,
        requests_per_second=7, clock=memory.clock, accounts=memory.accounts,
        changes=memory.changes, key_hashes=memory.key_hashes,
    ).key  # fmt: skip


def rotate(memory: Memory, key_id: str, overlap_seconds: int = DAY) -> CreatedKey:
    return rotate_key(
        key_id, overlap_seconds, clock=memory.clock, accounts=memory.accounts,
        changes=memory.changes, key_hashes=memory.key_hashes,
    )  # fmt: skip


def good(memory: Memory, key: ApiKey) -> bool:
    return memory.accounts.key(key.hash).is_good(memory.clock.now())


def test_both_are_good_during_the_overlap_and_then_the_new_one_is(memory: Memory) -> None:
    old = make(memory)
    new = rotate(memory, old.id).key
    assert (new.name, new.scope, new.account_id) == (old.name, old.scope, old.account_id)
    memory.clock.advance(DAY - 1)
    assert (good(memory, old), good(memory, new)) == (True, True)
    memory.clock.advance(1)
    assert (good(memory, old), good(memory, new)) == (False, True)


def test_without_an_overlap_the_old_one_ends_at_once(memory: Memory) -> None:
    old = make(memory)
    new = rotate(memory, old.id, 0).key
    assert (good(memory, old), good(memory, new)) == (False, True)


def test_the_new_one_lives_as_long_as_the_old_one_was_made_for(memory: Memory) -> None:
    old = make(memory, expires_after=90 * DAY)
    memory.clock.advance(80 * DAY)
    new = rotate(memory, old.id).key
    assert new.lifetime_seconds == 90 * DAY
    assert new.expires_at == int(memory.clock.now()) + 90 * DAY


def test_the_new_one_has_the_old_ones_scope_and_limit(memory: Memory) -> None:
    new = rotate(memory, make(memory).id).key
    assert (new.scope, new.requests_per_second) == (Scope.SUBMIT, 7)


def test_a_key_that_has_ended_is_not_rotated(memory: Memory) -> None:
    old = make(memory, expires_after=DAY)
    memory.clock.advance(DAY)
    with pytest.raises(StateConflict, match="good no more"):
        rotate(memory, old.id)
    revoked = make(memory)
    memory.changes.commit(Save(memory.accounts.key(revoked.hash).revoked(1)))
    with pytest.raises(StateConflict, match="good no more"):
        rotate(memory, revoked.id)


def test_an_unknown_key_and_an_endless_overlap_are_refused(memory: Memory) -> None:
    with pytest.raises(NotFound, match="There is no key 'key_0'"):
        rotate(memory, "key_0")
    for seconds in (-1, OVERLAP_SECONDS_MAX + 1):
        with pytest.raises(InvalidRequest, match="90"):
            rotate(memory, make(memory).id, seconds)


def test_two_who_rotate_at_once_make_one_key(memory: Memory) -> None:
    """The loser's key is not there: both rows change or neither."""
    old = make(memory)
    commit = memory.changes.commit
    late: list[bool] = []

    def commit_after_another(*changes: object) -> None:
        if not late:
            late.append(True)
            rotate(memory, old.id)
        commit(*changes)  # type: ignore[arg-type]

    memory.changes.commit = commit_after_another  # type: ignore[method-assign]
    with pytest.raises(StateConflict):
        rotate(memory, old.id)
    assert len(memory.accounts.keys(old.account_id)) == 2
