"""From signals to a value a slot: whatever is missing, there is one, and it says where it is from."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.grid import GRIDS, WORLD
from offpeak.core.signal import (
    AverageCurve,
    MarginalCurve,
    Signal,
    SignalKind,
    SignalPoint,
    Unit,
)
from offpeak.planner.forecast import (
    FRESH_SECONDS,
    RegionForecast,
    forecast,
    instance_hour,
    typical,
)

NOW = 1_790_000_100  # a whole quarter of an hour
HOUR, DAY = 3_600, 86_400


def signal(
    kind: SignalKind, *values: float, region: str = "eu-north-1", issued: int = NOW
) -> Signal:
    unit = Unit.FACTOR if kind is SignalKind.PRICE else Unit.GRAMS_PER_KWH
    first = NOW - NOW % HOUR
    points = tuple(SignalPoint(first + at * HOUR, HOUR, value) for at, value in enumerate(values))
    return Signal(
        region=region, kind=kind, unit=unit, issued_at=issued, source="told", points=points
    )


def of(*signals: Signal, slots: int = 192, **other: object) -> RegionForecast:
    found = forecast(
        ["eu-north-1"], {"eu-north-1": signals}, start=NOW, slots=slots, now=NOW, **other  # type: ignore[arg-type]
    )  # fmt: skip
    return found["eu-north-1"]


def test_a_fresh_forecast_is_gone_by() -> None:
    carbon = of(signal(SignalKind.AVERAGE, *range(10, 60))).carbon
    assert isinstance(carbon, AverageCurve)
    assert carbon.source == "told"
    assert carbon.falls_back is None
    assert carbon.extended_from is None
    assert carbon.values[0] == 10
    assert carbon.at(NOW + HOUR) == 11


@pytest.mark.parametrize(
    "useless",
    [
        (),
        (signal(SignalKind.AVERAGE, 1, 2, 3, issued=NOW - FRESH_SECONDS - 1),),
        (replace(signal(SignalKind.AVERAGE, 1), points=(SignalPoint(0, HOUR, 1.0),)),),
        (signal(SignalKind.MARGINAL, 1, 2, 3),),
    ],
    ids=["none", "stale", "of the past", "of another kind"],
)
def test_without_one_the_typical_year_stands_in_and_says_so(useless: tuple[Signal, ...]) -> None:
    carbon = of(*useless).carbon
    assert carbon.kind is SignalKind.AVERAGE
    assert "yearly average of Sweden, 2023" in carbon.source
    assert carbon.falls_back == "no fresh average signal of eu-north-1"
    assert set(carbon.values) == {GRIDS["eu-north-1"].grams}


def test_the_newer_word_counts_more_and_says_how_old_it_is() -> None:
    older = signal(SignalKind.AVERAGE, 1, 1, issued=NOW - 12 * HOUR)
    newer = signal(SignalKind.AVERAGE, 4, 4)
    carbon = of(older, newer, slots=1).carbon
    assert carbon.values == pytest.approx((3.0,))
    assert carbon.issued_at == NOW


def test_the_newer_price_stands() -> None:
    older, newer = signal(SignalKind.PRICE, 1, issued=NOW - HOUR), signal(SignalKind.PRICE, 2)
    assert of(older, newer, slots=1).price.values == (2,)


def test_what_another_source_said_is_not_averaged() -> None:
    older = replace(signal(SignalKind.AVERAGE, 1, 1, issued=NOW - HOUR), source="somebody else")
    assert of(older, signal(SignalKind.AVERAGE, 4, 4), slots=1).carbon.values == (4,)


def test_marginals_are_used_where_every_region_has_them_and_nowhere_else() -> None:
    north, south = (
        signal(SignalKind.MARGINAL, *([500] * 50), region=region)
        for region in ("eu-north-1", "eu-south-2")
    )
    average = signal(SignalKind.AVERAGE, *([30] * 50))
    both = forecast(
        ["eu-north-1", "eu-south-2"], {"eu-north-1": [north, average], "eu-south-2": [south]},
        start=NOW, slots=4, now=NOW, prefer=SignalKind.MARGINAL,
    )  # fmt: skip
    assert all(isinstance(each.carbon, MarginalCurve) for each in both.values())
    one = forecast(
        ["eu-north-1", "eu-south-2"], {"eu-north-1": [north, average]}, start=NOW, slots=4, now=NOW,
        prefer=SignalKind.MARGINAL,
    )  # fmt: skip
    assert all(isinstance(each.carbon, AverageCurve) for each in one.values())
    assert one["eu-north-1"].carbon.values[0] == 30
    assert one["eu-north-1"].carbon.falls_back == "no fresh marginal signal of eu-south-2"


def test_past_a_forecasts_end_the_day_before_repeats() -> None:
    carbon = of(signal(SignalKind.AVERAGE, *range(30))).carbon
    assert carbon.extended_from is not None
    assert len(carbon.values) == 192
    a_day = DAY // 900
    tail = carbon.values[carbon.extended_from :]
    assert tail == tuple(carbon.values[at - a_day] for at in range(carbon.extended_from, 192))


def test_a_short_forecast_is_continued_at_its_own_level() -> None:
    start = NOW
    short = Signal(
        region="eu-central-1", kind=SignalKind.AVERAGE, unit=Unit.GRAMS_PER_KWH, issued_at=NOW,
        source="told", points=(SignalPoint(start, HOUR, 2 * typical("eu-central-1", start)),),
    )  # fmt: skip
    found = forecast(["eu-central-1"], {"eu-central-1": [short]}, start=start, slots=48, now=NOW)
    carbon = found["eu-central-1"].carbon
    for slot in range(4, 48):
        usual = typical("eu-central-1", start + slot * 900)
        assert carbon.values[slot] == pytest.approx(2 * usual, rel=0.1)


def test_prices_are_the_lists_until_somebody_sets_others() -> None:
    assert set(of().price.values) == {1.0}
    dear = signal(SignalKind.PRICE, 2.0, 0.5, issued=NOW - 30 * DAY)
    found = of(dear)
    assert found.price.values[0] == 2.0
    assert found.price.at(NOW + HOUR) == 0.5
    assert found.price.values[-1] == 1.0
    assert instance_hour(found, 0, kilowatts=2.0, usd_per_hour=3.0) == (
        2.0 * found.carbon.values[0], 6.0,
    )  # fmt: skip


def test_a_price_of_energy_comes_on_top_of_the_instances() -> None:
    points = tuple(SignalPoint(NOW + at * HOUR, HOUR, 0.1) for at in range(2))
    told = Signal(
        region="eu-north-1", kind=SignalKind.PRICE, unit=Unit.USD_PER_KWH, issued_at=NOW, source="told",
        points=points,
    )  # fmt: skip
    found = of(told)
    _, dollars = instance_hour(found, 0, kilowatts=2.0, usd_per_hour=3.0)
    assert dollars == pytest.approx(3.2)
    assert found.price.values[-1] == pytest.approx(0.1)


def test_every_region_has_a_typical_year() -> None:
    for region, grid in GRIDS.items():
        around = [typical(region, NOW + hour * HOUR) for hour in range(0, 365 * 24, 7)]
        assert min(around) > 0
        assert max(around) < 1_300
        assert sum(around) / len(around) == pytest.approx(grid.grams, rel=0.05)
        assert grid.described.count(str(grid.year)) >= 1
    assert typical("mars-north-1", NOW) == WORLD.grams


@given(
    values=st.lists(st.floats(0, 2_000), min_size=1, max_size=80),
    slots=st.integers(1, 200), offset=st.integers(0, 3),
)  # fmt: skip
def test_there_is_a_value_for_every_slot(values: list[float], slots: int, offset: int) -> None:
    told = signal(SignalKind.AVERAGE, *values)
    carbon = forecast(
        ["eu-north-1"], {"eu-north-1": [told]}, start=NOW + offset * 900, slots=slots, now=NOW
    )["eu-north-1"].carbon
    assert len(carbon.values) == slots
    assert all(value >= 0 for value in carbon.values)
    for at, value in enumerate(carbon.values):
        start = NOW + (offset + at) * 900
        known = told.mean(start, start + 900)
        assert known is None or value == pytest.approx(known)
