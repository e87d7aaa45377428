"""The pools of models, a model's in one row. A plan of many runs is long and full of like words: the row is packed."""

from __future__ import annotations

import gzip

import msgspec

from offpeak.aws.items import Item, to_attributes
from offpeak.aws.table import Table
from offpeak.core.pool import ModelPools


def pools_to_item(pools: ModelPools) -> Item:
    packed = gzip.compress(msgspec.json.encode(pools), mtime=0)
    return to_attributes({"id": pools.id, "version": pools.version, "packed": packed})


def pools_from_item(item: Item) -> ModelPools:
    return msgspec.json.decode(gzip.decompress(item["packed"]["B"]), type=ModelPools)


class DynamoPools:
    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, pool: str) -> ModelPools:
        return pools_from_item(self._table.get(f"plan of pool {pool}", id=pool))

    def glance(self, pool: str) -> ModelPools:
        found = self._table.get(f"plan of pool {pool}", consistent=False, id=pool)
        return pools_from_item(found)
