"""A year to replay: hourly carbon intensities, forecasts of them that err, work that arrives."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from offpeak.core.signal import Signal, SignalKind, SignalPoint, Unit
from offpeak.planner.lagged_average import KEPT_SECONDS, kept_issues

HOUR = 3_600
DAY_HOURS = 24
SHARP_ERROR = 0.04
"""Of what is said of a batch once a twentieth of it is done, the standard deviation."""
HORIZON_HOURS = 48
ISSUE_HOURS = 6
"""How often a new forecast comes, with errors of its own."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Year:
    """gCO2eq/kWh of each region and hour. The last hours are there twice over, for forecasts that look past the end."""

    source: str
    hours: int
    grams: Mapping[str, Floats]

    @property
    def regions(self) -> tuple[str, ...]:
        return tuple(self.grams)

    def only(self, regions: Sequence[str]) -> Year:
        return replace(self, grams={region: self.grams[region] for region in regions})


def read_year(path: Path) -> Year:
    """A CSV of a time and one column a region, hourly and without gaps, with a line of names. Raises ValueError."""
    with path.open(newline="") as lines:
        names, *rows = csv.reader(lines)
    if len(names) < 2 or len(rows) < 7 * DAY_HOURS:
        raise ValueError(f"{path}: a column of times, one a region, and a week of hours at least")
    try:
        table = np.array([[float(cell) for cell in row[1:]] for row in rows])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if table.shape[1] != len(names) - 1 or not np.isfinite(table).all() or (table < 0).any():
        raise ValueError(f"{path}: every row needs a number, zero or more, for each region")
    return _year(path.name, dict(zip(names[1:], table.T, strict=True)))


def generate_year(seed: int = 0, hours: int = 8_784) -> Year:
    """Three regions with days, weeks and seasons, and weather that lasts for days: for where there is no recording."""
    rng = np.random.default_rng(seed)
    time = np.arange(hours)
    day, week, year = (time / length * 2 * math.pi for length in (24, 168, 8_766))
    grams = {}
    for name, mean, sun, evening, season, wind in (
        ("coal-and-wind", 350.0, 0.10, 0.10, 0.10, 0.22),
        ("gas-and-wind", 210.0, 0.08, 0.14, 0.08, 0.22),
        ("nuclear", 52.0, 0.05, 0.08, 0.25, 0.12),
    ):
        weather = np.zeros(hours)
        shocks = rng.normal(0, wind * math.sqrt(1 - 0.97**2), hours)
        for hour in range(1, hours):
            weather[hour] = 0.97 * weather[hour - 1] + shocks[hour]
        shape = (
            1 - sun * np.cos(day - math.pi * 13 / 12) - evening * np.cos(2 * (day - math.pi * 3 / 12))
            - 0.05 * (np.cos(week) < -0.62) + season * np.cos(year) + weather
        )  # fmt: skip
        grams[name] = np.maximum(0.15 * mean, mean * shape)
    return _year("generated", grams)


def _year(source: str, grams: Mapping[str, Floats]) -> Year:
    hours = len(next(iter(grams.values())))
    return Year(
        source=source, hours=hours,
        grams={
            region: np.concatenate([values, values[-2 * HORIZON_HOURS :]])
            for region, values in grams.items()
        },
    )  # fmt: skip


def shortened(year: Year, hours: int) -> Year:
    """Its first hours."""
    grams = {region: values[: min(hours, year.hours)] for region, values in year.grams.items()}
    return _year(year.source, grams)


class Forecasts:
    """Each hour's true value plus a normal error of `error` times the region's mean over the year, as studies of
    shifting model it ("Let's Wait Awhile", Wiesner et al. 2021): independent from hour to hour, that of now included,
    and drawn anew with each issue, every `ISSUE_HOURS`. They look like valleys of an hour.

    The forecasts are signals, as sources tell them; what is made of them is the product's (planner/forecast.py)."""

    def __init__(self, year: Year, error: float, seed: int) -> None:
        self._year = year
        rng = np.random.default_rng(seed)
        issues = -(-year.hours // ISSUE_HOURS)
        self._errors = {
            region: rng.normal(0, error * values.mean(), (issues, HORIZON_HOURS + ISSUE_HOURS))
            for region, values in year.grams.items()
        }
        self._signals: dict[tuple[str, int], Signal] = {}

    def newest(self, region: str, hour: int) -> Sequence[Signal]:
        """As `Signals.newest` does: what was issued last, and what is kept of before."""
        newest, *before = (
            self._issued(region, issue)
            for issue in range(hour // ISSUE_HOURS, -1, -1)
            if hour - issue * ISSUE_HOURS <= KEPT_SECONDS // HOUR + ISSUE_HOURS
        )
        return kept_issues(newest, before)

    def _issued(self, region: str, issue: int) -> Signal:
        """Of the hour of its issue and of those of the two days after it."""
        if (region, issue) not in self._signals:
            first, error = issue * ISSUE_HOURS, self._errors[region][issue]
            truth = self._year.grams[region][first : first + len(error)]
            self._signals[region, issue] = Signal(
                region=region, kind=SignalKind.AVERAGE, unit=Unit.GRAMS_PER_KWH,
                issued_at=first * HOUR, source="simulated",
                points=tuple(
                    SignalPoint((first + at) * HOUR, HOUR, float(value))
                    for at, value in enumerate(np.maximum(1.0, truth + error))
                ),
            )  # fmt: skip
        return self._signals[region, issue]


@dataclass(slots=True, kw_only=True)
class Arrival:
    """A batch: instance-seconds that it is thought to take, that it takes, and that are left of it."""

    run_id: str
    hour: int
    deadline: float
    expected: float
    truth: float
    left: float
    sharp: float
    """How far an estimate is off once a part of the batch is done."""


def arrivals(
    trace: str, year: Year, *, window_hours: int, seed: int, error: float
) -> list[Arrival]:  # fmt: skip
    """`steady`: a little each hour. `bursty`: some batches a day of very different sizes, in bunches, most by day.
    `huge`: one a week, larger than a day of the others. What a batch takes is off by a lognormal error."""
    rng = np.random.default_rng(seed)
    last = year.hours - window_hours - DAY_HOURS
    found = [
        Arrival(
            run_id=f"{trace}-{number}.0", hour=hour, deadline=(hour + window_hours) * HOUR,
            expected=seconds, truth=truth, left=truth, sharp=float(rng.normal(0, SHARP_ERROR)),
        )
        for number, (hour, seconds) in enumerate(_sizes(trace, last, rng))
        for truth in [float(seconds * rng.lognormal(0, error))]
    ]  # fmt: skip
    return sorted(found, key=lambda each: each.hour)


def _sizes(trace: str, hours: int, rng: np.random.Generator) -> Iterable[tuple[int, float]]:
    if trace == "steady":
        for hour in range(hours):
            yield hour, float(rng.uniform(900, 1_500))
    elif trace == "bursty":
        for day in range(hours // DAY_HOURS):
            for _ in range(rng.poisson(1.2)):
                hour = day * DAY_HOURS + int(np.clip(rng.normal(13, 4), 0, 23))
                for _ in range(1 + rng.poisson(2)):
                    yield hour, float(min(6 * HOUR, rng.lognormal(math.log(HOUR), 0.8)))
    elif trace == "huge":
        for week in range(hours // (7 * DAY_HOURS)):
            hour = week * 7 * DAY_HOURS + int(rng.integers(0, 6 * DAY_HOURS))
            yield hour, float(rng.uniform(30, 40)) * HOUR
    else:
        raise ValueError(f"There is no trace {trace!r}.")


def hourly(found: Sequence[Arrival], hours: int) -> Floats:
    """Instance-hours that really arrive in each hour."""
    sums = np.zeros(hours)
    for arrival in found:
        sums[arrival.hour] += arrival.truth / HOUR
    return sums
