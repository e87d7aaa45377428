"""Signals are fetched, kept, and written down; what fails leaves the last word standing."""

from __future__ import annotations

from collections.abc import Sequence

from offpeak.core.errors import Unavailable
from offpeak.core.layout import curve_key, signals_prefix
from offpeak.core.signal import Signal, SignalKind, SignalPoint, Unit
from offpeak.memory.memory import Memory
from offpeak.steps.fetch_signals import FetchedSignals, fetch_signals, past_hours
from offpeak.steps.stored_signals import REMEMBERED_SECONDS, StoredSignals

REGION, HOUR = "eu-north-1", 3_600


class Service:
    name = "service"

    def __init__(self) -> None:
        self.grams: float | None = 30.0

    def fetch(self, region: str, now: float) -> Sequence[Signal]:
        if self.grams is None:
            raise Unavailable("The service doesn't answer.")
        if region != REGION:
            return ()
        points = tuple(
            SignalPoint(int(now) - int(now) % HOUR + at * HOUR, HOUR, self.grams + at) for at in range(48)
        )  # fmt: skip
        told = Signal(
            region=region, kind=SignalKind.AVERAGE, unit=Unit.GRAMS_PER_KWH, issued_at=int(now),
            source="the service", points=points,
        )  # fmt: skip
        return (told,)


def fetch(world: Memory, service: Service, *regions: str) -> Sequence[FetchedSignals]:
    return fetch_signals(
        regions or (REGION,), clock=world.clock, reader=world.reader, writer=world.writer,
        sources=[service], metrics=world.work_metrics,
    )  # fmt: skip


def test_what_a_service_tells_is_kept_under_its_name() -> None:
    world = Memory()
    (fetched,) = fetch(world, Service())
    assert (fetched.carbon_source, fetched.falls_back, fetched.errors) == ("the service", None, [])
    (stored,) = StoredSignals(world.reader, world.clock).newest(REGION)
    assert stored.points[0].value == 30.0
    assert world.work_metrics.signals == [
        (REGION, {"SignalFallback": 0.0, "SignalAgeSeconds": 0.0})
    ]


def test_what_a_service_said_before_is_kept_beside_its_newest_word() -> None:
    world, service = Memory(), Service()
    for grams in (90.0, 60.0, 30.0):
        service.grams = grams
        world.clock.advance(7 * HOUR)
        fetch(world, service)
        fetch(world, service)
    stored = StoredSignals(world.reader, world.clock).newest(REGION)
    assert [each.points[0].value for each in stored] == [30.0, 60.0, 90.0]


def test_receipts_go_by_the_newest_word_alone() -> None:
    world, service = Memory(), Service()
    for grams in (90.0, 30.0):
        service.grams = grams
        world.clock.advance(7 * HOUR)
        fetch(world, service)
    now = int(world.clock.now())
    [hour] = past_hours(REGION, now - now % HOUR, now + 1, world.reader).values()
    assert hour.grams == 30.0


def test_of_an_operators_curve_only_the_newest_counts() -> None:
    world, service = Memory(), Service()
    service.grams = None
    for grams in (b"90", b"30"):
        rows = b"start,gCO2eq/kWh\n2020-01-01T00:00Z,%b\n2020-01-02T00:00Z,%b\n" % (grams, grams)
        world.writer.put(curve_key(REGION, "average"), rows)
        fetch(world, service)
        world.clock.advance(7 * HOUR)
    (stored,) = StoredSignals(world.reader, world.clock).newest(REGION)
    assert stored.points[0].value == 30.0


def test_a_service_that_is_silent_leaves_its_last_word_until_it_is_stale() -> None:
    world, service = Memory(), Service()
    fetch(world, service)
    service.grams = None
    world.clock.advance(2 * HOUR)
    (fetched,) = fetch(world, service)
    assert fetched.carbon_source == "the service"
    assert fetched.errors == ["service: The service doesn't answer."]
    world.clock.advance(5 * HOUR)
    (fetched,) = fetch(world, service)
    assert "yearly average of Sweden" in fetched.carbon_source
    assert fetched.falls_back is not None
    assert world.work_metrics.signals[-1] == (REGION, {"SignalFallback": 1.0})


def test_a_region_that_nobody_knows_holds_up_no_other() -> None:
    world = Memory()
    unknown, known = fetch(world, Service(), "us-east-1", REGION)
    assert "eGRID" in unknown.carbon_source
    assert unknown.kept == []
    assert known.carbon_source == "the service"


def test_an_operators_curve_is_read_anew_each_time() -> None:
    world, service = Memory(), Service()
    service.grams = None
    key = curve_key(REGION, "price")
    world.writer.put(key, b"start,factor\n2020-01-01T00:00Z,1\n2020-01-02T00:00Z,0.5\n")
    (fetched,) = fetch(world, service)
    assert fetched.kept == [f"{signals_prefix(REGION)}price-curve.json"]
    world.writer.put(key, b"start,factor\nnow,1\n")
    (fetched,) = fetch(world, service)
    assert (
        fetched.errors[1]
        == f"curve: {key}: It has fewer than two steps: how long one lasts is told by the next."
    )


def test_a_curve_that_is_too_large_or_no_text_is_no_curve() -> None:
    world, service = Memory(), Service()
    world.writer.put(curve_key(REGION, "price"), b"\xff\xfe")
    world.writer.put(curve_key(REGION, "average"), b" " * 1_000_001)
    (fetched,) = fetch(world, service)
    assert len(fetched.errors) == 2
    assert fetched.carbon_source == "the service"


def test_each_hour_is_written_down_for_receipts() -> None:
    world, service = Memory(), Service()
    start = int(world.clock.now())
    for _ in range(30):
        fetch(world, service)
        world.clock.advance(HOUR)
    found = past_hours(REGION, start, start + 30 * HOUR, world.reader)
    assert list(found) == list(range(start - start % HOUR, start + 30 * HOUR, HOUR))[: len(found)]
    assert len(found) >= 30
    assert {hour.source for hour in found.values()} == {"the service"}
    assert past_hours("eu-west-1", start, start + HOUR, world.reader) == {}


def test_what_is_stored_but_no_signal_is_passed_over() -> None:
    world = Memory()
    fetch(world, Service())
    world.writer.put(f"{signals_prefix(REGION)}average-other.json", b"{}")
    assert len(StoredSignals(world.reader, world.clock).newest(REGION)) == 1


def test_signals_are_remembered_for_some_minutes() -> None:
    world = Memory()
    remembered = StoredSignals(world.reader, world.clock)
    assert remembered.newest(REGION) == []
    fetch(world, Service())
    assert remembered.newest(REGION) == []
    world.clock.advance(REMEMBERED_SECONDS)
    assert len(remembered.newest(REGION)) == 1
