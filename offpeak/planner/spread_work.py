"""Spreads work over pools and slots: by the earliest deadline first, each to the cheapest cells that it may use.

A cell is a pool in a slot. All work is there now and is due at the end of some slot, so the cells that it may use
are nested in time. Where all work may use all pools, taking deadlines in their order and for each the cheapest cells
still free is not a heuristic but the optimum of the linear program: of what an optimal plan does before the first
deadline, the cheapest cells may as well be the first work's (Edmonds 1971 on greedy algorithms over matroids; EDF's
feasibility, Liu & Layland 1973). Residency breaks the nesting, and so does work that doesn't want to wait. Then what
lies in the way moves along an augmenting path (Ford & Fulkerson 1956) to the cheapest free cell that one leads to,
which is the shortest path of a minimum-cost flow (Jewell 1958): no deadline that can be met is missed, and no more is
paid, for the order in which work was placed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from offpeak.core.plan import WorkDue
from offpeak.planner.cheapest_cells import TINY, CheapestCells


@dataclass(slots=True, kw_only=True)
class Demand:
    """Work that is due at the end of slot `until` - 1, margin deducted, and may run in `pools`, numbers of them.
    `until_latest` is the same without the margin. `seconds` are expected, `reserve` may come on top. `rolls` is for
    work that is due after the last slot: what doesn't fit is left to later plans. `presses` is set once it fits no
    other way: it may use the margin then, and cells that are closed to what can wait."""

    until: int
    until_latest: int
    pools: tuple[int, ...]
    seconds: float = 0.0
    reserve: float = 0.0
    now: bool = False
    rolls: bool = False
    presses: bool = False
    work: list[WorkDue] = field(default_factory=list)

    def add(self, work: WorkDue) -> None:
        self.seconds += work.seconds_p50
        self.reserve += work.seconds_p90 - work.seconds_p50
        self.work.append(work)


class Spread:
    """Rows of cells: a pool has one, or two where a part of its instances costs nothing more. `placed[row][slot]` tells
    how much of which demand, by its number, is in a cell; `reserved` what is kept free there for work that takes longer
    than expected."""

    def __init__(self, slots: int) -> None:
        self.demands: Sequence[Demand] = ()
        self.slots = slots
        self._pools: list[int] = []
        self._free: list[list[float]] = []
        self._rates: list[Sequence[float]] = []
        self._closed: list[Sequence[bool]] = []
        self._placed: list[list[dict[int, float]]] = []
        self._reserved: list[list[float]] = []
        self._rows: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._heaps: dict[tuple[int, ...], CheapestCells] = {}
        self._dead: set[tuple[int, int]] = set()

    def add_row(
        self, pool: int, free: Sequence[float], rates: Sequence[float], closed: Sequence[bool]
    ) -> None:
        """Work-seconds of the pool in each slot, the price of one, and whether the cell is closed to what can wait."""
        self._pools.append(pool)
        self._free.append(list(free))
        self._rates.append(rates)
        self._closed.append(closed)
        self._placed.append([{} for _ in free])
        self._reserved.append([0.0] * len(free))

    def of_pool(self, pool: int, slot: int) -> Iterator[tuple[int, float]]:
        """Demands' numbers, and work-seconds of each."""
        for row, each in enumerate(self._pools):
            if each == pool:
                yield from self._placed[row][slot].items()

    def reserved_of(self, pool: int, slot: int) -> float:
        rows = [row for row, each in enumerate(self._pools) if each == pool]
        return sum(self._reserved[row][slot] for row in rows)

    def place(self, demands: Sequence[Demand]) -> list[float]:
        """Work-seconds of each demand that fit nowhere, in the order of `demands`: reserves included."""
        self.demands = demands
        numbers = range(len(self.demands))
        short = [0.0] * len(self.demands)
        for number in sorted(numbers, key=lambda n: (not self.demands[n].now, self._due(n), n)):
            demand = self.demands[number]
            if demand.now:
                left = self._fill(number, demand.seconds + demand.reserve, self._earliest(demand))
            else:
                unreserved = self._reserve(demand)
                left = self._cheapest(number, demand.seconds) + unreserved
            short[number] = self._augment(number, left)
        self._press(short)
        return short

    def _due(self, number: int) -> tuple[int, int]:
        demand = self.demands[number]
        return demand.until, len(demand.pools)

    # ── cells of a demand ────────────────────────────────────────────────────────────────────────────────────────────

    def _rows_of(self, demand: Demand) -> tuple[int, ...]:
        rows = self._rows.get(demand.pools)
        if rows is None:
            rows = tuple(row for row, pool in enumerate(self._pools) if pool in demand.pools)
            self._rows[demand.pools] = rows
        return rows

    def _earliest(self, demand: Demand) -> Iterable[tuple[int, int]]:
        rows = self._rows_of(demand)
        for slot in range(demand.until):
            for row in sorted(rows, key=lambda row: self._rates[row][slot]):
                if self._free[row][slot] > TINY:
                    yield row, slot

    def _reserve(self, demand: Demand) -> float:
        """Keeps the last cells before the deadline free: work that takes longer than expected goes on into them."""
        left = demand.reserve
        for slot in range(demand.until - 1, -1, -1):
            if left <= TINY:
                return 0.0
            for row in self._rows_of(demand):
                kept = min(left, self._free[row][slot])
                self._free[row][slot] -= kept
                self._reserved[row][slot] += kept
                left -= kept
        return left

    def _cheapest(self, number: int, seconds: float) -> float:
        """Each time the cheapest cell there is: its own, or another's that moves there out of one of its own."""
        demand = self.demands[number]
        own = self._heap(self._rows_of(demand), demand.until)
        everyones = self._heap(tuple(range(len(self._pools))), demand.until)
        blocked = False
        while seconds > TINY:
            cell, cheaper = own.first(), everyones.first()
            if not blocked and cheaper is not None and self._is_cheaper(cheaper, cell):
                path = self._path(number)
                if path is not None and self._is_cheaper(path[-1][1], cell):
                    seconds -= self._shift(seconds, path)
                    continue
                blocked = True
            if cell is None:
                break
            put = self._put(number, seconds, *cell)
            blocked = blocked and put == seconds
            seconds = put
        return seconds

    def _heap(self, rows: tuple[int, ...], until: int) -> CheapestCells:
        heap = self._heaps.get(rows)
        if heap is None:
            heap = CheapestCells(rows, self._free, self._rates, self._closed)
            self._heaps[rows] = heap
        heap.reach(until)
        return heap

    def _is_cheaper(self, cell: tuple[int, int], other: tuple[int, int] | None) -> bool:
        if other is None:
            return True
        return self._rates[cell[0]][cell[1]] < self._rates[other[0]][other[1]]

    def _fill(self, number: int, seconds: float, cells: Iterable[tuple[int, int]]) -> float:
        for row, slot in cells:
            if seconds <= TINY:
                break
            seconds = self._put(number, seconds, row, slot)
        return seconds

    def _put(self, number: int, seconds: float, row: int, slot: int) -> float:
        """Returns what is left of `seconds`."""
        put = min(seconds, self._free[row][slot])
        self._free[row][slot] -= put
        cell = self._placed[row][slot]
        cell[number] = cell.get(number, 0.0) + put
        return seconds - put

    # ── what doesn't fit ─────────────────────────────────────────────────────────────────────────────────────────────

    def _press(self, short: list[float]) -> None:
        """Lets what didn't fit use cells that are closed to others, and of the margin before its deadline no more than
        it needs; all of it only if deadlines would be missed otherwise."""
        pressing = sorted((n for n, left in enumerate(short) if left > TINY), key=self._due)
        for number in pressing:
            self.demands[number].presses = True
        for number in pressing:
            self._dead.clear()
            short[number] = self._augment(number, short[number])
            while short[number] > TINY and self._reach_further(number):
                short[number] = self._augment(number, short[number])
        if any(short[number] > TINY for number in pressing):
            for number in pressing:
                self.demands[number].until = self.demands[number].until_latest
            self._dead.clear()
            for number in pressing:
                short[number] = self._augment(number, short[number])

    def _reach_further(self, number: int) -> bool:
        """A slot of the margin more, if there is one."""
        demand = self.demands[number]
        if demand.until >= demand.until_latest:
            return False
        demand.until += 1
        self._dead.clear()
        return True

    def _augment(self, number: int, seconds: float) -> float:
        while seconds > TINY:
            path = self._path(number)
            if path is None:
                return seconds
            seconds -= self._shift(seconds, path)
        return 0.0

    def _path(self, number: int) -> list[tuple[int, tuple[int, int]]] | None:
        """The way to the cheapest free cell: demands, and the cell that each moves to; None if there is none. What
        moves leaves room for what follows, so that a way costs what its last cell does, however long it is.

        What a search without success has seen leads nowhere for good: no cell is ever freed."""
        came: dict[tuple[int, int], tuple[int, tuple[int, int] | None]] = {}
        reached: dict[tuple[int, bool], int] = {}
        seen = {number}
        queue: list[tuple[int, tuple[int, int] | None]] = [(number, None)]
        ends: list[tuple[int, int]] = []
        for mover, leaves in queue:
            for cell in self._cells(mover, reached):
                came[cell] = (mover, leaves)
                if self._free[cell[0]][cell[1]] > TINY:
                    ends.append(cell)
                for other in self._placed[cell[0]][cell[1]]:
                    if other not in seen:
                        seen.add(other)
                        queue.append((other, cell))
        if ends:
            return _walk(came, min(ends, key=lambda cell: (self._rates[cell[0]][cell[1]], cell)))
        self._dead.update(came)
        return None

    def _cells(
        self, number: int, reached: dict[tuple[int, bool], int]
    ) -> Iterator[tuple[int, int]]:
        """Those that the demand may use and that the search has not reached before: of a row, all up to some slot."""
        demand = self.demands[number]
        in_need = demand.now or demand.presses
        for row in self._rows_of(demand):
            for closed in (False, True) if in_need else (False,):
                begin = reached.get((row, closed), 0)
                for slot in range(begin, demand.until):
                    if self._closed[row][slot] is closed and (row, slot) not in self._dead:
                        yield row, slot
                reached[row, closed] = max(begin, demand.until)

    def _shift(self, seconds: float, path: list[tuple[int, tuple[int, int]]]) -> float:
        """Moves along the path what all of its steps allow. Each demand but the first leaves the cell that the one
        before it moves to."""
        end_row, end_slot = path[-1][1]
        moved = min(seconds, self._free[end_row][end_slot])
        for (_, (row, slot)), (mover, _) in pairwise(path):
            moved = min(moved, self._placed[row][slot][mover])
        self._free[end_row][end_slot] -= moved
        for step, (mover, (row, slot)) in enumerate(path):
            cell = self._placed[row][slot]
            cell[mover] = cell.get(mover, 0.0) + moved
            if step:
                left_row, left_slot = path[step - 1][1]
                left = self._placed[left_row][left_slot]
                left[mover] -= moved
                if left[mover] <= TINY:
                    del left[mover]
        return moved


def _walk(
    came: dict[tuple[int, int], tuple[int, tuple[int, int] | None]], end: tuple[int, int]
) -> list[tuple[int, tuple[int, int]]]:
    path: list[tuple[int, tuple[int, int]]] = []
    cell: tuple[int, int] | None = end
    while cell is not None:
        mover, leaves = came[cell]
        path.append((mover, cell))
        cell = leaves
    return path[::-1]
