"""Receipts: what attempts took is added up, priced and weighed, once, and held against running at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offpeak.core.footprint import Metered
from offpeak.core.instance_power import instance_power
from offpeak.core.invocation import Outcome, ShardReport
from offpeak.core.layout import grid_hours_key
from offpeak.core.ledger import EVER
from offpeak.core.ports import Save
from offpeak.core.shard import ShardStatus
from offpeak.steps.grid_hours import GridHours, hours_of
from offpeak.steps.run_at_once import carbon_at_once_mg
from offpeak.steps.show_footprint import show_footprint
from offpeak.wire.footprint import render_footprint
from offpeak.wire.invocation import decode_report, encode_report
from offpeak.wire.notices import InvocationNotice
from tests.steps.ward import ACCOUNT, BATCH, Ward, notice

HOUR, DAY = 3_600, 86_400
TYPE = "ml.g6e.xlarge"
POWER = instance_power(TYPE)
assert POWER is not None
KILOWATTS, DOLLARS = POWER.kilowatts, POWER.usd_per_hour or 0.0


class Metering(Ward):
    """Its attempts take what they are told; the grid at home is dirty by day, clean from `clean_from` on."""

    def __init__(self, lines: int = 8) -> None:
        super().__init__(lines=lines)
        models = tuple(replace(each, instance_types=(TYPE,)) for each in self.catalogue.models)
        self.catalogue = replace(self.catalogue, models=models)
        self.grid_hours = GridHours()
        self.release()

    def write_hours(self, grams: float, start: int, hours: int) -> None:
        for at in range(start - start % HOUR, start + hours * HOUR, HOUR):
            self.writer.put(*_day_with(self, at, grams))

    def told(
        self, order: bytes, seconds: float, outcome: Outcome = Outcome.DONE
    ) -> InvocationNotice:
        done = decode_report(self.reader.read(self.work(order).report_key or ""))
        report: ShardReport = replace(
            done, outcome=outcome, instance_seconds=seconds, seconds=seconds
        )
        key = f"work/told-{report.number}-{report.attempt}.out"
        self.writer.put(key, encode_report(report))
        return notice(report.number, report.attempt, report_key=key)


def _day_with(world: Ward, at: int, grams: float) -> tuple[str, bytes]:
    import json
    from datetime import UTC, datetime

    when = datetime.fromtimestamp(at, UTC)
    key = grid_hours_key(world.region, f"{when:%Y-%m-%d}")
    keys = [info.key for info in world.reader.list("signals/")]
    day = json.loads(world.reader.read(key)) if key in keys else {}
    return key, json.dumps({**day, f"{when:%H}": {"grams": grams, "source": "told"}}).encode()


def test_an_attempts_seconds_become_energy_carbon_and_dollars() -> None:
    metered = Metered.of(3_600.0, TYPE, 200.0)
    assert metered.instance_ms == 3_600_000
    assert metered.energy_mwh == round(KILOWATTS * 1e6)
    assert metered.carbon_mg == pytest.approx(KILOWATTS * 200 * 1_000, abs=1)
    assert metered.microdollars == round(DOLLARS * 1e6)
    assert (metered.unknown_ms, metered.unpriced_ms) == (0, 0)


def test_what_is_not_known_is_counted_not_guessed() -> None:
    nobody = Metered.of(10.0, "ml.mystery.xlarge", 200.0)
    assert (nobody.energy_mwh, nobody.carbon_mg, nobody.microdollars) == (0, 0, 0)
    assert (nobody.unknown_ms, nobody.unpriced_ms) == (10_000, 10_000)
    unpriced = Metered.of(10.0, "ml.p5en.48xlarge", 200.0)
    assert unpriced.energy_mwh > 0
    assert (unpriced.unknown_ms, unpriced.unpriced_ms) == (0, 10_000)


def test_a_batch_that_waited_is_held_against_the_hours_that_it_avoided() -> None:
    ward = Metering(lines=8)
    created = ward.batch.created_at
    ward.write_hours(500.0, created, 4)
    ward.clock.advance(10 * HOUR)
    ward.write_hours(50.0, created + 10 * HOUR, 4)
    orders = ward.dispatch()
    ward.clock.advance(HOUR)
    for order in orders:
        ward.complete(ward.told(order, 600.0))
    so_far = ward.run.metered
    assert so_far is not None
    assert so_far.instance_ms == 1_200_000
    assert so_far.carbon_mg == pytest.approx(so_far.energy_mwh * 50 / 1_000, abs=2)
    ended = ward.end()
    assert ended.footprint is not None
    assert ended.footprint.metered == so_far
    at_once = ended.footprint.carbon_at_once_mg
    assert at_once == pytest.approx(10 * so_far.carbon_mg, rel=0.001)
    (entry,) = ward.ledger.entries(
        ACCOUNT, start=0, stop=EVER, limit=9, after=None, ascending=True
    ).rows
    assert entry.models[0].metered == so_far
    assert entry.models[0].carbon_at_once_mg == at_once


def test_a_report_counts_once_however_often_it_comes() -> None:
    ward = Metering(lines=4)
    (order,) = ward.dispatch()
    ward.clock.advance(HOUR)
    told = ward.told(order, 600.0)
    ward.complete(told)
    ward.complete(told)
    assert ward.run.metered is not None
    assert ward.run.metered.instance_ms == 600_000


def test_an_attempt_that_stopped_half_way_is_part_of_the_receipt() -> None:
    ward = Metering(lines=4)
    (order,) = ward.dispatch()
    ward.clock.advance(HOUR)
    ward.changes.commit(Save(replace(ward.shard(), status=ShardStatus.DISPATCHED)))
    ward.complete(ward.told(order, 300.0, Outcome.STOPPED))
    assert ward.shard().status is ShardStatus.WAITING
    ward.clock.advance(HOUR)
    (again,) = ward.dispatch()
    ward.clock.advance(HOUR)
    ward.complete(ward.told(again, 600.0))
    assert ward.run.metered is not None
    assert ward.run.metered.instance_ms == 900_000


def test_nothing_takes_longer_than_it_was_out() -> None:
    ward = Metering(lines=4)
    (order,) = ward.dispatch()
    ward.clock.advance(60)
    ward.complete(ward.told(order, 1e9))
    assert ward.run.metered is not None
    assert ward.run.metered.instance_ms == 60_000


def test_an_older_worker_leaves_the_receipt_empty() -> None:
    ward = Metering(lines=4)
    ward.run_all()
    ended = ward.end()
    assert ended.footprint is None
    shown = ward.call(show_footprint, ACCOUNT, BATCH)
    assert shown.footprint is None


def test_a_running_batch_shows_what_ended_shards_took_and_says_where_signals_are_from() -> None:
    ward = Metering(lines=8)
    ward.write_hours(120.0, ward.batch.created_at, 1)
    first, _ = ward.dispatch()
    ward.clock.advance(HOUR)
    ward.complete(ward.told(first, 600.0))
    shown = ward.call(show_footprint, ACCOUNT, BATCH)
    assert shown.footprint.metered.instance_ms == 600_000
    assert shown.footprint.carbon_at_once_mg > 0
    assert shown.sources["us-east-1"][0] == "told"
    body = render_footprint(
        BATCH, "in_progress", False, shown.footprint, home=shown.home, sources=shown.sources,
        instance_types=shown.instance_types,
    )  # fmt: skip
    assert body["figures"] is not None
    assert body["figures"]["carbon_saved"] == pytest.approx(
        body["figures"]["carbon_at_once"] - body["figures"]["carbon"]
    )
    assert TYPE in body["method"]["energy"]


def test_run_at_once_takes_as_long_as_the_pools_instances_need() -> None:
    ward = Metering()
    created = ward.batch.created_at
    ward.write_hours(100.0, created, 1)
    ward.write_hours(300.0, created + HOUR, 1)
    two_hours = Metered.of(2 * HOUR, TYPE, 0.0)
    start = created - created % HOUR
    alone = carbon_at_once_mg(two_hours, start, 1, ward.reader, ward.region)
    with_two = carbon_at_once_mg(two_hours, start, 2, ward.reader, ward.region)
    assert with_two == pytest.approx(two_hours.energy_mwh * 100 / 1_000, rel=0.001)
    assert alone == pytest.approx(two_hours.energy_mwh * 200 / 1_000, rel=0.001)


def test_hours_that_nobody_wrote_down_are_typical_ones() -> None:
    ward = Metering()
    found = hours_of("eu-west-3", int(ward.clock.now()), int(ward.clock.now()) + DAY, ward.reader)
    assert len(found) == 24
    assert all("France" in hour.source for hour in found.values())
