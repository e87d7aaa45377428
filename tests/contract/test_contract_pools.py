"""Pools: their rows, and the bounds of their instances."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offpeak.core.errors import NotFound, StateConflict
from offpeak.core.plan import CapacityPlan, Override, OverrideKind, PoolPlan, RunPlan
from offpeak.core.pool import ModelPools, PoolState, pool_id
from offpeak.core.ports import Add, Bounds, InstanceCounts, Save
from tests.contract import rows
from tests.contract.rows import NOW
from tests.contract.worlds import World

HOME, MORE = Bounds(2, 2), Bounds(0, 4)


def plan(pool: str) -> CapacityPlan:
    return CapacityPlan(
        made_at=NOW + 0.25, starts_at=NOW, slot_seconds=900,
        pools=(
            PoolPlan(
                pool=pool, region="us-east-1", instances=(0, 2), seconds=(0.0, 812.5),
                cold_start_seconds=640.0, why="Waits for the night.",
            ),
        ),
        runs=(RunPlan(run_id="batch_1.0", starts_at=NOW + 900, ends_at=NOW + 1_306.5),),
        due_by={pool: NOW + 9_000.5}, cost=1.25,
    )  # fmt: skip


def test_pools_are_read_as_they_were_stored(world: World) -> None:
    pool = rows.fresh("pool-")
    boost = Override(kind=OverrideKind.BOOST, until=NOW + 60, instances=3)
    row = ModelPools(
        id=pool, plan=plan(pool),
        states={
            pool: PoolState(
                instances=2, bounded_at=NOW, override=boost, waking_since=NOW, starts=(640, 600)
            ),
            pool_id(pool, "eu-north-1"): PoolState(instances=1, draining_since=NOW),
        },
    )  # fmt: skip
    world.ports.changes.commit(Add(row))
    found = world.ports.pools.get(pool)
    assert found == replace(row, version=1)
    assert world.ports.pools.glance(pool) == found
    world.ports.changes.commit(Save(replace(found, plan=None)))
    assert world.ports.pools.get(pool).plan is None
    with pytest.raises(StateConflict):
        world.ports.changes.commit(Save(found))


def test_a_pool_that_nobody_planned_is_not_there(world: World) -> None:
    with pytest.raises(NotFound):
        world.ports.pools.get(rows.fresh("pool-"))


def test_a_bound_moves_the_instances_and_says_what_comes_after(world: World) -> None:
    pool = rows.fresh("p")
    capacity = world.ports.capacity
    assert capacity.counts(pool) == InstanceCounts(running=0, ordered=0)
    capacity.bound(pool, HOME, until=NOW, then=MORE)
    assert capacity.counts(pool) == InstanceCounts(running=2, ordered=2)
    assert world.bounded(pool) == (HOME, NOW, MORE)
    capacity.bound(pool, Bounds(0, 0), until=NOW + 60, then=MORE)
    assert capacity.counts(pool).running == 0
    assert world.bounded(pool) == (Bounds(0, 0), NOW + 60, MORE)


def test_a_pool_elsewhere_is_bound_in_its_own_region(world: World) -> None:
    home = rows.fresh("p")
    elsewhere = pool_id(home, "eu-north-1")
    world.ports.capacity.bound(elsewhere, HOME, until=NOW, then=MORE)
    assert world.ports.capacity.counts(elsewhere).running == 2
    assert world.ports.capacity.counts(home).running == 0


def test_a_pool_without_an_endpoint_is_not_found(world: World) -> None:
    if hasattr(world, "memory"):
        world.memory.capacity.missing.add("missing")
    with pytest.raises(NotFound):
        world.ports.capacity.counts("missing")
    with pytest.raises(NotFound):
        world.ports.capacity.bound("missing", HOME, until=NOW, then=MORE)


def test_a_plan_of_two_thousand_runs_fits_one_row(world: World) -> None:
    pool = rows.fresh("pool-")
    runs = tuple(
        RunPlan(
            run_id=f"{rows.fresh('batch_')}.0", starts_at=NOW + n, ends_at=NOW + n + 0.5,
            takes=(pool,),
        )
        for n in range(2_000)
    )  # fmt: skip
    world.ports.changes.commit(Add(ModelPools(id=pool, plan=replace(plan(pool), runs=runs))))
    found = world.ports.pools.get(pool).plan
    assert found is not None
    assert found.runs == runs
