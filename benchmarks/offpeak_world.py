"""Pools in simulated time: instances start, work, and go; a strategy says how many, and what they may take.

What is real: the planner, called as `plan_capacity` calls it, with what can be known at the time. What is simulated:
the clock, in steps of five minutes; instances that are paid from their order to the end of their drain; regions that
have none to give for a while; a speed that wanders; batches that take longer or shorter than was thought.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from benchmarks.offpeak_year import HOUR, SHARP_ERROR, Arrival, Floats, Forecasts, Year
from offpeak.core.plan import (
    SLOTS,
    CapacityPlan,
    PoolOutlook,
    Situation,
    Weights,
    WorkDue,
)
from offpeak.planner.forecast import forecast
from offpeak.planner.plan_capacity import plan

STEP = 300
SLOT = 900
COLD_START, DRAIN = 600, 120
KILOWATTS = 1.0
"""Of one instance. It cancels out of every ratio."""
DOLLARS = 2.0
"""An instance's hour: the same in every hour and region, as on-demand prices nearly are."""
P90 = 1.2816


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """`speed_error` is the standard deviation of a pool's speed, over hours; shortages begin so many times a week and
    last up to so many seconds."""

    instances_max: Mapping[str, int]
    work_error: float = 0.15
    speed_error: float = 0.05
    shortages_a_week: float = 1.0
    shortage_seconds_max: int = 5_400
    seed: int = 0


@dataclass(slots=True)
class Pool:
    region: str
    instances_max: int
    serving: int = 0
    starting: list[float] = field(default_factory=list)
    believed_speed: float = 1.0
    last_on: float = float("-inf")

    @property
    def ordered(self) -> int:
        return self.serving + len(self.starting)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """Instance-seconds `paid` and `busy`, grams of all that was paid and of what was busy."""

    grams: float = 0.0
    work_grams: float = 0.0
    paid: float = 0.0
    busy: float = 0.0
    starts: int = 0
    days_with_starts: set[tuple[str, int]] = field(default_factory=set)
    missed: int = 0
    latest: float = float("inf")
    """Seconds between an end and its deadline, the least."""
    instances: dict[str, Floats] = field(default_factory=dict)
    plan_seconds: list[float] = field(default_factory=list)

    @property
    def dollars(self) -> float:
        return self.paid / HOUR * DOLLARS

    @property
    def utilisation(self) -> float:
        return self.busy / self.paid if self.paid else 0.0

    @property
    def gpu_seconds_ratio(self) -> float:
        """What was paid, less one cold start for each pool and day that had one, to what the work took."""
        return (self.paid - COLD_START * len(self.days_with_starts)) / self.busy


class Strategy(Protocol):
    def decide(self, now: float, pools: Sequence[Pool], open: Sequence[Arrival]) -> None:
        """Called each step."""

    def wanted(self, pool: Pool, now: float) -> int: ...

    def may_take(self, pool: Pool, arrival: Arrival) -> bool: ...


class World:
    def __init__(self, year: Year, conditions: Conditions) -> None:
        self.year = year
        self.conditions = conditions
        rng = np.random.default_rng(conditions.seed)
        self._speeds = {
            region: _wandering(rng, year.hours + 48, conditions.speed_error)
            for region in conditions.instances_max
        }
        self._short_until = {
            region: _shortages(rng, year.hours + 48, conditions)
            for region in conditions.instances_max
        }

    def run(self, strategy: Strategy, work: Sequence[Arrival]) -> Outcome:
        outcome = Outcome(
            instances={r: np.zeros(self.year.hours + 48) for r in self.conditions.instances_max}
        )
        pools = [Pool(region, most) for region, most in self.conditions.instances_max.items()]
        open_: list[Arrival] = []
        coming = iter(sorted(work, key=lambda each: each.hour))
        next_up = next(coming, None)
        now = 0.0
        while next_up is not None or open_ or any(pool.ordered for pool in pools):
            while next_up is not None and next_up.hour * HOUR <= now:
                open_.append(next_up)
                next_up = next(coming, None)
            if not open_ and not any(pool.ordered for pool in pools):
                assert next_up is not None
                now = next_up.hour * HOUR
                continue
            open_.sort(key=lambda each: each.deadline)
            strategy.decide(now, pools, open_)
            for pool in pools:
                self._scale(pool, strategy.wanted(pool, now), now, outcome)
            for pool in pools:
                self._work(pool, strategy, open_, now, outcome)
            now += STEP
            for arrival in [each for each in open_ if each.left <= 0 or now >= each.deadline]:
                outcome.missed += arrival.left > 0
                outcome.latest = min(outcome.latest, arrival.deadline - now)
                open_.remove(arrival)
        return outcome

    def _scale(self, pool: Pool, wanted: int, now: float, outcome: Outcome) -> None:
        wanted = max(0, min(wanted, pool.instances_max))
        hour = int(now // HOUR)
        if wanted > pool.ordered and now >= self._short_until[pool.region][hour]:
            for _ in range(wanted - pool.ordered):
                pool.starting.append(now + COLD_START)
                outcome.starts += 1
                outcome.days_with_starts.add((pool.region, hour // 24))
        while wanted < pool.ordered:
            if pool.starting:
                pool.starting.pop()
            else:
                pool.serving -= 1
                self._pay(pool, DRAIN, hour, outcome)

    def _pay(self, pool: Pool, seconds: float, hour: int, outcome: Outcome) -> None:
        outcome.paid += seconds
        grams = self.year.grams[pool.region][hour]
        outcome.grams += seconds / HOUR * KILOWATTS * float(grams)

    def _work(
        self, pool: Pool, strategy: Strategy, open_: Sequence[Arrival], now: float, outcome: Outcome
    ) -> None:
        if not pool.ordered:
            return
        pool.last_on = now + STEP
        hour = int(now // HOUR)
        self._pay(pool, pool.ordered * STEP, hour, outcome)
        outcome.instances[pool.region][hour] += pool.ordered * STEP / HOUR
        seconds = float(pool.serving * STEP)
        for ready_at in list(pool.starting):
            if ready_at <= now + STEP:
                seconds += now + STEP - max(now, ready_at)
                pool.starting.remove(ready_at)
                pool.serving += 1
        speed = float(self._speeds[pool.region][hour])
        room = seconds * speed
        for arrival in open_:
            if room <= 0:
                break
            if arrival.left > 0 and strategy.may_take(pool, arrival):
                done = min(room, arrival.left)
                arrival.left -= done
                room -= done
        busy = seconds - room / speed
        if busy > 0:
            pool.believed_speed += 0.1 * (speed - pool.believed_speed)
        outcome.busy += busy
        grams = float(self.year.grams[pool.region][hour])
        outcome.work_grams += busy / HOUR * KILOWATTS * grams


def _wandering(rng: np.random.Generator, hours: int, error: float) -> Floats:
    """Speeds about 1, alike from hour to hour."""
    steps = rng.normal(0, error * np.sqrt(1 - 0.9**2), hours)
    values = np.zeros(hours)
    for hour in range(1, hours):
        values[hour] = 0.9 * values[hour - 1] + steps[hour]
    return np.exp(values)


def _shortages(rng: np.random.Generator, hours: int, conditions: Conditions) -> Floats:
    """Until when no instance can be had, for each hour in which one is asked for."""
    until = np.zeros(hours)
    for hour in map(int, np.flatnonzero(rng.random(hours) < conditions.shortages_a_week / 168)):
        seconds = rng.uniform(0.2, 1.0) * conditions.shortage_seconds_max
        for each in range(hour, min(hours, hour + int(seconds // HOUR) + 1)):
            until[each] = max(until[each], hour * HOUR + seconds)
    return until


# ── strategies ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Planned:
    """The planner, asked when its answer may change: each hour, when work comes, before any instance is ordered; each
    quarter of an hour while instances are there, and when they run out of work. (`plan_capacity` asks every five
    minutes.)"""

    def __init__(self, forecasts: Forecasts, conditions: Conditions, outcome: list[float]) -> None:
        self._forecasts = forecasts
        self._conditions = conditions
        self._plan: CapacityPlan | None = None
        self._took = outcome
        self._known = 0
        self._hour = -1
        self._grams: Mapping[str, Sequence[float]] = {}

    def decide(self, now: float, pools: Sequence[Pool], open: Sequence[Arrival]) -> None:
        if not self._is_due(now, pools, open):
            return
        self._known = len(open)
        situation = self.situation(now, pools, open)
        began = time.perf_counter()
        self._plan = plan(situation)
        self._took.append(time.perf_counter() - began)

    def _is_due(self, now: float, pools: Sequence[Pool], open_: Sequence[Arrival]) -> bool:
        if self._plan is None or now % HOUR == 0 or len(open_) > self._known:
            return True
        if now % SLOT == 0 and any(pool.ordered for pool in pools):
            return True
        if any(self._runs_out(pool, now, open_) for pool in pools if pool.serving):
            return True
        return any(self._plan.wanted(pool.region, now) > pool.ordered for pool in pools)

    def _runs_out(self, pool: Pool, now: float, open_: Sequence[Arrival]) -> bool:
        """Within this quarter of an hour."""
        left = sum(each.left for each in open_ if self.may_take(pool, each))
        return left < pool.serving * (SLOT - now % SLOT) * pool.believed_speed

    def situation(self, now: float, pools: Sequence[Pool], open_: Sequence[Arrival]) -> Situation:
        hour, since = divmod(int(now), HOUR)
        outlooks = []
        for pool in pools:
            grams = self._forecast(hour, pools)[pool.region][since // SLOT :]
            carbon = [each * KILOWATTS / 1_000 for each in grams]
            outlooks.append(
                PoolOutlook(
                    pool=pool.region, region=pool.region, instances_max=pool.instances_max,
                    running=pool.serving, starting=len(pool.starting), speed=pool.believed_speed,
                    cold_start_seconds=COLD_START, drain_seconds=DRAIN,
                    idle_seconds=now - pool.last_on, dollars=(0.0,) * len(carbon), carbon=tuple(carbon),
                )
            )  # fmt: skip
        return Situation(
            now=now, pools=tuple(outlooks), slot_seconds=SLOT, weights=Weights(dollars=0.0),
            work=tuple(self._due(arrival) for arrival in open_),
        )  # fmt: skip

    def _forecast(self, hour: int, pools: Sequence[Pool]) -> Mapping[str, Sequence[float]]:
        """gCO2eq/kWh of each slot from the hour's begin on, as the product takes it from signals."""
        if hour != self._hour:
            signals = {pool.region: self._forecasts.newest(pool.region, hour) for pool in pools}
            now = hour * HOUR
            found = forecast(signals, signals, start=now, slots=SLOTS, slot_seconds=SLOT, now=now)
            self._grams = {region: each.carbon.values for region, each in found.items()}
            self._hour = hour
        return self._grams

    def _due(self, arrival: Arrival) -> WorkDue:
        """By its estimate; once a twentieth is done, by what that took. P90 minds that the pool's pace wanders, too, as
        the product's does (estimate_completion.py)."""
        done = arrival.truth - arrival.left
        expected, error = max(0.0, arrival.expected - done), self._conditions.work_error
        if done > 0.05 * arrival.truth:
            expected, error = arrival.left * (1 + arrival.sharp), SHARP_ERROR
        beyond = np.exp(P90 * np.hypot(error, self._conditions.speed_error))
        return WorkDue(
            run_id=arrival.run_id, deadline=arrival.deadline, seconds_p50=expected,
            seconds_p90=float(max(expected * beyond, expected + 30)),
        )  # fmt: skip

    def wanted(self, pool: Pool, now: float) -> int:
        assert self._plan is not None
        return self._plan.wanted(pool.region, now)

    def may_take(self, pool: Pool, arrival: Arrival) -> bool:
        assert self._plan is not None
        return self._plan.may_take(pool.region, arrival.run_id, arrival.deadline)


class AtOnce:
    """Run at once: instances for what waits, in the first region that has room, one for each hour of work that is left,
    which it knows exactly; gone when nothing is left."""

    def __init__(self) -> None:
        self._wanted: dict[str, int] = {}

    def decide(self, now: float, pools: Sequence[Pool], open: Sequence[Arrival]) -> None:
        left = sum(arrival.left for arrival in open if self.is_due(arrival, now, open))
        wanted = int(-(-left // HOUR))
        for pool in pools:
            self._wanted[pool.region] = min(pool.instances_max, wanted)
            wanted -= self._wanted[pool.region]

    def is_due(self, arrival: Arrival, now: float, open: Sequence[Arrival]) -> bool:  # noqa: ARG002 - it always is
        return True

    def wanted(self, pool: Pool, now: float) -> int:  # noqa: ARG002 - decided beforehand
        return self._wanted[pool.region]

    def may_take(self, pool: Pool, arrival: Arrival) -> bool:  # noqa: ARG002 - whatever comes
        return True


class AtNight(AtOnce):
    """The same between `begin` and `end` o'clock UTC, and once a deadline presses."""

    def __init__(self, instances: int, begin: int = 0, end: int = 6) -> None:
        super().__init__()
        self._instances = instances
        self._begin = begin
        self._end = end

    def is_due(self, arrival: Arrival, now: float, open: Sequence[Arrival]) -> bool:
        if self._begin <= now // HOUR % 24 < self._end:
            return True
        before = sum(each.left for each in open if each.deadline <= arrival.deadline)
        return now >= arrival.deadline - 1.3 * before / self._instances - 2 * HOUR
