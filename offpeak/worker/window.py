"""The admission window: how many requests an engine has in flight, shared by the shards on it."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count


class AdmissionWindow:
    """A semaphore that gives a free slot to the oldest shard that waits for one. `age` is lower for an older shard."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError("A window needs room for one request.")
        self._free = size
        self._arrivals = count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    async def acquire(self, age: int) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (age, next(self._arrivals), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Gives the slot on. Waiters that were cancelled meanwhile are passed over."""
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
