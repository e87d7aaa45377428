"""Money: an account's balance and the entries it is the sum of; and beside it what its batches hold of its limit on
enqueued tokens. They are written by `Changes.commit`, together."""

from __future__ import annotations

from typing import Protocol

from offpeak.core.enqueued import Enqueued
from offpeak.core.ledger import Balance, Entry
from offpeak.core.ports.state import Page


class Ledger(Protocol):
    def balance(self, account_id: str) -> Balance:
        """Strongly consistent. Of an account that has no entry yet: nothing, in version 0, to be added."""
        ...

    def enqueued(self, account_id: str) -> Enqueued:
        """Strongly consistent. Of an account that never held any: nothing, in version 0, to be added."""
        ...

    def entry(self, account_id: str, entry_id: str) -> Entry:
        """Strongly consistent. Raises NotFound."""
        ...

    def entries(
        self, account_id: str, *, start: int, stop: int, limit: int, after: str | None,
        ascending: bool,
    ) -> Page[Entry]:  # fmt: skip
        """Those of [start, stop) in the order of time. `after` is the position that the last page ended with. May lag
        behind by a moment."""
        ...
