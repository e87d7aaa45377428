"""What a region's electricity emits or costs, hour by hour: one normal form for measurements, forecasts and profiles.

    average     gCO2eq of the average kWh that the grid delivers at that time
    marginal    gCO2eq of one kWh more
    price       what work costs at that time, of what it usually costs; or dollars of a kWh

Averages and marginals answer different questions, and are never added, compared or put in each other's place. So a
`Signal` says its kind, whatever joins or compares values asks for one kind (`same_kind`), and carbon of either kind
is a type of its own, `AverageCurve` and `MarginalCurve`, which functions over several regions don't mix.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


class SignalKind(StrEnum):
    AVERAGE = "average"
    MARGINAL = "marginal"
    PRICE = "price"


class Unit(StrEnum):
    """`FACTOR` is a multiple of the instance's own price: 0.8 for a fifth off. `USD_PER_KWH` comes on top of it."""

    GRAMS_PER_KWH = "gCO2eq/kWh"
    FACTOR = "factor"
    USD_PER_KWH = "USD/kWh"


UNITS: dict[SignalKind, frozenset[Unit]] = {
    SignalKind.AVERAGE: frozenset({Unit.GRAMS_PER_KWH}),
    SignalKind.MARGINAL: frozenset({Unit.GRAMS_PER_KWH}),
    SignalKind.PRICE: frozenset({Unit.FACTOR, Unit.USD_PER_KWH}),
}
POINTS_MAX = 2_000
"""A week by five minutes."""
VALUE_MAX = {Unit.GRAMS_PER_KWH: 5_000.0, Unit.FACTOR: 1_000.0, Unit.USD_PER_KWH: 100.0}
"""What is higher is in another unit than it says. Below zero goes no carbon and no factor; a price of a kWh does."""


class MixedSignals(TypeError):
    """Values of several kinds or units were to be compared or joined."""


@dataclass(frozen=True, slots=True)
class SignalPoint:
    """From `start`, in seconds since the epoch, for `seconds`."""

    start: int
    seconds: int
    value: float

    @property
    def stop(self) -> int:
        return self.start + self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One source's word on a region (an AWS region's name), as of `issued_at`: points in the order of time that don't
    overlap. `source` is what to tell people: "Electricity Maps, DE". Raises ValueError for anything else."""

    region: str
    kind: SignalKind
    unit: Unit
    issued_at: int
    source: str
    points: tuple[SignalPoint, ...]

    def __post_init__(self) -> None:
        if self.unit not in UNITS[self.kind]:
            raise ValueError(f"A signal of the kind {self.kind} is not in {self.unit}.")
        if not 1 <= len(self.points) <= POINTS_MAX:
            raise ValueError(f"A signal has 1 to {POINTS_MAX} points, not {len(self.points)}.")
        highest = VALUE_MAX[self.unit]
        lowest = -highest if self.unit is Unit.USD_PER_KWH else 0.0
        before = -math.inf
        for point in self.points:
            if point.seconds < 1 or point.start < before:
                raise ValueError(
                    f"The point at {point.start} overlaps the one before, or lasts no time."
                )
            if not lowest <= point.value <= highest:
                raise ValueError(
                    f"The point at {point.start} is {point.value} {self.unit}; {lowest:g} to {highest:g} are taken."
                )
            before = point.stop

    @property
    def stop(self) -> int:
        return self.points[-1].stop

    def mean(self, start: float, stop: float) -> float | None:
        """Over [start, stop), weighted by time; None where the points leave a part of it open."""
        at = max(0, bisect_right(self.points, start, key=lambda point: point.start) - 1)
        total, reached = 0.0, start
        for point in self.points[at:]:
            if point.start > reached or reached >= stop:
                break
            if point.stop > reached:
                until = min(point.stop, stop)
                total += point.value * (until - reached)
                reached = until
        return total / (stop - start) if reached >= stop > start else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A value for each slot of `slot_seconds` from `start` on, of one region, in the unit of its kind. `source` says
    what they rest on; `falls_back` is why that isn't the source that was wanted, None where it is. `extended_from`:
    the first slot that no source reached and that was reckoned from the others."""

    kinds: ClassVar[frozenset[SignalKind]] = frozenset(SignalKind)

    region: str
    kind: SignalKind
    unit: Unit
    start: int
    slot_seconds: int
    values: tuple[float, ...]
    source: str
    issued_at: int
    falls_back: str | None = None
    extended_from: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in self.kinds or self.unit not in UNITS[self.kind]:
            raise MixedSignals(f"{type(self).__name__} takes no {self.kind} in {self.unit}.")

    def at(self, when: float) -> float:
        """The value at this time; before the first slot the first one's, after the last the last one's."""
        slot = int((when - self.start) // self.slot_seconds)
        return self.values[min(max(slot, 0), len(self.values) - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AverageCurve(Curve):
    kinds: ClassVar[frozenset[SignalKind]] = frozenset({SignalKind.AVERAGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginalCurve(Curve):
    kinds: ClassVar[frozenset[SignalKind]] = frozenset({SignalKind.MARGINAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceCurve(Curve):
    kinds: ClassVar[frozenset[SignalKind]] = frozenset({SignalKind.PRICE})


def same_kind(signals: Iterable[Signal | Curve]) -> tuple[SignalKind, Unit]:
    """The one kind and unit of them all. Raises MixedSignals; ValueError for none."""
    found = {(each.kind, each.unit) for each in signals}
    if not found:
        raise ValueError("There is no signal.")
    if len(found) > 1:
        told = ", ".join(sorted(f"{kind} in {unit}" for kind, unit in found))
        raise MixedSignals(f"Signals of several kinds are not comparable: {told}.")
    return found.pop()
