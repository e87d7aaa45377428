"""Changes of state: one of them as a plain conditional put, at half a transaction's price; several as a transaction.

An answer can be lost after the write was made, and botocore asks again. A transaction is told apart from its own echo
by its token; a plain put carries a `write_id`, so that a put which finds itself already done is no conflict.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

from botocore.exceptions import ClientError

from offpeak.aws.accounts import account_to_item, key_to_item
from offpeak.aws.audit import audit_entry_to_item
from offpeak.aws.batches import batch_to_item
from offpeak.aws.deliveries import delivery_to_item
from offpeak.aws.errors import code_of, translated
from offpeak.aws.files import file_to_item, upload_to_item
from offpeak.aws.gatherings import gathering_to_item
from offpeak.aws.groups import group_to_item
from offpeak.aws.items import Item, to_attributes
from offpeak.aws.ledger import balance_to_item, enqueued_to_item, entry_to_item
from offpeak.aws.pools import pools_to_item
from offpeak.aws.requests import request_to_item
from offpeak.aws.runs import run_to_item
from offpeak.aws.shards import shard_to_item
from offpeak.aws.webhooks import callback_secret_to_item, webhook_to_item
from offpeak.core.account import Account, ApiKey
from offpeak.core.audit import AuditEntry
from offpeak.core.batch import Batch
from offpeak.core.delivery import Delivery
from offpeak.core.enqueued import Enqueued
from offpeak.core.file import File, Upload
from offpeak.core.gathering import Gathering
from offpeak.core.group import Group
from offpeak.core.ledger import Balance, Entry
from offpeak.core.pool import ModelPools
from offpeak.core.ports import CHANGES_MAX, Add, Row, Save, is_removal
from offpeak.core.request import Request
from offpeak.core.run import Run
from offpeak.core.shard import Shard
from offpeak.core.webhook import CallbackSecret, Webhook

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import (
        PutTypeDef,
        TransactWriteItemTypeDef,
        UniversalAttributeValueTypeDef,
    )


class DynamoChanges:
    """`table_name` gives the name of the table called `accounts`, `files`, …"""

    def __init__(self, client: DynamoDBClient, table_name: Callable[[str], str]) -> None:
        self._client = client
        self._table_name = table_name

    def commit(self, *changes: Add | Save) -> None:
        keys = {(type(change.row), _identity(change.row)) for change in changes}
        if len(keys) != len(changes) or not 0 < len(changes) <= CHANGES_MAX:
            raise ValueError(f"A commit takes 1 to {CHANGES_MAX} changes, each of another row.")
        what = " and ".join(f"{type(c.row).__name__} {c.row.id}" for c in changes[:3])
        with translated(what):
            if len(changes) == 1 and not is_removal(changes[0].row):
                self._put(changes[0])
            else:
                self._client.transact_write_items(TransactItems=[self._part(c) for c in changes])

    def _put(self, change: Add | Save) -> None:
        put = self._conditional_put(change)
        try:
            self._client.put_item(**put)
        except ClientError as error:
            found: Any = error.response.get("Item", {})
            ours = found.get("write_id") == put["Item"]["write_id"]
            if code_of(error) != "ConditionalCheckFailedException" or not ours:
                raise

    def _part(self, change: Add | Save) -> TransactWriteItemTypeDef:
        if not is_removal(change.row):
            return {"Put": self._conditional_put(change)}
        table, item = _stored(change.row)
        key = {name: item[name] for name in ("account_id", "id")}
        return {"Delete": {"TableName": self._table_name(table), "Key": key, **_condition(change)}}

    def _conditional_put(self, change: Add | Save) -> PutTypeDef:
        table, item = _stored(replace(change.row, version=change.row.version + 1))
        item.update(to_attributes({"write_id": secrets.token_hex(8)}))
        return {"TableName": self._table_name(table), "Item": item, **_condition(change)}


class _Condition(TypedDict):
    ConditionExpression: str
    ReturnValuesOnConditionCheckFailure: Literal["ALL_OLD"]
    ExpressionAttributeNames: Mapping[str, str]
    ExpressionAttributeValues: NotRequired[Mapping[str, UniversalAttributeValueTypeDef]]


def _condition(change: Add | Save) -> _Condition:
    """Every row has a version, so its absence is the row's."""
    names = {"#version": "version"}
    if isinstance(change, Add):
        return {
            "ConditionExpression": "attribute_not_exists(#version)",
            "ExpressionAttributeNames": names,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    return {
        "ConditionExpression": "#version = :version",
        "ExpressionAttributeNames": names,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        "ExpressionAttributeValues": to_attributes({":version": change.row.version}),
    }


_TABLES: Mapping[type[Row], tuple[str, Callable[[Any], Item]]] = {
    Account: ("accounts", account_to_item),
    ApiKey: ("accounts", key_to_item),
    File: ("files", file_to_item),
    Upload: ("files", upload_to_item),
    Batch: ("batches", batch_to_item),
    Run: ("runs", run_to_item),
    Shard: ("shards", shard_to_item),
    Request: ("requests", request_to_item),
    Group: ("groups", group_to_item),
    Gathering: ("gatherings", gathering_to_item),
    Webhook: ("webhooks", webhook_to_item),
    CallbackSecret: ("webhooks", callback_secret_to_item),
    Delivery: ("deliveries", delivery_to_item),
    Balance: ("ledger", balance_to_item),
    Entry: ("ledger", entry_to_item),
    Enqueued: ("ledger", enqueued_to_item),
    ModelPools: ("pools", pools_to_item),
    AuditEntry: ("audit", audit_entry_to_item),
}


def _stored(row: Row) -> tuple[str, Item]:
    """Which table holds the row, and as what."""
    table, as_item = _TABLES[type(row)]
    return table, as_item(row)


def _identity(row: Row) -> str:
    if isinstance(row, Delivery):
        return f"{row.destination_id}.{row.id}"
    return (
        row.id
        if isinstance(row, Account | Gathering | ModelPools | AuditEntry)
        else f"{row.account_id}.{row.id}"
    )
