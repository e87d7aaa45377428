"""Signals in one form; averages and marginals never meet."""

from __future__ import annotations

from typing import Any

import pytest

from offpeak.core.signal import (
    AverageCurve,
    MarginalCurve,
    MixedSignals,
    PriceCurve,
    Signal,
    SignalKind,
    SignalPoint,
    Unit,
    same_kind,
)

HOURS = tuple(SignalPoint(hour * 3_600, 3_600, 100.0 * hour) for hour in range(4))


def signal(kind: SignalKind = SignalKind.AVERAGE, **other: object) -> Signal:
    fields = {
        "region": "eu-central-1", "kind": kind, "unit": Unit.GRAMS_PER_KWH, "issued_at": 0, "source": "s",
        "points": HOURS, **other,
    }  # fmt: skip
    return Signal(**fields)  # type: ignore[arg-type]


def curve(shape: type, kind: SignalKind, value: float = 1.0, unit: Unit = Unit.GRAMS_PER_KWH):  # type: ignore[no-untyped-def] # noqa: ANN201
    return shape(
        region=f"r{value}", kind=kind, unit=unit, start=0, slot_seconds=900, values=(value,),
        source="s", issued_at=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"unit": Unit.FACTOR}, "not in factor"),
        ({"points": ()}, "1 to"),
        ({"points": (SignalPoint(0, 3_600, 1.0), SignalPoint(1_800, 3_600, 1.0))}, "overlaps"),
        ({"points": (SignalPoint(0, 0, 1.0),)}, "lasts no time"),
        ({"points": (SignalPoint(0, 60, -1.0),)}, "are taken"),
        ({"points": (SignalPoint(0, 60, 9_000.0),)}, "are taken"),
        ({"points": (SignalPoint(0, 60, float("nan")),)}, "are taken"),
    ],
)
def test_a_signal_that_cannot_be_right_is_refused(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        signal(**wrong)


def test_a_mean_weighs_by_time_and_needs_every_second() -> None:
    told = signal()
    assert told.mean(1_800, 5_400) == pytest.approx(50.0)
    assert told.mean(3_600, 3_601) == pytest.approx(100.0)
    assert told.mean(-1, 10) is None
    assert told.mean(4 * 3_600 - 1, 4 * 3_600 + 1) is None
    with_gap = signal(points=(HOURS[0], HOURS[2]))
    assert with_gap.mean(0, 3_600) == 0.0
    assert with_gap.mean(0, 3_601) is None


def test_a_dollar_may_be_earned_by_drawing_power_but_no_gram() -> None:
    earned = signal(SignalKind.PRICE, unit=Unit.USD_PER_KWH, points=(SignalPoint(0, 3_600, -0.01),))
    assert earned.mean(0, 10) == -0.01


def test_a_curve_takes_its_own_kind_alone() -> None:
    with pytest.raises(MixedSignals):
        curve(AverageCurve, SignalKind.MARGINAL)
    with pytest.raises(MixedSignals):
        curve(MarginalCurve, SignalKind.AVERAGE)
    with pytest.raises(MixedSignals):
        curve(PriceCurve, SignalKind.PRICE)


def test_averages_and_marginals_are_never_compared() -> None:
    average = curve(AverageCurve, SignalKind.AVERAGE)
    assert same_kind([average, average])[0] is SignalKind.AVERAGE
    with pytest.raises(MixedSignals):
        same_kind([average, curve(MarginalCurve, SignalKind.MARGINAL)])
    with pytest.raises(MixedSignals):
        same_kind([signal(), signal(SignalKind.MARGINAL)])
