"""Which pool takes what, when a plan says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from offpeak.core.account import Account
from offpeak.core.catalogue import Catalogue
from offpeak.core.gathering import GATHERING_ACCOUNT
from offpeak.core.layout import attempt_report_key
from offpeak.core.model import Elsewhere
from offpeak.core.plan import CapacityPlan, RunPlan
from offpeak.core.pool import PLAN_SECONDS_MAX, ModelPools, PoolState
from offpeak.core.ports import Add, Save
from offpeak.core.schedule import Schedule
from offpeak.core.shard import ShardStatus
from offpeak.wire.invocation import decode_order
from tests.steps.simulation import CATALOGUE
from tests.steps.ward import ACCOUNT, BATCH, POOL, Ward, notice

NORTH = f"{POOL}@eu-north-1"
RUN = f"{BATCH}.0"


class Planned(Ward):
    """A released run, with a plan for its pools."""

    def __init__(self, schedule: Schedule = Schedule.OFFPEAK, **fields: object) -> None:
        super().__init__(lines=80)
        model = replace(CATALOGUE.models[0], **{"instances_max": 2, **fields})  # type: ignore[arg-type]
        self.catalogue = Catalogue((model,))
        self.changes.commit(Save(replace(self.run, schedule=schedule)))
        self.release()

    def plan(
        self, instances: Mapping[str, int], takes: tuple[str, ...] = (), draining: tuple[str, ...] = ()
    ) -> None:  # fmt: skip
        now = self.clock.now()
        row = ModelPools(
            id=POOL,
            plan=CapacityPlan(
                made_at=now, starts_at=int(now), slot_seconds=900, pools=(),
                runs=(RunPlan(run_id=RUN, starts_at=now, ends_at=now, takes=takes),),
            ),
            states={
                pool: PoolState(instances=n, draining_since=1 if pool in draining else None)
                for pool, n in instances.items()
            },
        )  # fmt: skip
        try:
            version = self.pools.get(POOL).version
        except Exception:  # noqa: BLE001 - the first plan
            self.changes.commit(Add(row))
        else:
            self.changes.commit(Save(replace(row, version=version)))

    def invoked(self) -> list[str]:
        """The pools of the shards that a dispatch sends out."""
        before = len(self.endpoints.invocations)
        self.dispatch()
        return [each.pool for each in self.endpoints.invocations[before:]]

    def late(self) -> None:
        self.changes.commit(Save(self.run.marked_late(True)))


def test_work_that_waits_for_its_slot_is_not_dispatched() -> None:
    ward = Planned()
    ward.plan({POOL: 0})
    assert ward.invoked() == []
    ward.plan({POOL: 1})
    assert ward.invoked() == []  # others' instances
    ward.plan({POOL: 1}, takes=(POOL,))
    assert set(ward.invoked()) == {POOL}


def test_a_planned_pool_is_filled_as_far_as_its_instances_go() -> None:
    ward = Planned()
    ward.plan({POOL: 1}, takes=(POOL,))
    assert len(ward.invoked()) == ward.catalogue.models[0].ordinary_in_flight(1)
    ward.plan({POOL: 2}, takes=(POOL,))
    ward.invoked()
    assert ward.run.open == ward.catalogue.models[0].ordinary_in_flight(2)


@pytest.mark.parametrize("asleep", [True, False])
def test_work_that_is_asked_for_now_waits_for_no_plan(asleep: bool) -> None:
    ward = Planned(Schedule.NOW)
    ward.plan({POOL: 0 if asleep else 1})
    assert len(ward.invoked()) == ward.catalogue.models[0].ordinary_in_flight_max


def test_a_late_run_waits_for_no_plan() -> None:
    ward = Planned()
    ward.late()
    ward.plan({POOL: 0})
    assert ward.invoked()


def test_without_a_plan_or_with_a_stale_one_everything_is_allowed_at_home() -> None:
    ward = Planned(regions={"eu-north-1": Elsewhere()})
    assert len(ward.invoked()) == ward.catalogue.models[0].ordinary_in_flight_max
    assert {each.pool for each in ward.endpoints.invocations} == {POOL}
    other = Planned()
    other.plan({POOL: 0})
    other.clock.advance(PLAN_SECONDS_MAX)
    assert other.invoked()


def test_a_draining_pool_is_given_nothing() -> None:
    ward = Planned(regions={"eu-north-1": Elsewhere()})
    ward.plan({POOL: 2, NORTH: 1}, takes=(POOL, NORTH), draining=(POOL,))
    assert set(ward.invoked()) == {NORTH}


def test_a_shard_says_where_it_went_and_counts_there() -> None:
    ward = Planned(regions={"eu-north-1": Elsewhere()})
    ward.plan({POOL: 0, NORTH: 1}, takes=(NORTH,))
    assert set(ward.invoked()) == {NORTH}
    assert ward.shard(0).region == "eu-north-1"
    assert ward.shard(0).pool == POOL
    ward.plan({POOL: 1, NORTH: 1}, takes=(POOL, NORTH))
    assert set(ward.invoked()) == {POOL}


def test_a_shard_that_was_lost_elsewhere_goes_on_where_there_is_room() -> None:
    ward = Planned(regions={"eu-north-1": Elsewhere()})
    ward.plan({POOL: 0, NORTH: 1}, takes=(NORTH,))
    ward.invoked()
    ward.complete(notice(0, outcome="failed"))
    assert ward.shard(0).status is ShardStatus.WAITING
    ward.clock.advance(60)
    ward.plan({POOL: 1, NORTH: 0}, takes=(POOL,))
    ward.invoked()
    again = ward.shard(0)
    assert (again.status, again.attempt, again.region) == (ShardStatus.DISPATCHED, 2, None)


def test_a_shard_that_waits_again_waits_for_the_plan_as_its_run_does() -> None:
    ward = Planned()
    ward.plan({POOL: 1}, takes=(POOL,))
    ward.invoked()
    ward.complete(notice(0, outcome="failed"))
    ward.clock.advance(60)
    ward.plan({POOL: 0})
    assert ward.invoked() == []


@pytest.mark.parametrize(
    ("regions", "goes"), [((), False), (("eu-north-1",), True), (("us-west-2",), False)]
)
def test_an_accounts_lines_stay_where_it_says(regions: tuple[str, ...], goes: bool) -> None:
    ward = Planned(Schedule.NOW, regions={"eu-north-1": Elsewhere()})
    account: Account = ward.accounts.get(ACCOUNT)
    ward.changes.commit(Save(replace(account, regions=regions)))
    ward.plan({POOL: 0, NORTH: 1})
    assert bool(ward.invoked()) is goes


def test_gathered_requests_stay_at_home() -> None:
    ward = Planned(Schedule.NOW, regions={"eu-north-1": Elsewhere()})
    ward.changes.commit(Save(replace(ward.run, account_id=GATHERING_ACCOUNT)))
    ward.plan({POOL: 1, NORTH: 1})
    assert set(ward.invoked()) == {POOL}


def test_an_order_is_the_same_wherever_it_goes() -> None:
    ward = Planned(regions={"eu-north-1": Elsewhere()})
    ward.plan({NORTH: 1, POOL: 0}, takes=(NORTH,))
    ward.invoked()
    order = decode_order(ward.endpoints.invocations[0].order)
    assert (order.batch_id, order.number, order.attempt) == (BATCH, 0, 1)


def test_a_report_from_elsewhere_is_read_at_home() -> None:
    ward = Planned(regions={"eu-north-1": Elsewhere()})
    ward.plan({POOL: 0, NORTH: 1}, takes=(NORTH,))
    ward.invoked()
    told = ward.work(ward.endpoints.invocations[0].order)
    assert told.report_key is not None
    kept = ward.reader.read(told.report_key)
    ward.writer.put(attempt_report_key(BATCH, 0, 0, 1), kept)
    moved = ward.complete(notice(0))  # SageMaker's answer lies in a bucket of its region
    assert moved is not None
    assert moved.status is ShardStatus.DONE
