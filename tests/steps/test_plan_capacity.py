"""From what waits to the instances that are ordered: the real plan, over ports in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from offpeak.core.catalogue import Catalogue
from offpeak.core.errors import Unavailable
from offpeak.core.model import Elsewhere
from offpeak.core.plan import Override, OverrideKind, Weights
from offpeak.core.pool import PLAN_SECONDS_MAX, ModelPools, PoolState
from offpeak.core.ports import Add, Bounds, InstanceCounts, Save
from offpeak.core.schedule import Schedule
from offpeak.core.signal import Signal, SignalKind, SignalPoint, Unit
from offpeak.steps.plan_capacity import PLAN_AGAIN_SECONDS, Planned, PlanSettings, plan_capacity
from tests.steps.simulation import CATALOGUE
from tests.steps.ward import ACCOUNT, BATCH, POOL, Ward, notice

HOME, FAR = "us-east-1", "eu-north-1"
NORTH = f"{POOL}@{FAR}"
HOUR = 3_600
SETTINGS = PlanSettings(home=HOME, weights=Weights(earliness=0.001))


class Priced:
    """Regions whose hours cost what a test says: dear ones, then one that is cheap."""

    def __init__(self, now: float) -> None:
        self._now = int(now) // HOUR * HOUR
        self.curves: dict[str, list[float]] = {}

    def newest(self, region: str) -> Sequence[Signal]:
        prices = self.curves.get(region)
        if prices is None:
            return ()
        points = [SignalPoint(self._now + n * HOUR, HOUR, p) for n, p in enumerate(prices)]
        return [
            Signal(
                region=region, kind=SignalKind.PRICE, unit=Unit.FACTOR, issued_at=self._now,
                source="a test", points=tuple(points),
            )
        ]  # fmt: skip


class Planning(Ward):
    """A released run of a hundred shards, and a clock at the beginning of an hour."""

    def __init__(self, schedule: Schedule = Schedule.OFFPEAK, **fields: Any) -> None:
        super().__init__(lines=400)
        self.clock.advance(-self.clock.now() % HOUR)
        model = replace(
            CATALOGUE.models[0],
            **{
                "instances_max": 4,
                "cold_start_seconds": 30,
                "instance_types": ("ml.g6.xlarge",),
                **fields,
            },
        )
        self.catalogue = Catalogue((model,))
        self.signals = Priced(self.clock.now())
        self.changes.commit(Save(replace(self.run, schedule=schedule)))
        self.release()

    def cheap_after(self, hours: int, region: str = HOME) -> None:
        self.signals.curves[region] = [10.0] * hours + [1.0] * (48 - hours)

    def plan(self) -> Planned:
        [planned] = plan_capacity(
            settings=SETTINGS, clock=self.clock, catalogue=self.catalogue,
            accounts=self.accounts, runs=self.runs, shards=self.shards, pools=self.pools,
            signals=self.signals, capacity=self.capacity, changes=self.changes,
            dispatches=self.dispatches, metrics=self.metrics,
        )  # fmt: skip
        return planned

    def pass_time(self, seconds: float) -> Planned:
        """A look each minute."""
        for _ in range(int(seconds // 60)):
            self.clock.advance(60)
            planned = self.plan()
        return planned

    def bounds(self, pool: str = POOL) -> Bounds:
        return self.capacity.bounded[pool].bounds

    def override(self, kind: OverrideKind, instances: int = 0) -> None:
        word = Override(kind=kind, until=self.clock.now() + HOUR, instances=instances)
        self.changes.commit(Save(self.pools.get(POOL).overridden(POOL, word)))


def test_a_batch_waits_for_its_slot_then_runs_and_then_nothing_does() -> None:
    ward = Planning()
    ward.cheap_after(6)
    assert ward.pass_time(120).instances == {POOL: 0}
    assert ward.dispatch() == []
    starts_at = ward.pools.get(POOL).plan.run(f"{BATCH}.0").starts_at  # type: ignore[union-attr]
    assert starts_at > ward.clock.now() + 5 * HOUR
    ward.pass_time(7 * HOUR)
    assert (ward.pools.get(POOL).state(POOL).instances or 0) > 0
    assert ward.capacity.counts(POOL).running > 0
    while not ward.run.ended:
        for order in ward.dispatch():
            ward.complete(ward.work(order))
        ward.pass_time(60)
        assert ward.clock.now() < ward.batch.expires_at
    ward.pass_time(HOUR)
    assert ward.bounds() == Bounds(0, 0)
    assert ward.capacity.counts(POOL).running == 0


def test_work_that_is_asked_for_now_has_instances_at_the_next_look() -> None:
    ward = Planning(Schedule.NOW)
    ward.cheap_after(6)
    assert (ward.plan().instances[POOL] or 0) > 0


def test_work_that_cannot_wait_any_longer_has_instances_whatever_they_cost() -> None:
    ward = Planning()
    ward.signals.curves[HOME] = [10.0] * 48
    ward.cheap_after(40)
    assert ward.pass_time(120).instances == {POOL: 0}
    ward.pass_time(23 * HOUR)
    assert (ward.pools.get(POOL).state(POOL).instances or 0) > 0


def test_a_pool_drains_before_it_goes_to_zero() -> None:
    ward = Planning(Schedule.NOW)
    ward.plan()
    orders = ward.dispatch()
    ward.changes.commit(Save(replace(ward.run, schedule=Schedule.OFFPEAK)))
    ward.cheap_after(6)
    ward.clock.advance(PLAN_AGAIN_SECONDS)
    planned = ward.plan()
    if not planned.draining:  # the work that is open may be worth an instance
        ward.override(OverrideKind.HOLD)
        planned = ward.plan()
    assert planned.draining == [POOL]
    assert ward.bounds().least > 0
    ward.clock.advance(60)
    assert ward.dispatch() == []
    for order in orders:
        ward.complete(ward.work(order))
    ward.clock.advance(60)
    ward.plan()
    assert ward.bounds() == Bounds(0, 0)


def test_a_bound_falls_back_by_itself_unless_it_is_said_again() -> None:
    ward = Planning(instances_min=1)
    ward.plan()
    first = ward.capacity.bounded[POOL]
    assert first.until == ward.clock.now() + PLAN_SECONDS_MAX
    assert first.then == Bounds(1, 4)
    ward.pass_time(PLAN_SECONDS_MAX)
    assert ward.capacity.bounded[POOL].until > ward.clock.now() + 60


def test_what_could_not_be_ordered_is_ordered_at_the_next_look() -> None:
    ward = Planning(Schedule.NOW)
    up = ward.capacity

    class Down:
        counts = up.counts

        def bound(self, *_: Any, **__: Any) -> None:
            raise Unavailable("Throttled.")

    ward.capacity = Down()  # type: ignore[assignment]
    wanted = ward.plan().instances[POOL]
    ward.capacity = up
    assert up.counts(POOL).running == 0
    ward.plan()
    assert up.counts(POOL).running == wanted


def test_a_plan_stands_for_some_minutes_unless_something_comes_that_cannot_wait() -> None:
    ward = Planning()
    ward.cheap_after(6)
    assert ward.plan().made
    ward.clock.advance(60)
    assert not ward.plan().made
    ward.changes.commit(Save(ward.run.marked_late(True)))
    planned = ward.plan()
    assert planned.made
    assert (planned.instances[POOL] or 0) > 0


@pytest.mark.parametrize(
    ("kind", "instances", "least"), [(OverrideKind.RELEASE, 0, 1), (OverrideKind.BOOST, 3, 3)]
)
def test_an_operator_can_have_work_begin_now(
    kind: OverrideKind, instances: int, least: int
) -> None:
    ward = Planning()
    ward.cheap_after(6)
    ward.plan()
    ward.override(kind, instances)
    planned = ward.plan()
    assert planned.made
    assert (planned.instances[POOL] or 0) >= least


def test_an_operator_can_hold_what_would_begin() -> None:
    ward = Planning()
    ward.cheap_after(0)
    assert (ward.pass_time(HOUR).instances[POOL] or 0) > 0
    ward.override(OverrideKind.HOLD)
    assert ward.pass_time(120).instances == {POOL: 0}


def test_the_cheaper_region_works() -> None:
    ward = Planning(regions={FAR: Elsewhere()})
    ward.signals.curves = {HOME: [10.0] * 48, FAR: [1.0] * 48}
    planned = ward.pass_time(HOUR + 300)  # well within a slot
    assert (planned.instances[POOL], (planned.instances[NORTH] or 0) > 0) == (0, True)
    ward.dispatch()
    assert {each.pool for each in ward.endpoints.invocations} == {NORTH}


def test_lines_that_must_stay_are_planned_at_home() -> None:
    ward = Planning(regions={FAR: Elsewhere()})
    ward.signals.curves = {HOME: [10.0] * 48, FAR: [1.0] * 48}
    ward.changes.commit(Save(replace(ward.accounts.get(ACCOUNT), regions=())))
    ward.pass_time(23 * HOUR)
    row = ward.pools.get(POOL)
    assert row.state(NORTH).instances == 0
    assert (row.state(POOL).instances or 0) > 0


def test_a_model_that_can_not_be_planned_is_told_by_the_plans_age() -> None:
    ward = Planning()
    ward.plan()
    assert ward.metrics.plan_ages == [0]

    class Broken:
        def queued(self, *_: Any, **__: Any) -> Any:
            raise Unavailable("Throttled.")

    ward.runs = Broken()  # type: ignore[assignment]
    ward.clock.advance(120)
    plan_capacity(
        settings=SETTINGS, clock=ward.clock, catalogue=ward.catalogue,
        accounts=ward.accounts, runs=ward.runs, shards=ward.shards, pools=ward.pools,
        signals=ward.signals, capacity=ward.capacity, changes=ward.changes,
        dispatches=ward.dispatches, metrics=ward.metrics,
    )  # fmt: skip
    assert ward.metrics.plan_ages[-1] == 120


def test_a_look_reads_some_rows_and_writes_none_while_nothing_changes() -> None:
    ward = Planning()
    ward.cheap_after(6)
    ward.pass_time(120)
    version = ward.pools.get(POOL).version
    ward.clock.advance(60)
    ward.plan()
    assert ward.pools.get(POOL).version == version


def test_a_shard_that_is_open_is_work_that_is_left() -> None:
    ward = Planning(Schedule.NOW)
    ward.plan()
    ward.dispatch()
    ward.complete(notice(0, outcome="failed"))
    assert ward.plan().work == 1


def test_a_plan_says_by_which_signal_its_hours_were_chosen() -> None:
    world = Planning()
    world.plan()
    made = world.pools.get(POOL).plan
    assert made is not None
    (pool,) = made.pools
    assert "Carbon by yearly average of eGRID SRVC, 2023" in pool.why
    assert "no fresh average signal of us-east-1" in pool.why


def test_what_a_start_takes_is_measured_look_by_look(monkeypatch: pytest.MonkeyPatch) -> None:
    ward = Planning(Schedule.NOW, cold_start_seconds=None)
    asleep = PoolState(instances=0, starts=(300, 420))
    ward.changes.commit(Add(ModelPools(id=POOL, states={POOL: asleep})))
    running = [0]
    counts = lambda _: InstanceCounts(running=running[0], ordered=1)  # noqa: E731
    monkeypatch.setattr(ward.capacity, "counts", counts)
    ward.plan()
    ward.pass_time(360)
    assert ward.pools.get(POOL).state(POOL).starts == (300, 420)
    running[0] = 1
    ward.pass_time(600)
    row = ward.pools.get(POOL)
    assert row.state(POOL).starts == (300, 420, 420)
    assert row.plan is not None
    assert [each.cold_start_seconds for each in row.plan.pools] == [420]


def test_a_pool_that_cannot_be_looked_at_is_ordered_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ward = Planning(Schedule.NOW)
    ward.changes.commit(Add(ModelPools(id=POOL, states={POOL: PoolState(instances=0)})))
    ward.plan()
    row = ward.pools.get(POOL)
    unheard = replace(row.state(POOL), bounded_at=0)
    assert unheard.waking_since is not None
    ward.changes.commit(Save(row.with_state(POOL, unheard)))
    ward.capacity.bounded.clear()

    def refuse(pool: str) -> InstanceCounts:
        raise Unavailable(f"{pool} is throttled.")

    monkeypatch.setattr(ward.capacity, "counts", refuse)
    ward.clock.advance(60)
    assert ward.plan().made is False
    assert ward.bounds().least > 0
    assert ward.pools.get(POOL).state(POOL).waking_since == unheard.waking_since
