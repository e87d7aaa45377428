"""Shapes one pool so that it starts seldom: fewer and longer stretches of instances, at nearly the cheapest price.

What is cheapest slot by slot may be many scraps, each of which costs a cold start. From the instances that the cheapest
cells ask for, two moves are tried as long as one of them pays:

    drop   a stretch is left out; its work goes, deadlines first, to where one more instance costs least, with the start
           that it makes or saves
    fill   a gap between two stretches is bridged, and the dearest instances elsewhere that are not needed then go

A gap that costs less to idle through than a start does is idled through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from math import inf

from offpeak.planner.price_stretches import priced_shape

TINY = 1e-6
SLACK = 1e-3
"""Work-seconds by which a sum may be off."""
MOVES_MAX = 48
"""Shapes that are tried. What is left to gain after so many is a fraction of a start."""
LEVELS = 8
"""A pool of more instances is shaped by several at once."""


@dataclass(frozen=True, kw_only=True)
class Shaping:
    """One pool, for as many slots as its work is due in.

    `rooms[slot][n]` are the work-seconds that `n` instances have in a slot for work that can wait. `ordered` instances
    are there or on their way. `prices` are of an instance's slot, `starts` of a start that serves from this slot on,
    `full` the work-seconds of an instance that serves. `floors` and `limits` bound the instances. `due` are
    work-seconds that must be done before a slot, added up, in the order of slots.
    """

    ordered: int
    rooms: Sequence[Sequence[float]]
    full: Sequence[float]
    prices: Sequence[float]
    starts: Sequence[float]
    floors: Sequence[int]
    limits: Sequence[int]
    due: Sequence[tuple[int, float]]

    @cached_property
    def _paid(self) -> list[float]:
        return list(accumulate(self.prices, initial=0.0))

    def room(self, shape: Sequence[int]) -> list[float]:
        return [rooms[n] for rooms, n in zip(self.rooms, shape, strict=True)]

    def cost(self, shape: Sequence[int]) -> float:
        """Of the instances above the floor: their slots, their starts, gaps idled through; less what is over at the
        end, for an instance that has nothing to do is let go."""
        cost, end, before = 0.0, None, self.ordered
        last_on: list[int | None] = [0] * (self.ordered + 1) + [None] * max(self.limits, default=0)
        for slot, (instances, floor) in enumerate(zip(shape, self.floors, strict=True)):
            if instances > floor:
                cost += (instances - floor) * self.prices[slot]
                end = slot
            if instances == before:
                continue
            for level in range(before + 1, instances + 1):
                since = last_on[level]
                idle = inf if since is None else self._paid[slot] - self._paid[since]
                cost += min(self.starts[slot], idle)
            for level in range(instances + 1, before + 1):
                last_on[level] = slot
            before = instances
        if end is None or not self.due:
            return cost
        last = self.rooms[end]
        spare = min(
            sum(self.room(shape)) - self.due[-1][1], last[shape[end]] - last[shape[end] - 1]
        )
        return cost - max(0.0, spare) / max(self.full[end], TINY) * self.prices[end]

    def idled(self, shape: Sequence[int]) -> list[int]:
        """The shape, with the gaps that are cheaper to idle through than to start after."""
        idled = list(shape)
        for level in range(1, max(shape, default=0) + 1):
            since = 0 if level <= self.ordered else None
            for slot, instances in enumerate(shape):
                if instances < level:
                    continue
                if since is not None and self._paid[slot] - self._paid[since] < self.starts[slot]:
                    for gap in range(since, slot):
                        idled[gap] = max(idled[gap], level)
                since = slot + 1
        return idled

    def more_starts(self, shape: Sequence[int], slot: int) -> int:
        """Starts that one more instance in the slot makes: -1 where it joins two stretches."""
        here = shape[slot]
        before = shape[slot - 1] if slot else self.ordered
        after = shape[slot + 1] if slot + 1 < len(shape) else 0
        return (here >= before) - (after > here)

    # ── moves ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def covered(self, shape: list[int], step: int) -> bool:
        """Adds instances until every deadline is met, each where it costs least for what it brings. False if there are
        none left to add."""
        room = list(accumulate(self.room(shape), initial=0.0))
        if all(room[until] >= seconds - SLACK for until, seconds in self.due):
            return True
        offers = [self._offer(shape, slot) for slot in range(len(shape))]
        more = 0.0
        for until, seconds in self.due:
            # What was added lies before an earlier deadline, so it counts for all that follow.
            while room[until] + more < seconds - SLACK:
                best = min(range(until), key=offers.__getitem__)
                if offers[best] == inf:
                    return False
                before = self.rooms[best][shape[best]]
                shape[best] = min(self.limits[best], shape[best] + step)
                more += self.rooms[best][shape[best]] - before
                for slot in range(max(0, best - 1), min(len(shape), best + 2)):
                    offers[slot] = self._offer(shape, slot)
        return True

    def _offer(self, shape: Sequence[int], slot: int) -> float:
        """Price of a work-second of one more instance."""
        here, rooms = shape[slot], self.rooms[slot]
        if here >= self.limits[slot] or (gain := rooms[here + 1] - rooms[here]) <= TINY:
            return inf
        return (self.prices[slot] + self.more_starts(shape, slot) * self.starts[slot]) / gain

    def trim(self, shape: list[int]) -> None:
        """Takes away instances that no deadline needs, the dearest first; among equals the latest, for work goes first
        thing."""
        while True:
            slack = self._slack(shape)
            best, best_saved = None, TINY
            for slot, instances in enumerate(shape):
                if instances <= self.floors[slot]:
                    continue
                rooms = self.rooms[slot]
                if rooms[instances] - rooms[instances - 1] > slack[slot] + SLACK:
                    continue
                shape[slot] -= 1
                saved = self.prices[slot] + self.more_starts(shape, slot) * self.starts[slot]
                shape[slot] += 1
                if saved >= best_saved:
                    best, best_saved = slot, saved
            if best is None:
                return
            shape[best] -= 1

    def _slack(self, shape: Sequence[int]) -> list[float]:
        """For each slot, how many work-seconds of it and of those before it could be spared."""
        room = list(accumulate(self.room(shape), initial=0.0))
        slack = [inf] * (len(shape) + 1)
        for until, seconds in self.due:
            slack[until] = room[until] - seconds
        for slot in range(len(shape) - 1, -1, -1):
            slack[slot] = min(slack[slot], slack[slot + 1])
        return slack[1:]


def join_starts(shaping: Shaping, instances: Sequence[int]) -> list[int]:
    """The shape that is best, from the instances that the cheapest cells ask for."""
    shape = [max(n, floor) for n, floor in zip(instances, shaping.floors, strict=True)]
    step = -(-max(shape, default=0) // LEVELS) or 1
    shaping.trim(shape)
    cost = shaping.cost(shape)
    priced = priced_shape(shaping, step)
    if priced is not None and shaping.covered(priced, step):
        shaping.trim(priced)
        if (found := shaping.cost(priced)) < cost - TINY:
            shape, cost = priced, found
    for _ in range(MOVES_MAX):
        better = _better(shaping, shape, cost, step)
        if better is None:
            break
        shape, cost = better
    return shaping.idled(shape)


def _better(
    shaping: Shaping, shape: list[int], cost: float, step: int
) -> tuple[list[int], float] | None:
    stretches = _stretches(shape, shaping.floors, step)
    for begin, end, level in sorted(stretches, key=lambda each: each[1] - each[0]):
        tried = list(shape)
        for slot in range(begin, end):
            tried[slot] = max(shaping.floors[slot], min(tried[slot], level - 1))
        if shaping.covered(tried, step):
            shaping.trim(tried)
            if (found := shaping.cost(tried)) < cost - TINY:
                return tried, found
    for (_, gap_begin, level), (gap_end, _, other) in pairwise(stretches):
        if level != other:
            continue
        tried = list(shape)
        for slot in range(gap_begin, gap_end):
            tried[slot] = max(tried[slot], level)
        shaping.trim(tried)
        if (found := shaping.cost(tried)) < cost - TINY:
            return tried, found
    return None


def _stretches(
    shape: Sequence[int], floors: Sequence[int], step: int
) -> list[tuple[int, int, int]]:
    """Slots [begin, end) in which at least `level` instances serve, above the floor."""
    found: list[tuple[int, int, int]] = []
    for level in range(max(shape, default=0), 0, -step):
        begin = None
        for slot, instances in enumerate([*shape, 0]):
            on = instances >= level and slot < len(shape) and floors[slot] < level
            if on and begin is None:
                begin = slot
            elif not on and begin is not None:
                found.append((begin, slot, level))
                begin = None
    return found
