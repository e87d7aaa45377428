"""An operator's credits: added once a reference, taken back by a negative amount."""

from dataclasses import replace

import pytest

from offpeak.core.account import Account, Billing
from offpeak.core.errors import InsufficientCredits, InvalidRequest
from offpeak.core.ledger import parse_dollars
from offpeak.core.ports import Add
from offpeak.memory.memory import Memory
from offpeak.steps.add_credits import add_credits
from offpeak.steps.remembered_credits import RememberedCredits
from offpeak.steps.set_billing import set_billing
from tests.steps.test_post_entries import entries_of


def add(memory: Memory, microdollars: int, reference: str | None = None, note: str = "") -> int:
    return add_credits(
        "acct_1", microdollars, note=note, reference=reference,
        clock=memory.clock, ledger=memory.ledger, changes=memory.changes,
    ).microdollars  # fmt: skip


def test_credits_add_up_and_may_be_taken_back() -> None:
    memory = Memory()
    assert add(memory, 25_000_000, note="first order") == 25_000_000
    assert add(memory, 25_000_000) == 50_000_000
    assert add(memory, -10) == 49_999_990
    assert [entry.note for entry in entries_of(memory)].count("first order") == 1


def test_a_payment_is_added_once_however_often_it_is_told() -> None:
    memory = Memory()
    assert [add(memory, 7, "invoice 12/ß") for _ in range(3)] == [7, 7, 7]
    assert add(memory, 7, "invoice 13") == 14
    (first, *_) = entries_of(memory)
    assert "invoice" not in first.id


def test_the_same_payment_with_another_amount_is_a_mistake() -> None:
    memory = Memory()
    add(memory, 7, "invoice 12")
    with pytest.raises(InvalidRequest, match="another amount"):
        add(memory, 8, "invoice 12")
    assert memory.ledger.balance("acct_1").microdollars == 7


def test_nothing_and_an_endless_note_are_refused() -> None:
    for amount, note in ((0, ""), (1, "x" * 257)):
        with pytest.raises(InvalidRequest):
            add(Memory(), amount, note=note)


@pytest.mark.parametrize(
    ("text", "microdollars"),
    [("25", 25_000_000), ("25.00", 25_000_000), ("$0.2", 200_000), ("-0.000001", -1)],
)
def test_amounts_are_read_to_the_microdollar(text: str, microdollars: int) -> None:
    assert parse_dollars(text) == microdollars


@pytest.mark.parametrize("text", ["", "1e3", "1,000", "0.0000001", "∞", "1.", ".5", "9" * 12, "٣"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="no amount of dollars"):
        parse_dollars(text)


def test_billing_is_changed_and_changed_again() -> None:
    memory = Memory()
    memory.changes.commit(Add(Account(id="acct_1", name="a", created_at=0)))
    for billing in (Billing.ENFORCE, Billing.ENFORCE, Billing.OFF):
        set_billing("acct_1", billing, accounts=memory.accounts, changes=memory.changes)
        assert memory.accounts.get("acct_1").billing is billing


def test_a_balance_is_remembered_a_minute_and_one_that_is_too_low_not_at_all() -> None:
    memory = Memory()
    account = Account(id="acct_1", name="a", created_at=0, billing=Billing.ENFORCE)
    credits_ = RememberedCredits(clock=memory.clock, ledger=memory.ledger)
    with pytest.raises(InsufficientCredits):
        credits_.check(account)
    add(memory, 200_000)
    credits_.check(account)
    add(memory, -1)
    credits_.check(account)
    memory.clock.advance(60)
    with pytest.raises(InsufficientCredits):
        credits_.check(account)
    credits_.check(replace(account, billing=Billing.METER))
