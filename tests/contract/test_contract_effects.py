"""What leaves: executions and answers, asks, invocations, announcements."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from offpeak.core.batch import BatchStatus
from offpeak.core.errors import TooLarge
from offpeak.core.ids import ACCOUNT, BATCH
from offpeak.core.ports import ORDER_BYTES_MAX, PAYLOAD_BYTES_MAX, PoolMeasure
from tests.contract import rows
from tests.contract.worlds import Announced, Invoked, World


def test_an_execution_is_started_once_per_name(world: World) -> None:
    name = rows.fresh(BATCH)
    payload = {"batch_id": name, "ranges": [{"index": 0, "start": 0, "stop": 9}]}
    world.ports.workflows.start(name, payload)
    world.ports.workflows.start(name, payload)
    world.ports.workflows.start(name, {"batch_id": "another"})
    assert world.input_of(name) == payload


def test_a_waiting_state_gets_its_first_answer(world: World) -> None:
    name = rows.fresh(BATCH)
    token = world.wait_for_token(name)
    world.ports.workflows.answer(token, {"outcome": "ended"})
    # Taken before the second one is sent: the emulator's state reads its answer a moment later, AWS's at once.
    assert world.answer_to(name, token) == {"outcome": "ended"}
    world.ports.workflows.answer(token, {"outcome": "too late"})
    assert world.answer_to(name, token) == {"outcome": "ended"}


def test_an_execution_that_runs_or_is_not_known_is_not_redriven(world: World) -> None:
    name = rows.fresh(BATCH)
    world.wait_for_token(name)
    assert not world.ports.workflows.redrive(name, ended_before=2**40)
    assert not world.ports.workflows.redrive(rows.fresh(BATCH), ended_before=2**40)


def test_executions_that_failed_in_between_are_listed_and_no_others(world: World) -> None:
    failed, running = rows.fresh(BATCH), rows.fresh(BATCH)
    world.wait_for_token(running)
    world.fail(failed, world.wait_for_token(failed))
    workflows = world.ports.workflows
    found = list(workflows.failed(ended_after=0, ended_before=2**40))
    assert failed in found
    assert running not in found
    assert failed not in workflows.failed(ended_after=0, ended_before=1)
    assert failed not in workflows.failed(ended_after=2**40, ended_before=2**41)


def test_a_token_nobody_waits_on_counts_as_answered(world: World) -> None:
    world.ports.workflows.answer(f"no token at all {rows.fresh(BATCH)}", {"outcome": "ended"})


def test_a_payload_over_what_a_state_holds_is_refused(world: World) -> None:
    with pytest.raises(TooLarge):
        world.ports.workflows.start(rows.fresh(BATCH), {"ranges": "x" * PAYLOAD_BYTES_MAX})


def test_every_ask_arrives_and_a_pools_come_in_order(world: World) -> None:
    one, other = rows.fresh("pool-"), rows.fresh("pool-")
    for pool in (one, one, other, one):
        world.ports.dispatches.ask(pool)
    assert sorted(world.asks({one, other}, 4)) == sorted([one, one, one, other])


def test_an_order_reaches_its_pools_endpoint_as_it_is(world: World) -> None:
    pool = rows.fresh("p")
    order = b'{"batch_id":"gr\xc3\xb6\xc3\x9fe"}'
    world.ports.endpoints.invoke(pool, f"{pool}.0.0.1", order)
    assert world.invoked(pool) == [Invoked(pool, f"{pool}.0.0.1", order)]


def test_an_order_has_at_most_128000_bytes(world: World) -> None:
    pool = rows.fresh("p")
    world.ports.endpoints.invoke(pool, f"{pool}.1", b"x" * ORDER_BYTES_MAX)
    with pytest.raises(TooLarge):
        world.ports.endpoints.invoke(pool, f"{pool}.2", b"x" * (ORDER_BYTES_MAX + 1))
    assert [seen.invocation_id for seen in world.invoked(pool)] == [f"{pool}.1"]


def test_an_ended_batch_is_announced(world: World) -> None:
    batch = replace(rows.batch(rows.fresh(ACCOUNT)), status=BatchStatus.COMPLETED)
    world.ports.announcements.announce("batch.completed", batch)
    assert world.announced(batch) == Announced(
        "batch.completed", batch.id, batch.account_id, "completed"
    )


def test_a_busy_pool_is_measured_by_four_metrics_and_an_idle_one_by_one(world: World) -> None:
    busy, idle, calm = rows.fresh("p"), rows.fresh("p"), rows.fresh("p")
    now = int(time.time())
    world.ports.metrics.publish(
        PoolMeasure(
            pool=busy, measured_at=now, waiting_shards=7, oldest_wait_seconds=90,
            least_slack_seconds=-30, failed_shards=2,
        ),
        PoolMeasure(pool=idle, measured_at=now),
        PoolMeasure(pool=calm, measured_at=now, waiting_shards=1),
    )  # fmt: skip
    assert world.measured(busy) == {
        "WaitingShards": [7], "OldestWaitSeconds": [90], "LeastSlackSeconds": [-30],
        "FailedShards": [2],
    }  # fmt: skip
    assert world.measured(idle) == {"WaitingShards": [0]}
    assert "LeastSlackSeconds" not in world.measured(calm)


def test_more_measures_than_one_call_takes_are_all_published(world: World) -> None:
    now = int(time.time())
    pools = [rows.fresh("p") for _ in range(251)]
    world.ports.metrics.publish(
        *(
            PoolMeasure(pool=pool, measured_at=now, waiting_shards=1, least_slack_seconds=1)
            for pool in pools
        )
    )  # 1,004 data
    assert set(world.measured(pools[0])) == set(world.measured(pools[-1]))
    assert len(world.measured(pools[-1])) == 4


def test_nothing_measured_is_nothing_published(world: World) -> None:
    world.ports.metrics.publish()
