"""Hundreds of batches in simulated time, over the real choice of runs: nobody starves, shares hold, small ones pass."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.simulated_pool import (
    GRAIN_SECONDS,
    LAG_SECONDS,
    SimulatedPool,
    SimulatedRun,
    large_model,
    mixed_sizes,
    new_run,
)
from offpeak.core.run import Tier

DAY = 86_400
BATCHES, SHARDS_MAX = 500, 5_000
EXPRESS_SECONDS_MAX = 60


def shard_seconds(run: SimulatedRun, random: Random) -> float:
    return (
        random.uniform(20, EXPRESS_SECONDS_MAX)
        if run.run.tier is Tier.EXPRESS
        else random.uniform(300, 900)
    )


@pytest.fixture(scope="module")
def crowd() -> tuple[SimulatedPool, list[SimulatedRun]]:
    """500 batches of five accounts within an hour, of 10 lines to 10 million; run until the last has ended."""
    random = Random(1)
    pool = SimulatedPool(large_model(600), shard_seconds=shard_seconds, seed=1)
    runs = []
    for n in range(BATCHES):
        shards, lines = mixed_sizes(random, SHARDS_MAX)
        now = random.randrange(3_600)
        window = random.choice([DAY, 2 * DAY, 7 * DAY])
        runs.append(
            new_run(f"b{n}", f"acct_{n % 5}", shards=shards, lines=lines, now=now, deadline=now + window)
        )  # fmt: skip
        pool.submit(runs[-1])
    pool.run()
    return pool, runs


def test_every_shard_of_every_batch_goes_once(
    crowd: tuple[SimulatedPool, list[SimulatedRun]],
) -> None:
    pool, runs = crowd
    assert max(run.run.shards for run in runs) > 4_000
    assert all(run.ended_at is not None and run.left == 0 for run in runs)
    assert pool.seen.shards == sum(run.run.shards for run in runs)


def test_no_slot_stands_empty_beside_work(
    crowd: tuple[SimulatedPool, list[SimulatedRun]],
) -> None:
    pool, _ = crowd
    assert pool.seen.empty_beside_work == 0


def test_a_batch_of_some_lines_waits_for_others_of_its_kind_at_most(
    crowd: tuple[SimulatedPool, list[SimulatedRun]],
) -> None:
    _, runs = crowd
    express = [run for run in runs if run.queued.tier is Tier.EXPRESS]
    assert len(express) > 50
    assert max(run.delay for run in express) <= EXPRESS_SECONDS_MAX


def test_ten_lines_behind_five_million_in_the_same_account_wait_for_a_moment_only() -> None:
    """The pool of one instance, whose every slot would be taken for days."""
    pool = SimulatedPool(large_model(1), shard_seconds=shard_seconds)
    long = new_run("long", "acct", shards=2_500, lines=5_000_000, now=0, deadline=7 * DAY)
    pool.submit(long)
    small = [
        new_run(f"s{n}", "acct", shards=1, lines=10, now=1_000 + 700 * n, deadline=2 * DAY)
        for n in range(100)
    ]
    for run in small:
        pool.submit(run)
    pool.run(until=DAY)
    assert long.left > 0
    assert pool.held["acct"] == pool.model.ordinary_in_flight_max
    assert max(run.delay for run in small) <= GRAIN_SECONDS + LAG_SECONDS


def held_shares(instances: int, weights: dict[str, float], slow: str = "") -> dict[str, float]:
    """What each account held of the pool's slots within two days, none of them ever without work."""

    def seconds(run: SimulatedRun, random: Random) -> float:
        return random.uniform(300, 900) * (2 if run.run.account_id == slow else 1)

    pool = SimulatedPool(large_model(instances), shard_seconds=seconds, weights=weights)
    for account in weights:
        for n in range(20):
            name = f"{account}{n}"
            pool.submit(
                new_run(name, account, shards=1_000, lines=2_000_000, now=0, deadline=90 * DAY)
            )
    pool.run(until=2 * DAY)
    assert {run.account_id for run in pool.queue.first(1, express=False)} == set(weights)
    return {each: pool.seen.slot_seconds[each] / pool.seen.slot_seconds.total() for each in weights}


@pytest.mark.parametrize("instances", [1, 7])
def test_weighted_shares_hold_over_time_with_fewer_slots_than_accounts_too(instances: int) -> None:
    share = held_shares(instances, {"light": 1.0, "heavy": 3.0, "other": 1.0})
    assert share["heavy"] == pytest.approx(0.6, abs=0.05)
    assert share["light"] == pytest.approx(0.2, abs=0.05)


def test_whose_shards_take_twice_as_long_gets_as_much_of_the_pool_and_fewer_shards() -> None:
    """To within the one slot that is shared by lot."""
    slot = 1 / large_model(7).ordinary_in_flight_max
    share = held_shares(7, {"light": 1.0, "heavy": 3.0, "slow": 1.0}, slow="slow")
    assert share["heavy"] == pytest.approx(0.6, abs=slot)
    assert share["slow"] == pytest.approx(0.2, abs=slot)


def test_an_account_with_few_batches_does_not_wait_for_one_with_hundreds() -> None:
    pool = SimulatedPool(large_model(4), shard_seconds=shard_seconds)
    for n in range(499):
        pool.submit(new_run(f"many{n}", "many", shards=50, lines=100_000, now=0, deadline=30 * DAY))
    one = new_run("one", "few", shards=40, lines=80_000, now=3_600, deadline=31 * DAY)
    pool.submit(one)
    pool.run(until=DAY)
    assert one.ended_at is not None
    assert one.delay <= 900  # one shard of another's ends within that
    alone = 40 / pool.model.ordinary_in_flight_max * 600
    assert one.ended_at - one.run.created_at < 4 * alone


def test_a_long_run_behind_an_endless_stream_of_short_ones_goes_when_it_must() -> None:
    pool = SimulatedPool(large_model(1), shard_seconds=lambda run, random: 600.0)
    long = new_run("long", "acct", shards=20, lines=40_000, now=0, deadline=DAY)
    pool.submit(long)
    for n in range(400):
        now = n * 400
        pool.submit(new_run(f"s{n}", "acct", shards=4, lines=8_000, now=now, deadline=now + DAY))
    pool.run(until=DAY)
    assert long.ended_at is not None
    assert long.ended_at <= DAY
