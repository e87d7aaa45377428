"""Writes entries into an account's ledger: each once, and its balance with it."""

from __future__ import annotations

from collections.abc import Sequence

from offpeak.core.errors import NotFound, StateConflict, Unavailable
from offpeak.core.ledger import Balance, Entry
from offpeak.core.ports import Add, Changes, Ledger, Save

POSTINGS_MAX = 20
"""How often a commit is tried while others keep changing the same balance."""


def postings(balance: Balance, entries: Sequence[Entry]) -> list[Add | Save]:
    """The entries, and the balance as they leave it, for a transaction. One that moves no money leaves it alone."""
    added: list[Add | Save] = [Add(entry) for entry in entries]
    if any(entry.microdollars for entry in entries):
        after = balance.posted(*entries)
        added.append(Save(after) if balance.version else Add(after))
    return added


def post_entry(entry: Entry, *, ledger: Ledger, changes: Changes) -> Balance:
    """The balance after it. An entry that was written before is not written again."""
    for _ in range(POSTINGS_MAX):
        # In this order: an entry that is not there yet can't be in the balance that is read after it.
        known = _is_known(entry, ledger)
        balance = ledger.balance(entry.account_id)
        if known:
            return balance
        try:
            changes.commit(*postings(balance, [entry]))
        except StateConflict:
            continue
        return balance.posted(entry)
    raise Unavailable(f"The balance of {entry.account_id} changed {POSTINGS_MAX} times meanwhile.")


def _is_known(entry: Entry, ledger: Ledger) -> bool:
    try:
        ledger.entry(entry.account_id, entry.id)
    except NotFound:
        return False
    return True
