"""Gatherings, a lane's under their ids, which sort by birth. The sparse index `open` holds those not sealed yet."""

from __future__ import annotations

from collections.abc import Iterator

from offpeak.aws.items import Item, from_item, to_item
from offpeak.aws.table import Table
from offpeak.core.gathering import Gathering
from offpeak.core.request import KEPT_SECONDS


def gathering_to_item(gathering: Gathering) -> Item:
    return to_item(
        gathering,
        lane_id=gathering.lane.id,
        open="open" if gathering.is_open else None,
        ttl=None if gathering.is_open else gathering.last_deadline + KEPT_SECONDS,
    )


def gathering_from_item(item: Item) -> Gathering:
    return from_item(item, Gathering)


class DynamoGatherings:
    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, lane_id: str, gathering_id: str) -> Gathering:
        return gathering_from_item(
            self._table.get(f"gathering {gathering_id}", lane_id=lane_id, id=gathering_id)
        )

    def newest(self, lane_id: str) -> Gathering | None:
        found = self._table.query(
            "#lane_id = :lane_id", {":lane_id": lane_id}, ascending=False, page_rows=1
        )
        item = next(found, None)
        return gathering_from_item(item) if item else None

    def since(self, lane_id: str, gathering_id: str) -> Iterator[Gathering]:
        found = self._table.query(
            "#lane_id = :lane_id AND #id >= :id", {":lane_id": lane_id, ":id": gathering_id}
        )
        return map(gathering_from_item, found)

    def open(self) -> Iterator[Gathering]:
        for item in self._table.query("#open = :open", {":open": "open"}, index="open"):
            yield gathering_from_item(item)
