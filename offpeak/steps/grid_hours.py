"""What the average kWh emitted in an hour: as it was written down (`fetch_signals.py`), or else in a typical year."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from offpeak.core.grid import grid_of
from offpeak.core.ports import Reader
from offpeak.planner.forecast import typical
from offpeak.steps.fetch_signals import HOUR, GridHour, past_hours

REMEMBERED_SECONDS = 300
REMEMBERED_MAX = 1_000
HOURS_MAX = 14 * 24
"""The longest window is seven days; whoever asks for more gets the first of them."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    at: float
    hour: GridHour


class GridHours:
    """One a process: shards end all the time, and an hour's value is read every five minutes at most."""

    def __init__(self) -> None:
        self._remembered: dict[tuple[str, int], _Remembered] = {}

    def at(self, region: str, when: float, *, now: float, reader: Reader) -> GridHour:
        hour = int(when) - int(when) % HOUR
        known = self._remembered.get((region, hour))
        if known is None or now - known.at >= REMEMBERED_SECONDS:
            known = _Remembered(now, hours_of(region, hour, hour + 1, reader)[hour])
            if len(self._remembered) >= REMEMBERED_MAX:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[region, hour] = known
        return known.hour


def hours_of(region: str, start: int, stop: int, reader: Reader) -> dict[int, GridHour]:
    """By the hour's first second, without a gap; one read a day."""
    first = start - start % HOUR
    stop = min(max(stop, first + 1), first + HOURS_MAX * HOUR)
    found = past_hours(region, first, stop, reader)
    return {at: found.get(at) or _typical(region, at) for at in range(first, stop, HOUR)}


def mean_grams(hours: dict[int, GridHour], start: int, stop: int) -> float:
    """Over [start, stop), weighted by time; at the last hour's value past the end of what is known."""
    if stop <= start:
        return hours[min(hours)].grams
    total = 0.0
    last = max(hours)
    for at, hour in hours.items():
        upto = stop if at == last else min(stop, at + HOUR)
        total += hour.grams * max(0, upto - max(start, at))
    return total / (stop - start)


def sources_of(hours: Iterable[GridHour]) -> list[str]:
    """Each once, the most used first."""
    told = [hour.source for hour in hours]
    return sorted(set(told), key=lambda source: (-told.count(source), source))


def _typical(region: str, when: float) -> GridHour:
    return GridHour(grams=typical(region, when), source=grid_of(region).described)
