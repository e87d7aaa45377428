"""Situations to hold plans against the linear program: hourly forecasts, regions, residency, deadlines."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

from offpeak.core.plan import SLOTS, CapacityPlan, PoolOutlook, Situation, Weights, WorkDue
from offpeak.planner.plan_capacity import plan_spread

HOUR = 3_600
NOW = 1_600_000_200.0
REGIONS = (("coal", 0.35), ("gas", 0.21), ("nuclear", 0.05))


def random_situation(
    seed: int, *, deadlines: int, regions: int = 3, share: float = 0.5, window_hours: float = 24.0
) -> Situation:
    """So many runs, due over a window, that take `share` of all instances there may be; a third of them are kept to
    some regions."""
    random = Random(seed)
    pools = tuple(
        PoolOutlook(
            pool=name, region=name, instances_max=random.randint(4, 40), dollars=(2.0,) * SLOTS,
            carbon=_hourly(mean, random),
        )
        for name, mean in REGIONS[:regions]
    )  # fmt: skip
    names = [pool.pool for pool in pools]
    in_all = share * window_hours / 2 * HOUR * sum(pool.instances_max for pool in pools)
    work = []
    for number in range(deadlines):
        seconds = random.uniform(0.2, 1.8) * in_all / deadlines
        kept = frozenset(random.sample(names, random.randint(1, len(names))))
        work.append(
            WorkDue(
                run_id=f"batch-{number}.0", seconds_p50=seconds, seconds_p90=seconds * 1.15,
                deadline=NOW + HOUR * (3 + (window_hours - 3) * (number + 1) / deadlines),
                pools=kept if random.random() < 1 / 3 else None,
            )
        )  # fmt: skip
    return Situation(now=NOW, pools=pools, work=tuple(work), weights=Weights(dollars=0.0))


def _hourly(mean: float, random: Random) -> tuple[float, ...]:
    """A day's shape and weather; four slots an hour have the same value."""
    phase, weather, values = random.uniform(0, 24), 0.0, []
    for hour in range(SLOTS // 4):
        weather = 0.9 * weather + random.gauss(0, 0.06)
        day = 0.2 * math.cos((hour - phase) / 24 * 2 * math.pi)
        values += [max(0.1 * mean, mean * (1 + day + weather))] * 4
    return tuple(values)


def free_starts(situation: Situation) -> Situation:
    """The same as the linear program sees it: instances start for nothing and at once, forecasts are exact, work takes
    what is expected."""
    return replace(
        situation, smoothing_slots=0, margin_seconds=0.0,
        pools=tuple(
            replace(pool, cold_start_seconds=0.0, drain_seconds=0.0) for pool in situation.pools
        ),
        work=tuple(replace(each, seconds_p90=each.seconds_p50) for each in situation.work),
    )  # fmt: skip


def expected_cost(situation: Situation, made: CapacityPlan) -> float:
    """What the planned work costs, starts and idle seconds not counted."""
    weights = situation.weights
    return sum(
        seconds / HOUR / outlook.speed
        * (weights.dollars * outlook.dollars[slot] + weights.carbon * outlook.carbon[slot])
        for outlook, each in zip(situation.pools, made.pools, strict=True)
        for slot, seconds in enumerate(each.seconds)
    )  # fmt: skip


def spread_cost(situation: Situation) -> float:
    """What the cheapest cells cost, before they are whole instances."""
    spread, grids = plan_spread(situation)
    return sum(
        seconds * grid.rate(slot)
        for number, grid in enumerate(grids)
        for slot in range(spread.slots)
        for _, seconds in spread.of_pool(number, slot)
    )
