"""Runs, a batch's under their numbers. The sparse index `queue` holds a pool's runs that have shards to dispatch.

Express runs are in a partition of their own, `{pool}#express`. In a partition a run's place is

    {account}#{tier}#{deadline}#{run}        acct_…#3#001790086400#batch_….0

so that one page begins with an account's most urgent, and the next account is a jump away. The index projects only what
doesn't change with each shard: a dispatch, and a shard's end, write the table alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from offpeak.aws.items import Item, from_item, to_item
from offpeak.aws.table import Table
from offpeak.core.queued_run import QueuedRun
from offpeak.core.run import Run, Tier

EXPRESS = "#express"
PAGE_ROWS_MIN = 12
"""They fit into 4 KB, below which a page costs the same."""
PAGE_ROWS_MAX = 500
_LAST = "~"  # after every tier


def run_to_item(run: Run) -> Item:
    if not run.has_more:
        return to_item(run)
    tier = run.tier
    return to_item(
        run,
        queue_pool=_partition(run.pool, express=tier is Tier.EXPRESS),
        queue_key=f"{run.account_id}#{tier:d}#{run.deadline:012d}#{run.id}",
        shards_left=run.shards_left,
        tier=int(tier),
        begun=run.cursor > 0,
    )


def run_from_item(item: Item) -> Run:
    return from_item(item, Run)


class DynamoRuns:
    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, batch_id: str, number: int) -> Run:
        return run_from_item(
            self._table.get(f"run {batch_id}.{number}", batch_id=batch_id, number=number)
        )

    def glance(self, batch_id: str, number: int) -> Run:
        found = self._table.get(
            f"run {batch_id}.{number}", consistent=False, batch_id=batch_id, number=number
        )
        return run_from_item(found)

    def of_batch(self, batch_id: str) -> Sequence[Run]:
        found = self._table.query("#batch_id = :batch_id", {":batch_id": batch_id})
        return [run_from_item(item) for item in found]

    def queued(
        self, pool: str, *, express: bool = False, each: int | None = None
    ) -> Sequence[QueuedRun]:
        partition = _partition(pool, express=express)
        rows = PAGE_ROWS_MAX if each is None else max(PAGE_ROWS_MIN, min(each, PAGE_ROWS_MAX))
        found: list[QueuedRun] = []
        after: str | None = "#"  # before every account
        while after is not None:
            after = self._read_on(partition, after, each, rows, found)
        return found

    def _read_on(
        self, partition: str, after: str, each: int | None, rows: int, found: list[QueuedRun]
    ) -> str | None:
        """Adds runs to `found` until an account has given its share; where to jump then, None at the end."""
        account_id, of_account = None, 0
        values: dict[str, str | int] = {":pool": partition, ":after": after}
        for item in self._table.query(
            "#queue_pool = :pool AND #queue_key > :after", values, index="queue", page_rows=rows
        ):
            run = from_item(item, QueuedRun)
            of_account = of_account + 1 if run.account_id == account_id else 1
            account_id = run.account_id
            if each is not None and of_account > each:
                return f"{account_id}#{_LAST}"
            found.append(run)
        return None


def _partition(pool: str, *, express: bool) -> str:
    return pool + EXPRESS if express else pool
