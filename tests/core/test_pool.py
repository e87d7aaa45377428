from __future__ import annotations

from dataclasses import replace

import pytest

from offpeak.core.model import Elsewhere, Model
from offpeak.core.plan import CapacityPlan, Override, OverrideKind
from offpeak.core.pool import (
    COLD_START_SECONDS_MAX,
    COLD_START_SECONDS_MIN,
    PLAN_SECONDS_MAX,
    REMEMBERED_SECONDS,
    STARTS_KEPT,
    ModelPools,
    PoolState,
    pool_id,
    pools_of,
    split_pool,
)

MODEL = Model(
    id="org/model", pool="model", source="s", endpoints=("/v1/completions",), context_tokens=100_000,
    instance_types=("ml.g6.xlarge",), instances_max=4,
    regions={"eu-north-1": Elsewhere(instances_max=2), "us-west-2": Elsewhere()},
)  # fmt: skip
PLAN = CapacityPlan(made_at=1_000, starts_at=900, slot_seconds=900, pools=(), runs=())


def test_a_pool_at_home_has_the_name_that_it_always_had() -> None:
    assert pool_id("model", None) == "model"
    assert split_pool("model") == ("model", None)


def test_a_pool_elsewhere_is_told_by_its_region() -> None:
    assert split_pool(pool_id("model", "eu-north-1")) == ("model", "eu-north-1")


def test_a_model_has_a_pool_at_home_first_and_one_in_each_further_region() -> None:
    found = pools_of(MODEL)
    assert list(found) == ["model", "model@eu-north-1", "model@us-west-2"]
    assert [each.instances_max for each in found.values()] == [4, 2, 4]


def test_a_pool_drains_before_it_goes_to_zero() -> None:
    working = PoolState(instances=2, bounded_at=50)
    draining = working.wanting(0, at_work=1, now=70)
    assert (draining.instances, draining.draining) == (2, True)
    assert draining.wanting(0, at_work=1, now=900) == draining
    asleep = draining.wanting(0, at_work=0, now=900)
    assert asleep == PoolState(instances=0, asleep_since=900)


def test_a_pool_drains_for_as_long_as_dispatchers_may_think_it_awake() -> None:
    draining = PoolState(instances=2, bounded_at=50).wanting(0, at_work=0, now=70)
    assert draining.wanting(0, at_work=0, now=70 + REMEMBERED_SECONDS - 1) == draining
    assert draining.wanting(0, at_work=0, now=70 + REMEMBERED_SECONDS).instances == 0


def test_a_draining_pool_that_is_wanted_again_works_on() -> None:
    draining = PoolState(instances=2, bounded_at=50).wanting(0, at_work=1, now=70)
    assert draining.wanting(2, at_work=1, now=71) == PoolState(instances=2)


def test_a_pool_that_stays_as_it_is_asks_for_nothing() -> None:
    working = PoolState(instances=2, bounded_at=50)
    assert working.wanting(2, at_work=3, now=70) == working
    asleep = PoolState(instances=0, bounded_at=50)
    assert (
        asleep.wanting(0, at_work=2, now=70) == asleep
    )  # they are lost, and found by their leases


@pytest.mark.parametrize(("age", "fresh"), [(0, True), (PLAN_SECONDS_MAX, False)])
def test_a_stale_plan_is_none(age: int, fresh: bool) -> None:
    pools = ModelPools(id="model", plan=PLAN)
    assert (pools.plan_at(1_000 + age) is not None) is fresh
    assert ModelPools(id="model").plan_at(1_000) is None


def test_an_operators_word_asks_for_a_plan_leaves_the_last_one_and_ends_by_itself() -> None:
    hold = Override(kind=OverrideKind.HOLD, until=2_000)
    pools = ModelPools(id="model", plan=PLAN).overridden("model", hold)
    assert pools.plan_at(1_001) is not None
    assert pools.is_due
    assert not pools.planned(PLAN).is_due
    assert pools.state("model").override_at(1_999) == hold
    assert pools.state("model").override_at(2_000) is None
    assert replace(pools, plan=None).overridden("model", None).state("model").override is None


def started(state: PoolState, seconds: int, now: int = 10_000) -> PoolState:
    """Ordered its first instance, which serves so many seconds later, and asleep again."""
    serves = replace(state, instances=0).wanting(2, at_work=0, now=now).awake(now + seconds)
    return replace(serves, instances=0, asleep_since=now + seconds)


def test_a_cold_start_is_from_the_first_order_until_an_instance_serves() -> None:
    woken = PoolState(instances=0, asleep_since=1).wanting(1, at_work=0, now=1_000)
    more = woken.wanting(3, at_work=0, now=1_300)
    assert more.waking_since == 1_000
    assert more.awake(1_640).starts == (640,)
    assert more.awake(1_640).waking_since is None
    assert more.wanting(2, at_work=0, now=1_700).starts == ()


def test_more_instances_of_a_pool_that_serves_are_no_cold_start() -> None:
    serving = PoolState(instances=1)
    assert serving.wanting(3, at_work=0, now=1_000).waking_since is None
    assert serving.awake(1_000) == serving


def test_an_instance_that_had_not_gone_yet_is_no_cold_start() -> None:
    again = PoolState(instances=0, asleep_since=990).wanting(1, at_work=0, now=1_000)
    assert again.awake(1_000) == replace(again, waking_since=None)


def test_a_start_that_is_called_off_is_not_measured() -> None:
    woken = PoolState(instances=0).wanting(1, at_work=0, now=1_000)
    off = woken.wanting(0, at_work=0, now=1_100).wanting(0, at_work=0, now=1_400)
    assert (off.instances, off.waking_since) == (0, None)


def test_a_few_starts_make_a_measure_and_one_that_was_unlucky_counts_for_little() -> None:
    state = PoolState(instances=0)
    for seconds in (600, 7_000):
        state = started(state, seconds)
        assert state.cold_start_seconds is None
    assert started(state, 660).cold_start_seconds == 660


def test_the_latest_starts_count_and_none_for_more_than_is_possible() -> None:
    state = PoolState(instances=0)
    for seconds in (5, 100_000, *[400 + n for n in range(STARTS_KEPT)]):
        state = started(state, seconds)
        assert all(
            COLD_START_SECONDS_MIN <= each <= COLD_START_SECONDS_MAX for each in state.starts
        )
    assert state.starts == tuple(400 + n for n in range(STARTS_KEPT))
    assert state.cold_start_seconds == 400 + STARTS_KEPT // 2
