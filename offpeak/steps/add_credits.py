"""Adds credits to an account, or takes some back: an operator's doing, outside of any batch."""

from __future__ import annotations

from hashlib import sha256

from offpeak.core.errors import InvalidRequest
from offpeak.core.ids import new_id
from offpeak.core.ledger import Balance, Entry, EntryKind
from offpeak.core.ports import Changes, Clock, Ledger
from offpeak.steps.post_entries import post_entry

NOTE_CHARACTERS_MAX = 256


def add_credits(
    account_id: str, microdollars: int, *, note: str, reference: str | None, clock: Clock,
    ledger: Ledger, changes: Changes,
) -> Balance:  # fmt: skip
    """The balance after it. Credits of one `reference` (a payment's number) are added once, however often they are
    asked for. Raises InvalidRequest for an amount of nothing, and for the same reference with another amount."""
    check_credits(microdollars, note, reference)
    now = clock.now()
    # An id never holds what somebody typed.
    suffix = sha256(reference.encode()).hexdigest()[:32] if reference else new_id("", now)
    entry = Entry(
        account_id=account_id, id=f"credit:{suffix}", kind=EntryKind.CREDIT,
        microdollars=microdollars, at=int(now), source=reference or "", note=note,
    )  # fmt: skip
    balance = post_entry(entry, ledger=ledger, changes=changes)
    written = ledger.entry(account_id, entry.id)
    if written.microdollars != microdollars:
        raise InvalidRequest(
            f"The reference {reference!r} was used with another amount already.", param="reference"
        )
    return balance


def check_credits(microdollars: int, note: str, reference: str | None) -> None:
    """Raises InvalidRequest for an amount of nothing, and for words that are too long."""
    if not microdollars:
        raise InvalidRequest("An amount of $0.00 changes nothing.", param="amount")
    if max(len(note), len(reference or "")) > NOTE_CHARACTERS_MAX:
        raise InvalidRequest(f"A note has at most {NOTE_CHARACTERS_MAX} characters.", param="note")
