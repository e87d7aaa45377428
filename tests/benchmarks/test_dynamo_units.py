"""What DynamoDB charges for a call."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.dynamo_units import CapacityMeter, UnknownCall, row_bytes

SHARD = {"run_id": {"S": "batch_1.0"}, "number": {"N": "7"}, "version": {"N": "1"}}
OPEN = {**SHARD, "open_pool": {"S": "pool"}, "shard_id": {"S": "batch_1.0.7"}}


@pytest.fixture
def meter() -> CapacityMeter:
    return CapacityMeter(lambda table: table)


def writes(meter: CapacityMeter, row: dict[str, Any], *, ok: bool = True) -> float:
    asked = {"TableName": "shards", "Item": row}
    [units] = meter.count("PutItem", asked, {}, ok=ok)
    return units.writes


def test_a_row_costs_a_unit_per_started_kilobyte_and_as_much_for_its_index(
    meter: CapacityMeter,
) -> None:
    assert writes(meter, SHARD) == 1
    assert writes(meter, {**OPEN, "text": {"S": "x" * 1_024}}) in (
        3,
        4,
    )  # as much as the index holds of it


def test_an_index_that_holds_only_some_attributes_is_left_alone_when_others_change(
    meter: CapacityMeter,
) -> None:
    run = {
        "batch_id": {"S": "batch_1"}, "number": {"N": "0"}, "queue_pool": {"S": "pool"},
        "queue_key": {"S": "1"}, "deadline": {"N": "5"},
    }  # fmt: skip
    costs = []
    for changed in (
        {},
        {"cursor": {"N": "1"}},
        {"deadline": {"N": "6"}},
        {"queue_key": {"S": "2"}},
    ):
        asked = {"TableName": "runs", "Item": run | changed}
        costs.append(meter.count("PutItem", asked, {}, ok=True)[0].writes)
        run |= changed
    assert costs == [2, 1, 2, 3]


def test_leaving_an_index_costs_what_lay_in_it(meter: CapacityMeter) -> None:
    assert writes(meter, OPEN) == 2
    assert writes(meter, SHARD) == 2
    assert writes(meter, SHARD) == 1


def test_a_refused_write_costs_the_same_and_changes_nothing(meter: CapacityMeter) -> None:
    assert writes(meter, OPEN) == 2
    assert writes(meter, SHARD, ok=False) == 2
    assert writes(meter, SHARD) == 2


def test_a_transaction_costs_twice(meter: CapacityMeter) -> None:
    part = {"Put": {"TableName": "shards", "Item": OPEN}}
    [units] = meter.count("TransactWriteItems", {"TransactItems": [part]}, {}, ok=True)
    assert (units.table, units.writes, units.reads) == ("shards", 4, 0)


@pytest.mark.parametrize(("consistent", "reads"), [(True, 1.0), (False, 0.5)])
def test_a_read_that_may_lag_costs_half(
    meter: CapacityMeter, *, consistent: bool, reads: float
) -> None:
    asked = {"TableName": "shards", "ConsistentRead": consistent}
    for operation, answered in (("GetItem", {"Item": OPEN}), ("Query", {"Items": [OPEN] * 3})):
        [units] = meter.count(operation, asked, answered, ok=True)
        assert units.reads == reads


def test_a_page_is_read_by_its_sum_and_rows_by_their_keys_each_by_itself(
    meter: CapacityMeter,
) -> None:
    row = {"text": {"S": "x" * 3_000}}
    [page] = meter.count("Query", {"TableName": "runs"}, {"Items": [row] * 4}, ok=True)
    [keys] = meter.count("BatchGetItem", {}, {"Responses": {"runs": [row] * 4}}, ok=True)
    assert (page.reads, keys.reads) == (1.5, 4)


def test_sizes_are_those_of_names_and_values() -> None:
    assert row_bytes({"a": {"S": "é"}}) == 3
    assert row_bytes({"n": {"N": "1234"}, "m": {"M": {"x": {"BOOL": True}}}}) == 1 + 4 + 1 + 6


def test_a_call_without_a_price_is_an_error(meter: CapacityMeter) -> None:
    with pytest.raises(UnknownCall):
        meter.count("ExecuteStatement", {}, {}, ok=True)
