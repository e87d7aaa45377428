"""Runs, a batch's under their numbers. The sparse index `ready` holds a pool's runs that have shards to dispatch, the
most urgent first."""

from __future__ import annotations

from collections.abc import Sequence

from offpeak.aws.items import Item, from_item, to_item
from offpeak.aws.table import Table
from offpeak.core.run import Run


def run_to_item(run: Run) -> Item:
    return to_item(run, ready_pool=run.pool if run.has_more else None)


def run_from_item(item: Item) -> Run:
    return from_item(item, Run)


class DynamoRuns:
    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, batch_id: str, number: int) -> Run:
        return run_from_item(
            self._table.get(f"run {batch_id}.{number}", batch_id=batch_id, number=number)
        )

    def of_batch(self, batch_id: str) -> Sequence[Run]:
        found = self._table.query("#batch_id = :batch_id", {":batch_id": batch_id})
        return [run_from_item(item) for item in found]

    def ready(self, pool: str) -> Sequence[Run]:
        found = self._table.query("#ready_pool = :pool", {":pool": pool}, index="ready")
        return [run_from_item(item) for item in found]
