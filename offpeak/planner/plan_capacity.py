"""The capacity plan: which pools get how many instances in which slots, and which runs may start now.

    1. spread     deadlines first, on the cheapest cells that each may use; nothing else may cost a deadline
    2. shape      in each pool, fewer and longer stretches of instances where that saves more than it costs
    3. gather     a pool's small remainder goes to another that works anyway; a start for scraps waits for company,
                  unless a window presses
    4. schedule   in each pool the earliest deadline first, which is how work is dispatched

Expected work (P50) is what is placed; what it may take beyond that (P90) is kept free in the last slots before its
deadline, so that work that takes longer ends in time as well. Pure: same situation, same plan. A plan is made anew
every few minutes; instances that serve have their start behind them, so they go on unless another hour is cheaper by
more than a start.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from offpeak.core.plan import CapacityPlan, PoolPlan, Situation, WorkDue
from offpeak.planner.join_starts import join_starts
from offpeak.planner.plan_grid import PoolGrid, pool_grid
from offpeak.planner.schedule_runs import schedule_runs
from offpeak.planner.shape_pools import PoolShare, gather_remainders, pool_share, wait_for_company
from offpeak.planner.spread_work import Demand, Spread

SURE_P90 = 1.2
"""Of P50: work that nine times of ten takes no longer is known, by its own pace (estimate_completion.py)."""
SURE_SHARE = 0.1
"""Of the time that such work takes with all instances: about two standard deviations of pace and estimate together."""


def plan(situation: Situation) -> CapacityPlan:
    """O(cells · log cells + deadlines · log deadlines) to spread, and some dozen passes over the slots to shape."""
    demands, grids, slots = _laid_out(situation)
    spread, short = _spread(grids, demands, slots)
    shares = [pool_share(grid, number, spread, slots) for number, grid in enumerate(grids)]
    shapes = [join_starts(share.shaping, share.instances) for share in shares]
    gather_remainders(shares, shapes, demands)
    shapes = [
        wait_for_company(situation, share, shape)
        for share, shape in zip(shares, shapes, strict=True)
    ]
    scheduled = schedule_runs(situation, demands, short, shares, shapes)
    return CapacityPlan(
        made_at=situation.now, starts_at=situation.starts_at, slot_seconds=situation.slot_seconds,
        pools=tuple(
            _pool_plan(situation, share, shape, seconds)
            for share, shape, seconds in zip(shares, shapes, scheduled.seconds, strict=True)
        ),
        runs=scheduled.runs, due_by=scheduled.due_by,
        cost=sum(
            share.shaping.cost(shape) for share, shape in zip(shares, shapes, strict=True)
        ),
    )  # fmt: skip


def plan_spread(situation: Situation) -> tuple[Spread, list[PoolGrid]]:
    """The first step alone: which cells the work goes to at the least price, starts not counted."""
    demands, grids, slots = _laid_out(situation)
    return _spread(grids, demands, slots)[0], grids


def _laid_out(situation: Situation) -> tuple[list[Demand], list[PoolGrid], int]:
    """The work, the pools, and how many slots matter."""
    demands = _demands(situation)
    slots = max([1, *(demand.until_latest for demand in demands)]) if situation.slots else 0
    grids = [pool_grid(situation, outlook, situation.slots) for outlook in situation.pools]
    return demands, grids, slots


def _demands(situation: Situation) -> list[Demand]:
    """Work that differs in nothing that matters here is one."""
    numbers = {outlook.pool: number for number, outlook in enumerate(situation.pools)}
    everywhere = tuple(range(len(numbers)))
    end = situation.starts_at + situation.slots * situation.slot_seconds
    found: dict[tuple[int, int, tuple[int, ...], bool, bool], Demand] = {}
    for work in sorted(situation.work, key=lambda each: (each.deadline, each.run_id)):
        pools = everywhere
        if work.pools is not None:
            pools = tuple(sorted(numbers[pool] for pool in work.pools if pool in numbers))
        until = _until(situation, work, _margin(situation, work))
        until_latest = _until_latest(situation, work)
        now, rolls = work.now or until == 0, work.deadline > end
        key = (until, until_latest, pools, now, rolls)
        if key not in found:
            found[key] = Demand(
                until=until_latest if now else until, until_latest=until_latest, pools=pools,
                now=now, rolls=rolls,
            )  # fmt: skip
        found[key].add(work)
    return list(found.values())


def _margin(situation: Situation, work: WorkDue) -> float:
    """Seconds. Half of it is for work that turns out longer than was thought. Work whose own pace was measured needs of
    that half a share of what it still takes with all instances, at most: the less is left, the less can be wrong."""
    full = situation.margin_seconds
    if work.seconds_p90 > SURE_P90 * work.seconds_p50:
        return full
    room = sum(
        outlook.instances_max * outlook.speed
        for outlook in situation.pools
        if work.pools is None or outlook.pool in work.pools
    )
    return min(full, full / 2 + SURE_SHARE * work.seconds_p50 / room) if room else full


def _until(situation: Situation, work: WorkDue, margin_seconds: float) -> int:
    """Slots that end so long before the deadline."""
    left = work.deadline - situation.starts_at - margin_seconds
    return max(0, min(situation.slots, int(left // situation.slot_seconds)))


def _until_latest(situation: Situation, work: WorkDue) -> int:
    """Without a margin. What is due within the slot that is now may use it."""
    until = _until(situation, work, 0.0)
    return max(until, min(1, situation.slots)) if work.deadline > situation.now else until


def _spread(
    grids: Sequence[PoolGrid], demands: Sequence[Demand], slots: int
) -> tuple[Spread, list[float]]:
    """Pools that keep instances in any case are two rows: those cost nothing more."""
    spread = Spread(slots)
    for number, grid in enumerate(grids):
        below = [grid.room(slot, grid.floors[slot]) for slot in range(slots)]
        most = [grid.room(slot, grid.outlook.instances_max) for slot in range(slots)]
        if any(below):
            spread.add_row(number, below, [0.0] * slots, [False] * slots)
        above = [room - kept for room, kept in zip(most, below, strict=True)]
        spread.add_row(number, above, [grid.rate(slot) for slot in range(slots)], grid.closed)
    short = spread.place(demands)
    return spread, [0.0 if d.rolls else left for d, left in zip(demands, short, strict=True)]


def _pool_plan(
    situation: Situation, share: PoolShare, shape: Sequence[int], seconds: Sequence[float]
) -> PoolPlan:
    grid = share.grid
    rest = situation.slots - len(shape)
    instances = (*shape, *grid.floors[len(shape) :])
    return PoolPlan(
        pool=grid.outlook.pool, region=grid.outlook.region, instances=instances,
        seconds=(*seconds, *[0.0] * rest),
        cold_start_seconds=grid.outlook.cold_start_seconds,
        why=_why(situation, grid, instances, sum(seconds)),
    )  # fmt: skip


def _why(situation: Situation, grid: PoolGrid, instances: Sequence[int], seconds: float) -> str:
    override = grid.outlook.override
    said = ""
    if override is not None and override.until > situation.now:
        said = f"An operator's {override.kind} until {_clock(override.until)}. "
    first = next((slot for slot, n in enumerate(instances) if n), None)
    if first is None:
        return said + "Nothing to do."
    last = next((s for s in range(first, len(instances)) if not instances[s]), len(instances))
    begin, end = (situation.starts_at + s * situation.slot_seconds for s in (first, last))
    most = max(instances[first:last])
    span = f"{most} instance{'s' if most > 1 else ''} at most until {_clock(end)}"
    work = f"{seconds / 3_600:.1f} instance-hours of work"
    if first == 0:
        return f"{said}Works now: {span}, for {work}."
    return f"{said}Waits until {_clock(begin)} for cheaper hours or for company, then {span}, for {work}."


def _clock(when: float) -> str:
    return f"{datetime.fromtimestamp(when, UTC):%d %b %H:%M} UTC"
