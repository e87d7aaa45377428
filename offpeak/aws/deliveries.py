"""Deliveries, a destination's under their events' ids; DynamoDB drops a row a month after it was last due.

The sparse index `due` holds those that are open, spread over a few partitions: many events can end at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING

from offpeak.aws.errors import translated
from offpeak.aws.items import Item, from_item, to_item
from offpeak.aws.pages import page_of
from offpeak.aws.table import Table
from offpeak.core.delivery import AttemptAsk, Delivery
from offpeak.core.errors import NotFound
from offpeak.core.ids import EVENT
from offpeak.core.ports import Page

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

KEPT_SECONDS = 30 * 86_400
BUCKETS = 8


def delivery_to_item(delivery: Delivery) -> Item:
    return to_item(
        delivery,
        due_bucket=_bucket(delivery.destination_id) if delivery.is_open else None,
        ttl=max(delivery.created_at, delivery.due_at) + KEPT_SECONDS,
    )


def delivery_from_item(item: Item) -> Delivery:
    return from_item(item, Delivery)


def _bucket(destination_id: str) -> str:
    return f"due#{hashlib.sha256(destination_id.encode()).digest()[0] % BUCKETS}"


class DynamoDeliveries:
    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, account_id: str, destination_id: str, delivery_id: str) -> Delivery:
        what = f"delivery {delivery_id}"
        found = delivery_from_item(
            self._table.get(what, destination_id=destination_id, id=delivery_id)
        )
        if found.account_id != account_id:
            raise NotFound(f"There is no {what}.")
        return found

    def list(
        self, account_id: str, destination_id: str, *, limit: int, after: str | None
    ) -> Page[Delivery]:
        found = page_of(
            self._table, destination_id, EVENT, limit=limit, after=after, ascending=False,
            owner="destination_id",
        )  # fmt: skip
        # A destination is one account's: of somebody else's there is nothing to tell, not even that there is more.
        rows = tuple(map(delivery_from_item, found.rows))
        mine = tuple(row for row in rows if row.account_id == account_id)
        return Page(rows=mine, has_more=found.has_more and mine == rows)

    def due(self, now: int, *, limit: int) -> Sequence[Delivery]:
        found: list[Delivery] = []
        for number in range(BUCKETS):
            values: dict[str, str | int] = {":bucket": f"due#{number}", ":now": now}
            rows = self._table.query(
                "#due_bucket = :bucket AND #due_at <= :now", values, index="due", page_rows=limit
            )
            found += map(delivery_from_item, islice(rows, limit))
        return sorted(found, key=lambda delivery: delivery.due_at)[:limit]


class SqsCallbacks:
    """A standard queue with a message group a destination: SQS serves the groups fairly, whoever has much waiting."""

    def __init__(self, client: SQSClient, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def ask(self, ask: AttemptAsk, delay_seconds: int = 0) -> None:
        with translated(f"callback queue for {ask.destination_id}"):
            self._client.send_message(
                QueueUrl=self._queue_url,
                MessageGroupId=ask.destination_id,
                MessageBody=json.dumps(asdict(ask)),
                DelaySeconds=delay_seconds,
            )
