"""How much work a pool has: what waits, what is open, for how long, and how near it is to its deadline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from offpeak.core.errors import Unavailable
from offpeak.core.ports import PoolMeasure, Save
from offpeak.core.queued_run import QueuedRun
from offpeak.core.shard import ShardStatus
from offpeak.steps.cancel_batch import cancel_batch
from offpeak.steps.measure_pools import measure_pools
from offpeak.steps.sweep import sweep
from tests.steps.ward import ACCOUNT, BATCH, POOL, Ward, notice

WINDOW = 86_400


@pytest.fixture
def ward() -> Ward:
    """Five shards of four lines, three of which the pool takes at once."""
    return Ward(lines=20, window_seconds=WINDOW)


def measure(ward: Ward) -> PoolMeasure:
    ward.call(measure_pools, [POOL])
    return ward.metrics.published[-1]


def test_a_pool_without_work_has_zero_waiting_shards_and_nothing_else(ward: Ward) -> None:
    assert measure(ward).values == {"WaitingShards": 0}


def test_a_run_that_is_held_is_no_work_yet(ward: Ward) -> None:
    assert measure(ward).waiting_shards == 0
    ward.release()
    assert measure(ward).waiting_shards == 5


def test_a_shard_counts_from_before_its_dispatch_until_it_is_done(ward: Ward) -> None:
    ward.release()
    seen = []
    while orders := ward.dispatch():
        seen.append(measure(ward).waiting_shards)
        for order in orders:
            ward.complete(ward.work(order))
            seen.append(measure(ward).waiting_shards)
    assert seen == [5, 4, 3, 2, 2, 1, 0]


def test_while_a_worker_holds_the_last_shard_the_pool_is_not_idle(ward: Ward) -> None:
    ward.release()
    ward.run_all()
    assert measure(ward).waiting_shards == 0
    done = ward.shard(4)
    claimed = replace(done, status=ShardStatus.CLAIMED, due_at=int(ward.clock.now()) + 180)
    ward.changes.commit(Save(claimed))
    assert measure(ward).waiting_shards == 1


def test_a_wait_is_counted_from_planning_until_every_shard_has_a_worker(ward: Ward) -> None:
    ward.release()
    ward.clock.advance(100)
    assert measure(ward).oldest_wait_seconds == 100
    ward.dispatch()
    ward.clock.advance(20)
    assert measure(ward).oldest_wait_seconds == 120
    run = ward.run
    ward.changes.commit(Save(replace(run, cursor=run.shards)))  # nothing is left to dispatch …
    assert measure(ward).oldest_wait_seconds == 120  # … but nobody has claimed what was
    for number in range(3):
        shard = ward.shard(number)
        ward.changes.commit(Save(shard.claimed(1, "worker", int(ward.clock.now()) + 180)))
    assert measure(ward).oldest_wait_seconds == 0
    assert measure(ward).waiting_shards == 3


def test_the_slack_is_what_is_left_until_the_deadline_and_goes_below_zero(ward: Ward) -> None:
    ward.release()
    assert measure(ward).least_slack_seconds == WINDOW
    ward.dispatch()
    ward.clock.advance(WINDOW + 5)
    assert measure(ward).least_slack_seconds == -5


def test_a_closing_run_has_no_deadline_to_miss_and_still_holds_its_instances(ward: Ward) -> None:
    ward.release()
    ward.dispatch()
    shard = ward.shard()
    ward.changes.commit(Save(shard.claimed(1, "worker", int(ward.clock.now()) + 180)))
    ward.call(cancel_batch, ACCOUNT, BATCH)
    measured = measure(ward)
    assert measured.waiting_shards == 1
    assert measured.least_slack_seconds is None
    assert "LeastSlackSeconds" not in measured.values


def test_failed_attempts_add_up_while_their_shard_is_open(ward: Ward) -> None:
    ward.release()
    ward.complete(ward.work(ward.dispatch()[2]))
    assert measure(ward).values["FailedShards"] == 0
    ward.complete(notice(0, 1, outcome="failed"))
    ward.complete(notice(1, 1, outcome="failed"))
    assert measure(ward).values["FailedShards"] == 2
    ward.clock.advance(60)
    ward.run_all()
    assert measure(ward).values == {"WaitingShards": 0}


def test_a_lost_shard_is_demand_until_the_sweep_and_after_it(ward: Ward) -> None:
    ward.release()
    ward.dispatch()
    ward.clock.advance(ward.catalogue.of_pool(POOL).claim_seconds_max + 1)
    assert measure(ward).waiting_shards == 5
    ward.call(sweep)
    assert measure(ward).waiting_shards == 5


def test_a_pool_that_can_not_be_read_is_left_out_and_not_called_empty(ward: Ward) -> None:
    queued = ward.runs.queued

    def failing(pool: str, **which: Any) -> Sequence[QueuedRun]:
        if pool == "blue-pool":
            raise Unavailable("no answer")
        return queued(pool, **which)

    ward.runs.queued = failing  # type: ignore[method-assign]
    ward.call(measure_pools, ["blue-pool", POOL])
    assert [measured.pool for measured in ward.metrics.published] == [POOL]
    with pytest.raises(Unavailable):
        ward.call(measure_pools, ["blue-pool"])
