"""Shards, a run's under their numbers. The sparse index `open` holds a pool's open shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from offpeak.aws.items import Item, from_item, to_item
from offpeak.aws.table import Table
from offpeak.core.shard import Shard


def shard_to_item(shard: Shard) -> Item:
    return to_item(
        shard,
        run_id=f"{shard.batch_id}.{shard.run}",
        shard_id=shard.id,
        open_pool=shard.pool if shard.is_open else None,
    )


def shard_from_item(item: Item) -> Shard:
    return from_item(item, Shard)


class DynamoShards:
    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, batch_id: str, run: int, number: int) -> Shard:
        return shard_from_item(
            self._table.get(
                f"shard {batch_id}.{run}.{number}", run_id=f"{batch_id}.{run}", number=number
            )
        )

    def of_run(self, batch_id: str, run: int, first: int = 0) -> Iterator[Shard]:
        values: dict[str, str | int] = {":run_id": f"{batch_id}.{run}", ":first": first}
        for item in self._table.query("#run_id = :run_id AND #number >= :first", values):
            yield shard_from_item(item)

    def open(self, pool: str, batch_id: str | None = None) -> Sequence[Shard]:
        condition, values = "#open_pool = :pool", {":pool": pool}
        if batch_id is not None:
            condition += " AND begins_with(#shard_id, :batch)"
            values[":batch"] = f"{batch_id}."
        return [
            shard_from_item(item) for item in self._table.query(condition, values, index="open")
        ]
