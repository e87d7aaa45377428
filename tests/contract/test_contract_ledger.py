"""Money: one balance an account, and its entries, by id and by time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offpeak.core.enqueued import ENQUEUED_ID, Enqueued
from offpeak.core.errors import NotFound, StateConflict
from offpeak.core.ids import ACCOUNT
from offpeak.core.ledger import BALANCE_ID, Balance, Entry
from offpeak.core.ports import Add, Page, Save
from tests.contract import rows
from tests.contract.worlds import Ports


def _entries(
    ports: Ports, account_id: str, *, start: int = 0, stop: int = 10**11, limit: int = 100,
    after: str | None = None, ascending: bool = True,
) -> Page[Entry]:  # fmt: skip
    return ports.ledger.entries(
        account_id, start=start, stop=stop, limit=limit, after=after, ascending=ascending
    )


def test_an_account_without_entries_has_nothing_in_version_0(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    assert ports.ledger.balance(account_id) == Balance(account_id=account_id)
    assert _entries(ports, account_id) == Page(rows=(), has_more=False)


def test_an_entry_and_the_balance_come_back_as_they_were(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    balance, entry = rows.balance(account_id, microdollars=-3), rows.entry(account_id)
    ports.changes.commit(Add(balance), Add(entry))
    assert ports.ledger.balance(account_id) == replace(balance, version=1)
    assert ports.ledger.entry(account_id, entry.id) == replace(entry, version=1)
    assert _entries(ports, account_id).rows == (replace(entry, version=1),)


def test_what_is_enqueued_comes_back_as_it_was_and_is_no_entry(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    assert ports.ledger.enqueued(account_id) == Enqueued(account_id=account_id)
    held = Enqueued(account_id=account_id).held({"some/model": 7, "other": 2})
    ports.changes.commit(Add(held), Add(rows.balance(account_id)))
    stored = ports.ledger.enqueued(account_id)
    assert stored == replace(held, version=1)
    ports.changes.commit(Save(stored.given_back({"other": 2})))
    assert ports.ledger.enqueued(account_id).tokens == {"some/model": 7}
    with pytest.raises(StateConflict):
        ports.changes.commit(Save(stored.held({"other": 1})))
    assert not _entries(ports, account_id).rows


def test_an_entry_is_written_once_and_takes_the_balance_with_it(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    balance, entry = rows.balance(account_id), rows.entry(account_id)
    ports.changes.commit(Add(balance), Add(entry))
    again = replace(balance, version=1, microdollars=99)
    with pytest.raises(StateConflict):
        ports.changes.commit(Save(again), Add(replace(entry, at=entry.at + 9)))
    assert ports.ledger.balance(account_id).microdollars == 5


def test_a_foreign_entry_and_the_balance_are_no_entries(ports: Ports) -> None:
    mine, theirs = rows.fresh(ACCOUNT), rows.fresh(ACCOUNT)
    entry = rows.entry(theirs)
    ports.changes.commit(Add(entry), Add(rows.balance(mine)))
    for entry_id in (entry.id, BALANCE_ID, ENQUEUED_ID, "", "settle:\x00"):
        with pytest.raises(NotFound):
            ports.ledger.entry(mine, entry_id)
    assert not _entries(ports, mine).rows


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages_give_each_entry_of_a_time_once_in_order(
    ports: Ports, limit: int, ascending: bool
) -> None:
    account_id = rows.fresh(ACCOUNT)
    moments = [9, 10, 10, 10, 11, 1_000, 1_999, 2_000]
    made = [rows.entry(account_id, at=at) for at in moments]
    ports.changes.commit(*map(Add, made))
    expected = [entry.id for entry in made if 10 <= entry.at < 2_000]
    seen: list[str] = []
    after = None
    while True:
        page = _entries(
            ports, account_id, start=10, stop=2_000, limit=limit, after=after, ascending=ascending
        )
        seen += [entry.id for entry in page.rows]
        if not page.has_more:
            break
        after = page.rows[-1].position
    assert seen == (expected if ascending else expected[::-1])


def test_a_cursor_beyond_the_time_asked_for_finds_nothing(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    ports.changes.commit(Add(rows.entry(account_id, at=50)))
    for after, ascending in (("000000000099", True), ("000000000001", False)):
        page = _entries(ports, account_id, start=10, stop=90, after=after, ascending=ascending)
        assert page == Page(rows=(), has_more=False)
