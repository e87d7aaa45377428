"""Whether a shape bears that its starts come late: a region may have no instance for a while.

Instances that serve need no start, and instances that are left free can catch up. So a plan may use half of the margin
before its deadlines where each of its starts, were it late by all of the margin, left room enough for what is due:

    what is done before it  +  meanwhile, those that serve  +  afterwards, all there may be   ≥   what is due by then
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate

from offpeak.core.plan import Situation
from offpeak.planner.shape_pools import PoolShare
from offpeak.planner.spread_work import Demand

SLACK = 1e-3
"""Work-seconds by which a sum may be off."""


def bears_late_starts(
    situation: Situation, share: PoolShare, shape: Sequence[int], demands: Sequence[Demand]
) -> bool:
    """Instances that are on their way count as starts: whether they come nobody knows."""
    late = -int(-situation.margin_seconds // situation.slot_seconds)
    slots = len(shape)
    rooms = [
        [max(0.0, room - sum(kept.values())) for room in share.grid.rooms(slot)]
        for slot, kept in enumerate(share.at_once)
    ]
    done = list(accumulate((r[n] for r, n in zip(rooms, shape, strict=True)), initial=0.0))
    most = list(accumulate((r[-1] for r in rooms), initial=0.0))
    due = _due(share, demands)
    before = share.grid.outlook.running
    for slot, instances in enumerate(shape):
        if instances > before:
            after = min(slots, slot + late)
            meanwhile = [0.0, *accumulate(rooms[at][before] for at in range(slot, after))]
            for until, seconds in due:
                if until <= slot:
                    continue
                begun = min(after, until)
                reached = done[slot] + meanwhile[begun - slot] + most[until] - most[begun]
                if reached < seconds - SLACK:
                    return False
        before = instances
    return True


def _due(share: PoolShare, demands: Sequence[Demand]) -> list[tuple[int, float]]:
    """Work-seconds that can wait, added up, by the slot that their deadline itself lies in."""
    due: dict[int, float] = defaultdict(float)
    for number, seconds in share.waiting.items():
        due[demands[number].until_latest] += seconds
    return list(zip(sorted(due), accumulate(due[until] for until in sorted(due)), strict=True))
