"""Money in one table: an account's balance and its entries, under its id, and what its batches hold of its limit on
enqueued tokens. Only entries are in the index `by_time`."""

from __future__ import annotations

from offpeak.aws.items import Item, from_item, to_item
from offpeak.aws.table import Table
from offpeak.core.enqueued import ENQUEUED_ID, Enqueued
from offpeak.core.errors import NotFound
from offpeak.core.ledger import BALANCE_ID, Balance, Entry
from offpeak.core.ports import Page


def balance_to_item(balance: Balance) -> Item:
    return to_item(balance, id=balance.id)


def balance_from_item(item: Item) -> Balance:
    return from_item(item, Balance)


def entry_to_item(entry: Entry) -> Item:
    return to_item(entry, position=entry.position)


def entry_from_item(item: Item) -> Entry:
    return from_item(item, Entry)


def enqueued_to_item(enqueued: Enqueued) -> Item:
    return to_item(enqueued, id=enqueued.id)


def enqueued_from_item(item: Item) -> Enqueued:
    return from_item(item, Enqueued)


class DynamoLedger:
    def __init__(self, table: Table) -> None:
        self._table = table

    def balance(self, account_id: str) -> Balance:
        try:
            item = self._table.get(f"balance of {account_id}", account_id=account_id, id=BALANCE_ID)
        except NotFound:
            return Balance(account_id=account_id)
        return balance_from_item(item)

    def enqueued(self, account_id: str) -> Enqueued:
        what = f"enqueued tokens of {account_id}"
        try:
            item = self._table.get(what, account_id=account_id, id=ENQUEUED_ID)
        except NotFound:
            return Enqueued(account_id=account_id)
        return enqueued_from_item(item)

    def entry(self, account_id: str, entry_id: str) -> Entry:
        if entry_id in (BALANCE_ID, ENQUEUED_ID):
            raise NotFound(f"There is no entry {entry_id}.")
        return entry_from_item(
            self._table.get(f"entry {entry_id}", account_id=account_id, id=entry_id)
        )

    def entries(
        self, account_id: str, *, start: int, stop: int, limit: int, after: str | None,
        ascending: bool,
    ) -> Page[Entry]:  # fmt: skip
        """BETWEEN counts its bounds in; `after` itself is left out, and no position ends where a second does."""
        first, last = f"{start:012}", f"{stop:012}"
        if after is not None:
            first, last = (max(first, after), last) if ascending else (first, min(last, after))
        if first >= last:
            return Page(rows=(), has_more=False)
        found = self._table.query(
            "#account_id = :account_id AND #position BETWEEN :first AND :last",
            {":account_id": account_id, ":first": first, ":last": last},
            index="by_time", ascending=ascending, page_rows=limit + 2,
        )  # fmt: skip
        rows: list[Entry] = []
        for item in found:
            entry = entry_from_item(item)
            if entry.position == after:
                continue
            if len(rows) == limit:
                return Page(rows=tuple(rows), has_more=True)
            rows.append(entry)
        return Page(rows=tuple(rows), has_more=False)
