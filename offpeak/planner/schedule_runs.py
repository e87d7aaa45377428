"""When each run is to begin and to end: the earliest deadline first in each pool, as work is dispatched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from offpeak.core.plan import RunPlan, Situation
from offpeak.planner.cheapest_cells import TINY
from offpeak.planner.shape_pools import PoolShare
from offpeak.planner.spread_work import Demand

LACKING = 1e-3
"""Work-seconds below which nothing is short: sums of floats are off by less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """`seconds` are work-seconds done in each pool and slot."""

    runs: tuple[RunPlan, ...]
    due_by: Mapping[str, float]
    seconds: Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Work of one demand in one pool, without a break."""

    begin: float
    end: float
    seconds: float
    pool: int


def schedule_runs(
    situation: Situation, demands: Sequence[Demand], short: Sequence[float],
    shares: Sequence[PoolShare], shapes: Sequence[Sequence[int]],
) -> Scheduled:  # fmt: skip
    pieces: dict[int, list[_Piece]] = defaultdict(list)
    seconds = [
        _work_off(situation, number, share, shape, demands, pieces)
        for number, (share, shape) in enumerate(zip(shares, shapes, strict=True))
    ]
    soon = situation.now + situation.slot_seconds
    due_by: dict[str, float] = {}
    runs: list[RunPlan] = []
    for number, demand in enumerate(demands):
        found = sorted(pieces[number], key=lambda piece: piece.begin)
        begun = {piece.pool for piece in found if piece.begin < soon and shapes[piece.pool][0] > 0}
        pools = demand.pools if demand.now else sorted(begun)
        takes = tuple(situation.pools[pool].pool for pool in pools)
        for pool in takes:
            latest = max(work.deadline for work in demand.work)
            due_by[pool] = max(latest, due_by.get(pool, latest))
        runs.extend(_runs(situation, demand, found, takes, short[number]))
    return Scheduled(runs=tuple(runs), due_by=due_by, seconds=seconds)


def _work_off(
    situation: Situation, pool: int, share: PoolShare, shape: Sequence[int],
    demands: Sequence[Demand], pieces: dict[int, list[_Piece]],
) -> list[float]:  # fmt: skip
    """Adds what the pool does of each demand to `pieces`: in each slot what can't wait, then by the
    earliest deadline."""
    grid = share.grid
    waiting = sorted(share.waiting.items(), key=lambda each: demands[each[0]].until)
    next_up, left = 0, waiting[0][1] if waiting else 0.0
    done = [0.0] * len(shape)
    for slot, instances in enumerate(shape):
        room = grid.room(slot, instances)
        if room <= TINY:
            continue
        end = situation.starts_at + (slot + 1) * situation.slot_seconds
        length = grid.seconds[slot]
        if not grid.serving:
            length = grid.late[slot] / grid.outlook.speed

        worked = list(share.at_once[slot].items())
        free = room - sum(seconds for _, seconds in worked)
        while next_up < len(waiting) and free > TINY:
            took = min(left, free)
            worked.append((waiting[next_up][0], took))
            free -= took
            left -= took
            if left <= TINY:
                next_up += 1
                left = waiting[next_up][1] if next_up < len(waiting) else 0.0
        for number, seconds in worked:
            begin_at = end - length * (1 - done[slot] / room)
            done[slot] += seconds
            end_at = end - length * (1 - done[slot] / room)
            pieces[number].append(_Piece(begin_at, end_at, seconds, pool))
    return done


def _runs(
    situation: Situation, demand: Demand, pieces: Sequence[_Piece], takes: tuple[str, ...],
    short: float,
) -> list[RunPlan]:  # fmt: skip
    """A demand's runs share its pieces in their order; what is short is the last ones'."""
    in_all = sum(work.seconds_p90 for work in demand.work)
    runs: list[RunPlan] = []
    begun, at, reached = 0.0, 0, 0.0
    for work in demand.work:
        starts_at, at, reached = _when(pieces, begun, at, reached)
        begun += work.seconds_p50
        ends_at, _, _ = _when(pieces, begun - TINY, at, reached, end=True)
        in_all -= work.seconds_p90
        lacks = min(work.seconds_p90, max(0.0, short - in_all))
        if not pieces:
            starts_at = ends_at = situation.now if demand.now else work.deadline
        runs.append(
            RunPlan(
                run_id=work.run_id, starts_at=starts_at, ends_at=max(starts_at, ends_at),
                takes=takes, short_seconds=lacks if lacks > LACKING else 0.0,
            )
        )  # fmt: skip
    return runs


def _when(
    pieces: Sequence[_Piece], seconds: float, at: int, reached: float, *, end: bool = False
) -> tuple[float, int, float]:
    """When so much of a demand is done; with the piece that this is in, and what was done before it."""
    while at < len(pieces) - 1 and reached + pieces[at].seconds <= seconds + (0 if end else TINY):
        reached += pieces[at].seconds
        at += 1
    if not pieces:
        return 0.0, at, reached
    piece = pieces[at]
    share = min(1.0, max(0.0, (seconds - reached) / piece.seconds))
    return piece.begin + share * (piece.end - piece.begin), at, reached
