"""The memory that uploads may take, all together: who comes when it is given out waits, and is then sent away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from offpeak.core.errors import Unavailable

WAIT_SECONDS_MAX = 30.0


class Buffers:
    """`bytes_max` in all. An upload reserves what it may hold at its worst before its first byte is read."""

    def __init__(self, bytes_max: int, wait_seconds_max: float = WAIT_SECONDS_MAX) -> None:
        self._bytes_max = bytes_max
        self._wait_seconds_max = wait_seconds_max
        self._reserved = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def reserved(self, count: int) -> AsyncIterator[None]:
        """Raises Unavailable when there is no room for long. What is larger than all there is takes it all."""
        count = min(count, self._bytes_max)
        async with self._changed:
            try:
                async with asyncio.timeout(self._wait_seconds_max):
                    await self._changed.wait_for(lambda: self._reserved + count <= self._bytes_max)
            except TimeoutError:
                raise Unavailable("Too many uploads are under way.") from None
            self._reserved += count
        try:
            yield
        finally:
            async with self._changed:
                self._reserved -= count
                self._changed.notify_all()
