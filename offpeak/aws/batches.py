"""Batches, an account's under its id. The sparse index `open` holds those that have not ended."""

from __future__ import annotations

from collections.abc import Iterator

from offpeak.aws.items import Item, from_item, to_item
from offpeak.aws.pages import page_of
from offpeak.aws.table import Table
from offpeak.core.batch import Batch
from offpeak.core.ids import BATCH
from offpeak.core.ports import Page


def batch_to_item(batch: Batch) -> Item:
    if batch.is_terminal:
        return to_item(batch)
    return to_item(batch, open="open", open_key=f"{batch.account_id}#{batch.id}")


def batch_from_item(item: Item) -> Batch:
    return from_item(item, Batch)


class DynamoBatches:
    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, account_id: str, batch_id: str) -> Batch:
        return batch_from_item(
            self._table.get(f"batch {batch_id}", account_id=account_id, id=batch_id)
        )

    def list(self, account_id: str, *, limit: int, after: str | None) -> Page[Batch]:
        found = page_of(self._table, account_id, BATCH, limit=limit, after=after, ascending=False)
        return Page(rows=tuple(map(batch_from_item, found.rows)), has_more=found.has_more)

    def open(self) -> Iterator[Batch]:
        for item in self._table.query("#open = :open", {":open": "open"}, index="open"):
            yield batch_from_item(item)

    def open_of(self, account_id: str) -> Iterator[Batch]:
        for item in self._table.query(_OPEN_OF, _values(account_id), index="open"):
            yield batch_from_item(item)

    def open_count(self, account_id: str) -> int:
        return self._table.count(_OPEN_OF, _values(account_id), index="open")


_OPEN_OF = "#open = :open AND begins_with(#open_key, :account)"


def _values(account_id: str) -> dict[str, str | int]:
    return {":open": "open", ":account": f"{account_id}#"}
