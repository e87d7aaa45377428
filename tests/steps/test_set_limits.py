"""An account's limits, changed by an operator."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offpeak.core.account import PRESETS, Account, Limits
from offpeak.core.errors import NotFound
from offpeak.core.ports import Add, Save
from offpeak.memory.memory import Memory
from offpeak.steps.set_limits import set_limits


@pytest.fixture
def memory() -> Memory:
    memory = Memory()
    memory.changes.commit(Add(Account(id="acct_1", name="a", created_at=0)))
    return memory


def test_presets_are_what_the_services_say() -> None:
    together, openai = PRESETS["together"], PRESETS["openai"]
    assert (together.request_lines_max, together.file_bytes_max) == (50_000, 100_000_000)
    assert together.enqueued_tokens_max == 10_000_000
    assert (openai.request_lines_max, openai.file_bytes_max) == (50_000, 200_000_000)
    ours = PRESETS["offpeak"]
    assert (ours.request_lines_max, ours.file_bytes_max) == (5_000_000, 10_000_000_000)
    assert (ours.open_batches_max, ours.enqueued_tokens_max) == (500, None)


def test_limits_are_changed_one_by_one_too(memory: Memory) -> None:
    def lift(old: Limits) -> Limits:
        return replace(old, open_batches_max=9)

    set_limits(
        "acct_1", lambda _: PRESETS["together"], accounts=memory.accounts, changes=memory.changes
    )
    set_limits("acct_1", lift, accounts=memory.accounts, changes=memory.changes)
    assert memory.accounts.get("acct_1").limits == replace(PRESETS["together"], open_batches_max=9)


def test_a_change_meanwhile_is_not_lost(memory: Memory) -> None:
    def change(old: Limits) -> Limits:
        account = memory.accounts.get("acct_1")
        if account.name == "a":  # somebody renames it just now
            memory.changes.commit(Save(replace(account, name="b")))
        return replace(old, file_bytes_max=1)

    set_limits("acct_1", change, accounts=memory.accounts, changes=memory.changes)
    account = memory.accounts.get("acct_1")
    assert (account.name, account.limits.file_bytes_max) == ("b", 1)


def test_what_is_as_it_was_is_not_written(memory: Memory) -> None:
    version = memory.accounts.get("acct_1").version
    set_limits("acct_1", lambda old: old, accounts=memory.accounts, changes=memory.changes)
    assert memory.accounts.get("acct_1").version == version


def test_an_unknown_account_is_not_found(memory: Memory) -> None:
    with pytest.raises(NotFound):
        set_limits("acct_2", lambda old: old, accounts=memory.accounts, changes=memory.changes)
