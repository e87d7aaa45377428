"""Every hour: asks the services that an operator has keys for, reads the curves that operators set, and keeps both in
one form. Nobody else goes out for signals; whoever plans or writes receipts reads what is kept.

A service that doesn't answer leaves its last word standing, which goes stale by itself (planner/forecast.py). What it
said in the two days before is kept beside its newest word, to be averaged with it (planner/lagged_average.py). A curve
that is wrong is as if it weren't there, and the log says which line. What the average kWh emits in this hour, and who
says so, is written down for receipts, which look back.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from offpeak.core.errors import NotFound, OffpeakError
from offpeak.core.layout import curve_key, grid_hours_key, signal_key
from offpeak.core.ports import Clock, Reader, SignalMetrics, SignalSource, Writer
from offpeak.core.signal import Signal, SignalKind
from offpeak.planner.forecast import forecast
from offpeak.planner.lagged_average import kept_issues, last_issues
from offpeak.steps.stored_signals import SIGNAL_BYTES_MAX, StoredSignals
from offpeak.wire.signals import CURVE_BYTES_MAX, decode_signals, encode_signals, parse_curve

logger = logging.getLogger(__name__)
CURVE = "curve"
"""The source of what operators set, as a word of a key."""
HOUR = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedSignals:
    """Of one region: by which source it goes now, and what went wrong, in sentences."""

    region: str
    carbon_source: str
    falls_back: str | None
    kept: Sequence[str] = ()
    errors: Sequence[str] = field(default=())


class GridHour(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the average kWh emitted in one hour: gCO2eq, and the source."""

    grams: float
    source: str


GridDay = dict[str, GridHour]
"""By the hour, UTC: `"07"`."""
_DAYS = msgspec.json.Decoder(GridDay)


def fetch_signals(
    regions: Collection[str], *, clock: Clock, reader: Reader, writer: Writer,
    sources: Sequence[SignalSource], metrics: SignalMetrics | None = None,
) -> Sequence[FetchedSignals]:  # fmt: skip
    """A region after the other. What one source lacks holds up no other."""
    now = int(clock.now())
    return [_fetch(region, now, clock, reader, writer, sources, metrics) for region in regions]


def _fetch(
    region: str, now: int, clock: Clock, reader: Reader, writer: Writer,
    sources: Sequence[SignalSource], metrics: SignalMetrics | None,
) -> FetchedSignals:  # fmt: skip
    kept, errors = [], []
    for name, told in (*_told(region, now, sources), *_curves(region, now, reader)):
        if isinstance(told, Signal):
            key = signal_key(region, told.kind, name)
            issues = (told,) if name == CURVE else kept_issues(told, _stored(key, reader))
            writer.put(key, encode_signals(issues), "application/json")
            kept.append(key)
        else:
            logger.error("signals of %s from %s: %s", region, name, told)
            errors.append(f"{name}: {told}")
    signals = last_issues(StoredSignals(reader, clock).newest(region))
    carbon = forecast([region], {region: signals}, start=now, slots=1, now=now)[region].carbon
    _write_down(region, now, GridHour(round(carbon.values[0], 2), carbon.source), reader, writer)
    if metrics is not None and (sources or signals):
        is_fallback = carbon.falls_back is not None
        values = {"SignalFallback": float(is_fallback)}
        if not is_fallback:
            values["SignalAgeSeconds"] = float(now - carbon.issued_at)
        metrics.publish_signal(region, now, values)
    return FetchedSignals(
        region=region, carbon_source=carbon.source, falls_back=carbon.falls_back, kept=kept,
        errors=errors,
    )  # fmt: skip


def _stored(key: str, reader: Reader) -> Sequence[Signal]:
    """What the source said before; nothing, if that can't be read any more."""
    try:
        return decode_signals(reader.read(key, 0, SIGNAL_BYTES_MAX))
    except (NotFound, ValueError):
        return ()


def _told(
    region: str, now: int, sources: Sequence[SignalSource]
) -> Iterator[tuple[str, Signal | str]]:
    for source in sources:
        try:
            for signal in source.fetch(region, now):
                yield source.name, signal
        except (OffpeakError, ValueError) as error:
            yield source.name, str(error)


def _curves(region: str, now: int, reader: Reader) -> Iterator[tuple[str, Signal | str]]:
    """What operators set. It is as new as it is read: they answer for how long it reaches."""
    for kind in SignalKind:
        key = curve_key(region, kind)
        try:
            found = reader.head(key)
        except NotFound:
            continue
        if found.bytes > CURVE_BYTES_MAX:
            yield CURVE, f"{key} has {found.bytes:,} bytes; {CURVE_BYTES_MAX:,} are read."
            continue
        try:
            text = reader.read(key, etag=found.etag).decode("utf-8")
            yield (
                CURVE,
                parse_curve(
                    text, region=region, kind=kind, issued_at=now, source=f"the curve {key}"
                ),
            )
        except (ValueError, OffpeakError) as error:
            yield CURVE, f"{key}: {error}"


# ── past hours ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _write_down(region: str, now: int, told: GridHour, reader: Reader, writer: Writer) -> None:
    """This hour's value, in its day's object. Two at once write the same; one hour lost is a typical one."""
    key, hour = _place(region, now)
    day = {**_day(key, reader), hour: told}
    writer.put(key, msgspec.json.encode(day), "application/json")


def past_hours(region: str, start: int, stop: int, reader: Reader) -> Mapping[int, GridHour]:
    """What was written down of [start, stop), by the hour's first second; hours nobody wrote down are missing."""
    found: dict[int, GridHour] = {}
    days: dict[str, GridDay] = {}
    for at in range(start - start % HOUR, stop, HOUR):
        key, hour = _place(region, at)
        if key not in days:
            days[key] = _day(key, reader)
        if hour in days[key]:
            found[at] = days[key][hour]
    return found


def _place(region: str, at: int) -> tuple[str, str]:
    when = datetime.fromtimestamp(at, UTC)
    return grid_hours_key(region, f"{when:%Y-%m-%d}"), f"{when:%H}"


def _day(key: str, reader: Reader) -> GridDay:
    try:
        return _DAYS.decode(reader.read(key))
    except NotFound:
        return {}
    except ValueError as error:
        logger.error("%s is no day of a grid: %s", key, error)
        return {}
