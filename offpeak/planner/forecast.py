"""Signals of regions → a value for every slot, whatever is missing, and which source that is.

Carbon comes from the freshest signal of one kind for all regions: what is to be compared must be of one kind. Where
`prefer` is the marginal kind and a region has no fresh forecast of it, all go by averages. Averages come from

    a forecast that is fresh     issued at most `FRESH_SECONDS` ago, and reaching the first slot; sharpened by what the
                                 same source said before (lagged_average.py)
    its grid's typical year      core/grid.py; always there

and what doesn't come from the wanted source says so in `falls_back`. Slots that a forecast leaves open take the value
of the same time on the day before, or else the typical year's, scaled to the forecast's level. Prices come from the
freshest curve that reaches the first slot; without one every hour costs the same (factor 1). Past a curve's end that
holds again, or the mean of a curve in dollars of a kWh.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from offpeak.core.grid import grid_of
from offpeak.core.signal import (
    AverageCurve,
    MarginalCurve,
    PriceCurve,
    Signal,
    SignalKind,
    Unit,
    same_kind,
)
from offpeak.planner.lagged_average import earlier_issues, lagged_average, slot_means

SLOT_SECONDS = 900
FRESH_SECONDS = 6 * 3_600
"""Services renew theirs every hour at the latest; after six somebody has to look."""
DAY = 86_400
HOUR = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionForecast:
    region: str
    carbon: AverageCurve | MarginalCurve
    price: PriceCurve


def forecast(
    regions: Iterable[str], signals: Mapping[str, Sequence[Signal]], *, start: int, slots: int,
    slot_seconds: int = SLOT_SECONDS, now: float, prefer: SignalKind = SignalKind.AVERAGE,
) -> Mapping[str, RegionForecast]:  # fmt: skip
    """By region; `signals` of a region may be none. All carbon is of one kind."""
    named = list(dict.fromkeys(regions))
    fresh = {each: _fresh(signals.get(each, ()), start, now) for each in named}
    lacking = [each for each in named if not _of(fresh[each], prefer)]
    kind = SignalKind.AVERAGE if lacking else prefer
    why = f"no fresh {prefer} signal of {', '.join(lacking)}" if kind is not prefer else None
    grid = _Slots(start, slots, slot_seconds)
    found = {
        each: RegionForecast(
            region=each,
            carbon=_carbon(
                each, _of(fresh[each], kind), signals.get(each, ()), kind, grid, now, why
            ),
            price=_price(each, _of(fresh[each], SignalKind.PRICE), grid, now),
        )
        for each in named
    }  # fmt: skip
    if found:
        same_kind(each.carbon for each in found.values())
    return found


def instance_hour(
    found: RegionForecast, slot: int, *, kilowatts: float, usd_per_hour: float
) -> tuple[float, float]:
    """What an instance's hour in this slot emits and costs: grams of CO2eq, dollars."""
    price = found.price.values[slot]
    by_factor = found.price.unit is Unit.FACTOR
    dollars = usd_per_hour * price if by_factor else usd_per_hour + kilowatts * price
    return kilowatts * found.carbon.values[slot], dollars


def typical(region: str, when: float) -> float:
    """gCO2eq/kWh of the region's grid in its typical year."""
    grid = grid_of(region)
    if grid.shape is None:
        return grid.grams
    at = datetime.fromtimestamp(when, UTC)
    return grid.grams * grid.shape.factor(at.month, at.hour)


# ── what is fresh ────────────────────────────────────────────────────────────────────────────────────────────────────


def _fresh(signals: Sequence[Signal], start: float, now: float) -> Sequence[Signal]:
    """The newest first. A price curve is good for as long as it reaches: it was set, not forecast."""
    return sorted(
        (
            each
            for each in signals
            if each.points[0].start <= start < each.stop
            and (each.kind is SignalKind.PRICE or each.issued_at >= now - FRESH_SECONDS)
        ),
        key=lambda each: (-each.issued_at, each.source),
    )


def _of(signals: Sequence[Signal], kind: SignalKind) -> Sequence[Signal]:
    return [each for each in signals if each.kind is kind]


# ── curves ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Slots:
    start: int
    count: int
    seconds: int

    @property
    def starts(self) -> range:
        return range(self.start, self.start + self.count * self.seconds, self.seconds)


def _carbon(
    region: str, fresh: Sequence[Signal], known: Sequence[Signal], kind: SignalKind, slots: _Slots,
    now: float, why: str | None,
) -> AverageCurve | MarginalCurve:  # fmt: skip
    shape = MarginalCurve if kind is SignalKind.MARGINAL else AverageCurve
    if not fresh:
        return AverageCurve(
            region=region, kind=SignalKind.AVERAGE, unit=Unit.GRAMS_PER_KWH, start=slots.start,
            slot_seconds=slots.seconds, source=grid_of(region).described, issued_at=int(now),
            values=tuple(typical(region, each) for each in slots.starts),
            falls_back=why or f"no fresh {SignalKind.AVERAGE} signal of {region}",
        )  # fmt: skip
    told = fresh[0]
    values = lagged_average(told, earlier_issues(told, known), slots.starts)
    return shape(
        region=region, kind=kind, unit=told.unit, start=slots.start, slot_seconds=slots.seconds,
        values=_filled(values, region, slots), source=told.source, issued_at=told.issued_at,
        falls_back=why, extended_from=_first_open(values),
    )  # fmt: skip


def _filled(values: Sequence[float | None], region: str, slots: _Slots) -> tuple[float, ...]:
    """Open slots by the day before, or by the typical year at the level of those that are known."""
    usual = [typical(region, each) for each in slots.starts]
    known = [(value, usual[at]) for at, value in enumerate(values) if value is not None]
    level = sum(value for value, _ in known) / max(sum(year for _, year in known), 1e-9)
    a_day = DAY // slots.seconds
    found: list[float] = []
    for at, value in enumerate(values):
        if value is not None:
            found.append(value)
        elif at >= a_day:
            found.append(found[at - a_day])
        else:
            found.append(usual[at] * (level if known else 1.0))
    return tuple(found)


def _first_open(values: Sequence[float | None]) -> int | None:
    return next((at for at, value in enumerate(values) if value is None), None)


def _price(region: str, fresh: Sequence[Signal], slots: _Slots, now: float) -> PriceCurve:
    if not fresh:
        return PriceCurve(
            region=region, kind=SignalKind.PRICE, unit=Unit.FACTOR, start=slots.start,
            slot_seconds=slots.seconds, values=(1.0,) * slots.count, issued_at=int(now),
            source="every hour at its list price",
        )  # fmt: skip
    told = fresh[0]
    values = slot_means(told, slots.starts)
    usual = 1.0 if told.unit is Unit.FACTOR else _mean(values)
    return PriceCurve(
        region=region, kind=SignalKind.PRICE, unit=told.unit, start=slots.start,
        slot_seconds=slots.seconds, values=tuple(usual if v is None else v for v in values),
        source=told.source, issued_at=told.issued_at, extended_from=_first_open(values),
    )  # fmt: skip


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0
