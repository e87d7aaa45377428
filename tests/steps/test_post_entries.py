"""The balance is the sum of the ledger, in whatever order entries come and however often."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.ledger import Entry, EntryKind
from offpeak.memory.memory import Memory
from offpeak.steps.post_entries import post_entry

ACCOUNT = "acct_1"
ENTRIES = st.lists(
    st.builds(
        Entry, account_id=st.just(ACCOUNT), id=st.integers().map(lambda n: f"entry:{n}"),
        kind=st.sampled_from(EntryKind), microdollars=st.integers(-(10**12), 10**12),
        at=st.integers(0, 10**10),
    ),
    unique_by=lambda entry: entry.id, max_size=12,
)  # fmt: skip


def entries_of(memory: Memory, account_id: str = ACCOUNT) -> tuple[Entry, ...]:
    return memory.ledger.entries(
        account_id, start=0, stop=10**11, limit=10**6, after=None, ascending=True
    ).rows


@given(ENTRIES, st.data())
def test_the_balance_is_the_sum_of_the_entries_in_any_order_and_however_often(
    entries: list[Entry], data: st.DataObject
) -> None:
    memory = Memory()
    repeated = data.draw(st.lists(st.sampled_from(entries), max_size=12)) if entries else []
    for entry in data.draw(st.permutations([*entries, *repeated])):
        after = post_entry(entry, ledger=memory.ledger, changes=memory.changes)
        assert after.microdollars == sum(each.microdollars for each in entries_of(memory))
    balance = memory.ledger.balance(ACCOUNT)
    assert len(entries_of(memory)) == len(entries)
    assert balance.microdollars == sum(entry.microdollars for entry in entries)
    held = [e.microdollars for e in entries if e.kind in (EntryKind.HOLD, EntryKind.RELEASE)]
    assert balance.held_microdollars == -sum(held)


def test_many_at_once_lose_nothing_and_double_nothing() -> None:
    memory = Memory()
    entries = [
        Entry(
            account_id=ACCOUNT, id=f"credit:{n % 20}", kind=EntryKind.CREDIT,
            microdollars=1 + n % 20, at=n,
        )
        for n in range(60)
    ]  # fmt: skip

    def post(entry: Entry) -> None:
        post_entry(entry, ledger=memory.ledger, changes=memory.changes)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(post, entries))
    assert memory.ledger.balance(ACCOUNT).microdollars == sum(range(1, 21))
    assert len(entries_of(memory)) == 20
