"""Free cells in the order of what they cost: a pool's work-seconds in a slot, until somebody takes them."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

TINY = 1e-6
"""Work-seconds that are none."""


class CheapestCells:
    """The free cells of some rows, the cheapest first, of slots up to a deadline that only grows."""

    def __init__(
        self, rows: Sequence[int], free: Sequence[Sequence[float]], rates: Sequence[Sequence[float]],
        closed: Sequence[Sequence[bool]],
    ) -> None:  # fmt: skip
        self._rows = rows
        self._free = free
        self._rates = rates
        self._closed = closed
        self._reached = 0
        self._heap: list[tuple[float, int, int]] = []

    def reach(self, until: int) -> None:
        for slot in range(self._reached, until):
            for row in self._rows:
                if not self._closed[row][slot]:
                    heapq.heappush(self._heap, (self._rates[row][slot], slot, row))
        self._reached = max(self._reached, until)

    def first(self) -> tuple[int, int] | None:
        while self._heap:
            _, slot, row = self._heap[0]
            if self._free[row][slot] > TINY:
                return row, slot
            heapq.heappop(self._heap)
        return None
