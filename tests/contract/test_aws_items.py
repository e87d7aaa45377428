"""Rows as DynamoDB items: nothing is lost on the way there and back, and sparse attributes follow the state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import EnumType
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.aws.accounts import account_from_item, account_to_item, key_from_item, key_to_item
from offpeak.aws.audit import audit_entry_from_item, audit_entry_to_item
from offpeak.aws.batches import batch_from_item, batch_to_item
from offpeak.aws.deliveries import KEPT_SECONDS, delivery_from_item, delivery_to_item
from offpeak.aws.files import (
    GRACE_SECONDS,
    file_from_item,
    file_to_item,
    upload_from_item,
    upload_to_item,
)
from offpeak.aws.gatherings import gathering_from_item, gathering_to_item
from offpeak.aws.groups import group_from_item, group_to_item
from offpeak.aws.items import Item
from offpeak.aws.ledger import (
    balance_from_item,
    balance_to_item,
    enqueued_from_item,
    enqueued_to_item,
    entry_from_item,
    entry_to_item,
)
from offpeak.aws.requests import request_from_item, request_to_item
from offpeak.aws.runs import run_from_item, run_to_item
from offpeak.aws.shards import shard_from_item, shard_to_item
from offpeak.aws.webhooks import (
    callback_secret_from_item,
    callback_secret_to_item,
    webhook_from_item,
    webhook_to_item,
)
from offpeak.core.account import Account, ApiKey
from offpeak.core.audit import AuditEntry
from offpeak.core.batch import Batch
from offpeak.core.delivery import Delivery
from offpeak.core.enqueued import Enqueued
from offpeak.core.file import File, Upload
from offpeak.core.gathering import Gathering
from offpeak.core.group import CALLS_MAX, Group
from offpeak.core.ledger import Balance, Entry
from offpeak.core.request import Request
from offpeak.core.run import Run
from offpeak.core.shard import Shard
from offpeak.core.webhook import CallbackSecret, Webhook
from tests.contract import rows

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
MAPPERS: list[tuple[type, Callable[[Any], Item], Callable[[Item], Any]]] = [
    (Account, account_to_item, account_from_item),
    (ApiKey, key_to_item, key_from_item),
    (AuditEntry, audit_entry_to_item, audit_entry_from_item),
    (File, file_to_item, file_from_item),
    (Upload, upload_to_item, upload_from_item),
    (Batch, batch_to_item, batch_from_item),
    (Run, run_to_item, run_from_item),
    (Shard, shard_to_item, shard_from_item),
    (Request, request_to_item, request_from_item),
    (Group, group_to_item, group_from_item),
    (Gathering, gathering_to_item, gathering_from_item),
    (Webhook, webhook_to_item, webhook_from_item),
    (CallbackSecret, callback_secret_to_item, callback_secret_from_item),
    (Delivery, delivery_to_item, delivery_from_item),
    (Balance, balance_to_item, balance_from_item),
    (Entry, entry_to_item, entry_from_item),
    (Enqueued, enqueued_to_item, enqueued_from_item),
]


LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(0, 2**53),
    bool: st.booleans(),
    NoneType: st.none(),
}


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of this annotation."""
    if hint in LEAVES:
        return LEAVES[hint]
    if get_origin(hint) is Mapping:
        key, value = get_args(hint)
        return st.dictionaries(values_of(key), values_of(value), max_size=3)
    if get_origin(hint) is tuple:
        return _tuples(*get_args(hint))
    if get_origin(hint) is Literal or isinstance(hint, EnumType):
        return st.sampled_from(list(get_args(hint) or hint))
    if get_args(hint):
        return st.one_of(*map(values_of, get_args(hint)))
    hints = get_type_hints(hint)
    return st.builds(hint, **{f.name: values_of(hints[f.name]) for f in fields(hint)})


def _tuples(*hints: Any) -> st.SearchStrategy[Any]:
    if hints[-1] is Ellipsis:
        return st.lists(values_of(hints[0]), max_size=3).map(tuple)
    return st.tuples(*map(values_of, hints))


@pytest.mark.parametrize(("kind", "to_item", "from_item"), MAPPERS)
def test_a_row_comes_back_from_its_item(
    kind: type, to_item: Callable[[Any], Item], from_item: Callable[[Item], Any]
) -> None:
    @given(values_of(kind))
    def comes_back(row: Any) -> None:
        item = to_item(row)
        assert from_item(item) == row
        assert all(value != {"NULL": True} for value in item.values())

    comes_back()


@pytest.mark.parametrize(
    ("kind", "to_item", "attribute", "belongs"),
    [
        (Batch, batch_to_item, "open", lambda batch: not batch.is_terminal),
        (Run, run_to_item, "queue_pool", lambda run: run.has_more),
        (Shard, shard_to_item, "open_pool", lambda shard: shard.is_open),
        (Delivery, delivery_to_item, "due_bucket", lambda delivery: delivery.is_open),
    ],
)
@given(st.data())
def test_a_row_is_in_its_sparse_index_as_its_state_says(
    kind: type,
    to_item: Callable[[Any], Item],
    attribute: str,
    belongs: Callable[[Any], bool],
    data: st.DataObject,
) -> None:
    row = data.draw(values_of(kind))
    assert (attribute in to_item(row)) == belongs(row)


def test_what_a_later_version_wrote_is_no_obstacle() -> None:
    item = file_to_item(rows.file("acct_1")) | {"colour": {"S": "blue"}}
    assert file_from_item(item).filename == "requests.jsonl"


def test_an_upload_is_dropped_by_the_table_two_days_late_a_file_with_bytes_never() -> None:
    assert "ttl" not in file_to_item(rows.file("acct_1", expires_at=1_000))
    assert upload_to_item(rows.upload("acct_1", expires_at=5))["ttl"] == {
        "N": str(5 + GRACE_SECONDS)
    }


def test_only_keys_are_in_the_index_of_keys() -> None:
    assert "account_id" not in account_to_item(rows.account())
    assert key_to_item(rows.api_key("acct_1"))["account_id"] == {"S": "acct_1"}


@pytest.mark.parametrize(("created_at", "due_at"), [(5, 9), (9, 5)])
def test_a_delivery_is_dropped_by_the_table_a_month_after_it_was_last_due(
    created_at: int, due_at: int
) -> None:
    item = delivery_to_item(rows.delivery("acct_1", created_at=created_at, due_at=due_at))
    assert item["ttl"] == {"N": str(9 + KEPT_SECONDS)}


def test_the_row_of_a_group_that_was_extended_as_often_as_can_be_fits_into_its_table() -> None:
    tokens = tuple(f"{n:016x}" for n in range(CALLS_MAX))
    group = Group(id="group_1", account_id="acct_1", created_at=0, expires_at=1, calls=tokens)
    assert len(repr(group_to_item(group))) < 400_000, "as text it is longer than as DynamoDB counts"
