"""Each pool's share of the work, in which instances it is done, and what goes to another pool or waits for company."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from offpeak.core.plan import PoolOutlook, Situation
from offpeak.planner.join_starts import Shaping, join_starts
from offpeak.planner.plan_grid import HOUR, PoolGrid
from offpeak.planner.spread_work import Demand, Spread

WORTHWHILE, WORTHWHILE_AGAIN = 2.0, 10.0
"""A start is for at least so many times its own seconds of work, unless a window presses: after the pool stood still
for `REST_SECONDS`, and right after it has worked. What comes then waits for what comes next."""
REST_SECONDS = 6 * 3_600
SURE = 1.4
"""A start has to gain so many times what it costs: what it gains is a forecast, what it costs is sure."""
REMAINDER = 8.0
"""Less work of a pool than so many starts' seconds is tried in another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolShare:
    """What fell to one pool: work-seconds by the demand's number, that can wait; and slot by slot that can't.
    `instances` are those that the cheapest cells ask for."""

    grid: PoolGrid
    shaping: Shaping
    instances: Sequence[int]
    waiting: Mapping[int, float]
    at_once: Sequence[Mapping[int, float]]

    def with_waiting(self, waiting: Mapping[int, float], demands: Sequence[Demand]) -> PoolShare:
        """The same pool with other work that can wait."""
        due: dict[int, float] = defaultdict(float)
        for number, seconds in waiting.items():
            due[demands[number].until] += seconds
        total, sums = 0.0, []
        for until in sorted(due):
            total += due[until]
            sums.append((until, total))
        return replace(self, waiting=waiting, shaping=replace(self.shaping, due=tuple(sums)))

    @property
    def seconds(self) -> float:
        return sum(self.waiting.values())


def pool_share(grid: PoolGrid, pool: int, spread: Spread, slots: int) -> PoolShare:
    demands = spread.demands
    waiting: dict[int, float] = defaultdict(float)
    at_once: list[dict[int, float]] = [defaultdict(float) for _ in range(slots)]
    now_seconds, wait_seconds = [0.0] * slots, [0.0] * slots
    for slot in range(slots):
        for number, seconds in spread.of_pool(pool, slot):
            if demands[number].now:
                at_once[slot][number] += seconds
                now_seconds[slot] += seconds
            else:
                waiting[number] += seconds
                wait_seconds[slot] += seconds
    most = grid.outlook.instances_max
    rooms = []
    for slot, kept in enumerate(now_seconds):
        free = grid.room(slot, most) - kept - spread.reserved_of(pool, slot)
        if grid.closed[slot]:
            free = wait_seconds[slot]
        rooms.append([max(0.0, min(free, room - kept)) for room in grid.rooms(slot)])
    shaping = Shaping(
        ordered=grid.serving, rooms=rooms, full=grid.full,
        prices=[grid.hour[slot] * grid.seconds[slot] / HOUR for slot in range(slots)],
        starts=[SURE * grid.hour[slot] * grid.start_hours for slot in range(slots)],
        floors=[
            max(grid.floors[slot], grid.instances_for(slot, now_seconds[slot]))
            for slot in range(slots)
        ],
        limits=[most] * slots, due=(),
    )  # fmt: skip
    share = PoolShare(
        grid=grid, shaping=shaping, waiting={}, at_once=at_once,
        instances=[
            grid.instances_for(slot, now_seconds[slot] + wait_seconds[slot])
            for slot in range(slots)
        ],
    )  # fmt: skip
    return share.with_waiting(waiting, demands)


def gather_remainders(
    shares: list[PoolShare], shapes: list[list[int]], demands: Sequence[Demand]
) -> None:
    """Moves a pool's little work to another pool, where that saves more than it costs. Changes both lists."""
    for source, share in enumerate(shares):
        start_seconds = share.grid.start_hours * HOUR * share.grid.outlook.speed
        if not 0 < share.seconds < REMAINDER * start_seconds:
            continue
        best, saved_most = None, 1e-6
        for target, other in enumerate(shares):
            if target == source or any(target not in demands[n].pools for n in share.waiting):
                continue
            both = dict(other.waiting)
            for number, seconds in share.waiting.items():
                both[number] = both.get(number, 0.0) + seconds
            taken = other.with_waiting(both, demands)
            shape = list(shapes[target])
            if not taken.shaping.covered(shape, 1):
                continue
            shape = join_starts(taken.shaping, shape)
            left = share.with_waiting({}, demands)
            left_shape = join_starts(left.shaping, left.shaping.floors)
            saved = (
                share.shaping.cost(shapes[source]) + other.shaping.cost(shapes[target])
                - left.shaping.cost(left_shape) - taken.shaping.cost(shape)
            )  # fmt: skip
            if saved > saved_most:
                best, saved_most = (target, taken, shape, left, left_shape), saved
        if best is not None:
            target, shares[target], shapes[target], shares[source], shapes[source] = best


def wait_for_company(situation: Situation, share: PoolShare, shape: list[int]) -> list[int]:
    """The shape without a start now for less work than is worth it, if no deadline needs it now."""
    shaping, outlook = share.shaping, share.grid.outlook
    ahead = situation.now + outlook.cold_start_seconds - situation.starts_at
    soon = min(len(shape), int(ahead // situation.slot_seconds) + 1)
    held = [max(shaping.floors[slot], min(shape[slot], shaping.ordered)) for slot in range(soon)]
    if held == shape[:soon]:
        return shape
    worth = _worthwhile(outlook) * share.grid.start_hours * HOUR * outlook.speed
    if _new_seconds(shaping, shape, held) >= worth:
        return shape
    waiting = replace(shaping, limits=[*held, *shaping.limits[soon:]])
    later = [*held, *shape[soon:]]
    if not waiting.covered(later, 1):
        return shape
    waiting.trim(later)
    return waiting.idled(later)


def _worthwhile(outlook: PoolOutlook) -> float:
    busy = outlook.running + outlook.starting > 0
    rested = 0.0 if busy else min(1.0, outlook.idle_seconds / REST_SECONDS)
    return WORTHWHILE_AGAIN + rested * (WORTHWHILE - WORTHWHILE_AGAIN)


def _new_seconds(shaping: Shaping, shape: Sequence[int], held: Sequence[int]) -> float:
    """Work-seconds of the instances that are to start now, until they go."""
    seconds, begun = 0.0, False
    for slot, instances in enumerate(shape):
        below = held[slot] if slot < len(held) else max(shaping.floors[slot], shaping.ordered)
        if instances > below:
            begun = True
            seconds += shaping.rooms[slot][instances] - shaping.rooms[slot][below]
        elif begun:
            break
    total = shaping.due[-1][1] if shaping.due else 0.0
    return min(seconds, total)
