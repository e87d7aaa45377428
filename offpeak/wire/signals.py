"""Signals as they are stored, and the curves that operators set, as CSV.

A curve has a heading that names its unit, and a row a step. A time says its zone; a step lasts until the next one, the
last one as long as the one before it, and no step longer than a day:

    start,factor                      start,gCO2eq/kWh
    2026-11-21T00:00Z,0.8             2026-11-21T00:00+01:00,412
    2026-11-21T06:00Z,1.2             2026-11-21T01:00+01:00,398.5
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise

import msgspec

from offpeak.core.signal import POINTS_MAX, UNITS, Signal, SignalKind, SignalPoint, Unit

CURVE_BYTES_MAX = 1_000_000
STEP_SECONDS_MAX = 86_400
_PER_MWH = "USD/MWh"
_ENCODER = msgspec.json.Encoder()
_SIGNALS: msgspec.json.Decoder[Signal | tuple[Signal, ...]] = msgspec.json.Decoder(
    Signal | tuple[Signal, ...]
)


def encode_signals(signals: Sequence[Signal]) -> bytes:
    return _ENCODER.encode(signals)


def decode_signals(body: bytes) -> tuple[Signal, ...]:
    """One by itself is what was stored before earlier issues were kept. Raises ValueError for what is no signal."""
    found = _SIGNALS.decode(body)
    return (found,) if isinstance(found, Signal) else found


def parse_curve(text: str, *, region: str, kind: SignalKind, issued_at: int, source: str) -> Signal:
    """Raises ValueError with a sentence that names the line."""
    rows = list(_rows(text))
    if not rows:
        raise ValueError("It is empty: write a heading, then a row a step.")
    (_, heading), *steps = rows
    unit, scale = _unit(heading, kind)
    if len(steps) < 2:
        raise ValueError("It has fewer than two steps: how long one lasts is told by the next.")
    if len(steps) > POINTS_MAX:
        raise ValueError(f"It has {len(steps)} steps; {POINTS_MAX} are taken.")
    points = _points([(line, *_step(line, row, scale)) for line, row in steps])
    return Signal(
        region=region,
        kind=kind,
        unit=unit,
        issued_at=issued_at,
        source=source,
        points=tuple(points),
    )


def _rows(text: str) -> Iterator[tuple[int, Sequence[str]]]:
    """Rows with their lines' numbers; empty lines are passed over."""
    for line, row in enumerate(csv.reader(text.lstrip("\ufeff").splitlines()), start=1):
        cells = [cell.strip() for cell in row]
        if any(cells):
            yield line, cells


def _unit(heading: Sequence[str], kind: SignalKind) -> tuple[Unit, float]:
    takes = sorted(unit.value for unit in UNITS[kind])
    if kind is SignalKind.PRICE:
        takes.append(_PER_MWH)
    wanted = " or ".join(f"start,{each}" for each in takes)
    if len(heading) != 2 or heading[0] != "start" or heading[1] not in takes:
        raise ValueError(
            f"Line 1: the heading of a {kind} curve is {wanted}, not {','.join(heading)[:80]!r}."
        )
    if heading[1] == _PER_MWH:
        return Unit.USD_PER_KWH, 0.001
    return Unit(heading[1]), 1.0


def _step(line: int, row: Sequence[str], scale: float) -> tuple[int, float]:
    if len(row) != 2:
        raise ValueError(f"Line {line}: {len(row)} fields; two are expected, a time and a value.")
    try:
        start = datetime.fromisoformat(row[0])
    except ValueError:
        raise ValueError(f"Line {line}: {row[0][:40]!r} is no ISO 8601 time.") from None
    if start.tzinfo is None:
        raise ValueError(f"Line {line}: {row[0][:40]!r} lacks its zone: write 2026-11-21T06:00Z.")
    try:
        value = float(row[1])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"Line {line}: {row[1][:40]!r} is no number.")
    return int(start.timestamp()), value * scale


def _points(steps: Sequence[tuple[int, int, float]]) -> Iterable[SignalPoint]:
    seconds = 0
    for (line, start, value), (after, following, _) in pairwise(steps):
        seconds = following - start
        if not 1 <= seconds <= STEP_SECONDS_MAX:
            raise ValueError(
                f"Line {after}: it begins {seconds:,} seconds after line {line}; steps go forward, by a day at most."
            )
        yield SignalPoint(start, seconds, value)
    _, start, value = steps[-1]
    yield SignalPoint(start, seconds, value)
