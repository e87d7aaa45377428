"""Money, and what is held of enqueued tokens, in memory."""

from __future__ import annotations

from offpeak.core.enqueued import ENQUEUED_ID, Enqueued
from offpeak.core.errors import NotFound
from offpeak.core.ledger import BALANCE_ID, Balance, Entry
from offpeak.core.ports import Page
from offpeak.memory.rows import Tables


class MemoryLedger:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def balance(self, account_id: str) -> Balance:
        try:
            return self._tables.find(Balance, account_id, BALANCE_ID)
        except NotFound:
            return Balance(account_id=account_id)

    def enqueued(self, account_id: str) -> Enqueued:
        try:
            return self._tables.find(Enqueued, account_id, ENQUEUED_ID)
        except NotFound:
            return Enqueued(account_id=account_id)

    def entry(self, account_id: str, entry_id: str) -> Entry:
        return self._tables.find(Entry, account_id, entry_id)

    def entries(
        self, account_id: str, *, start: int, stop: int, limit: int, after: str | None,
        ascending: bool,
    ) -> Page[Entry]:  # fmt: skip
        def wanted(entry: Entry) -> bool:
            if entry.account_id != account_id or not start <= entry.at < stop:
                return False
            return after is None or (
                entry.position > after if ascending else entry.position < after
            )

        found = self._tables.select(Entry, wanted)
        found.sort(key=lambda entry: entry.position, reverse=not ascending)
        return Page(rows=tuple(found[:limit]), has_more=len(found) > limit)
