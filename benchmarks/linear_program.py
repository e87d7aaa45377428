"""The linear programs that plans are held against, solved by HiGHS. Bounds: no plan can cost less.

    cheapest_cost   one situation: all work is there, instances are divisible and start for nothing
    clairvoyant     a whole year of it at once: arrivals, deadlines, starts, with everything known beforehand

Both state deadlines as sums: what is done before each deadline is at least what is due by then (and, over a year, what
is done by an hour at most what has arrived). Where work is worked off by the earliest deadline, that is all there is to
say, and a year of three regions is one sparse program of some hundred thousand rows: no rolling window, nothing cut.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_array, diags_array, eye_array, hstack, vstack

from offpeak.core.plan import Situation

Floats = NDArray[Any]


def cheapest_cost(situation: Situation) -> float | None:
    """What the expected work costs at least, starts not counted; None if it can't be done in time. Work-seconds of each
    pool are divisible; an instance that doesn't serve yet is ready after the cold start."""
    length, slots = situation.slot_seconds, situation.slots
    begins = situation.starts_at + length * np.arange(slots)
    rooms, rates = [], []
    for pool in situation.pools:
        full = begins + length - np.maximum(begins, situation.now)
        ready = situation.now + pool.cold_start_seconds
        late = np.maximum(0, begins + length - np.maximum(begins, ready))
        serving = min(pool.running + pool.starting, pool.instances_max)
        rooms.append((serving * full + (pool.instances_max - serving) * late) * pool.speed)
        hour = situation.weights.dollars * np.array(pool.dollars)
        hour = hour + situation.weights.carbon * np.array(pool.carbon)
        rates.append(hour / 3_600 / pool.speed)
    names = [pool.pool for pool in situation.pools]
    due: dict[frozenset[str], dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for work in situation.work:
        left = work.deadline - situation.margin_seconds - situation.starts_at
        until = int(min(slots, max(0, left // length)))
        due[work.pools if work.pools is not None else frozenset(names)][until] += work.seconds_p50
    if not due:
        return 0.0
    groups = list(due)
    cells = len(names) * slots
    rows: list[Floats] = []
    columns: list[Floats] = []
    limits: list[float] = []
    for group, allowed in enumerate(groups):
        total, each = 0.0, due[allowed]
        for until in sorted(each):
            total += each[until]
            for number, name in enumerate(names):
                if name in allowed:
                    found = group * cells + number * slots + np.arange(until)
                    rows.append(np.full(until, len(limits)))
                    columns.append(found)
            limits.append(-total)
    at, to = np.concatenate(rows), np.concatenate(columns)
    shape = (len(limits), len(groups) * cells)
    deadlines = csr_array((-np.ones(len(at)), (at, to)), shape=shape)
    capacity = hstack([eye_array(cells) for _ in groups])
    prices = np.concatenate(rates)
    unit = float(prices.mean()) or 1.0  # HiGHS's tolerances are absolute
    answer = linprog(
        np.tile(prices / unit, len(groups)),
        A_ub=vstack([deadlines, capacity]), b_ub=np.concatenate([limits, np.concatenate(rooms)]),
        bounds=(0, None), method="highs",
    )  # fmt: skip
    return float(answer.fun) * unit if answer.status == 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clairvoyant:
    """`grams` in all, of which for work; `starts` may be fractions of one."""

    grams: float
    work_grams: float
    starts: float


def clairvoyant(
    intensity: Mapping[str, Floats], instances_max: Mapping[str, int],
    arrived: Floats, *, window_hours: int, kilowatts: float, start_hours: float,
) -> Clairvoyant:  # fmt: skip
    """The least carbon with which a year's work can be done: `arrived` are instance-hours at the begin of an hour, due
    so many hours later. Variables are work and starts, of each hour and region, and what was done by then."""
    hours, regions = len(arrived), list(intensity)
    grams = np.concatenate([np.asarray(intensity[r][:hours], dtype=float) for r in regions])
    count = hours * len(regions)
    done = np.cumsum(np.asarray(arrived, dtype=float))
    latest = np.concatenate([np.zeros(window_hours - 1), done])[:hours]
    latest[-1] = done[-1]
    same = eye_array(hours, format="csr")
    previous = diags_array(np.ones(hours - 1), offsets=-1, shape=(hours, hours))
    step = same - previous
    # done[t] - done[t-1] = what all regions work in t
    balance = hstack([*[-same for _ in regions], csr_array((hours, count)), step])
    blocks = [
        [step if other == region else csr_array((hours, hours)) for other in regions]
        + [-same if other == region else csr_array((hours, hours)) for other in regions]
        + [csr_array((hours, hours))]
        for region in regions
    ]
    starts = vstack([hstack(row) for row in blocks])
    most = np.concatenate([np.full(hours, float(instances_max[r])) for r in regions])
    bounds = np.concatenate(
        [
            np.stack([np.zeros(count), most], axis=1),
            np.stack([np.zeros(count), most], axis=1),
            np.stack([latest, done], axis=1),
        ]
    )
    cost = np.concatenate([grams * kilowatts, grams * kilowatts * start_hours, np.zeros(hours)])
    answer = linprog(
        cost, A_ub=starts, b_ub=np.zeros(count), A_eq=balance, b_eq=np.zeros(hours),
        bounds=bounds, method="highs-ipm",
    )  # fmt: skip
    if answer.status != 0:
        raise RuntimeError(f"The clairvoyant program has no solution: {answer.message}")
    worked = answer.x[:count]
    return Clairvoyant(
        grams=float(answer.fun), work_grams=float(worked @ grams * kilowatts),
        starts=float(answer.x[count : 2 * count].sum()),
    )  # fmt: skip
