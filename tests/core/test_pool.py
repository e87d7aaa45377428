from __future__ import annotations

from dataclasses import replace

import pytest

from offpeak.core.model import Elsewhere, Model
from offpeak.core.plan import CapacityPlan, Override, OverrideKind
from offpeak.core.pool import (
    PLAN_SECONDS_MAX,
    REMEMBERED_SECONDS,
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
