"""A shard's lines in stretches, read on a thread while the stretch before is worked on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from itertools import islice

from offpeak.core.errors import Unavailable
from offpeak.core.ports import Reader
from offpeak.core.shard import Segment
from offpeak.wire.segments import read_lines

STRETCH_LINES_MAX = 256
STRETCH_BYTES_MAX = 4_000_000

NumberedLine = tuple[int, bytes]
OnThread = Callable[[Callable[[], list[NumberedLine]]], Awaitable[list[NumberedLine]]]


class LineSource:
    """Begins anew where it was when reading breaks off, so that `take` may be called again after Unavailable."""

    def __init__(self, reader: Reader, segments: Sequence[Segment]) -> None:
        self._reader = reader
        self._segments = segments
        self._lines = read_lines(reader, segments)
        self._taken = 0

    def take(self) -> list[NumberedLine]:
        """The next stretch; empty at the end."""
        stretch: list[NumberedLine] = []
        stretch_bytes = 0
        try:
            for line in islice(self._lines, STRETCH_LINES_MAX):
                stretch.append(line)
                stretch_bytes += len(line[1])
                if stretch_bytes >= STRETCH_BYTES_MAX:
                    break
        except Unavailable:
            self._lines = islice(read_lines(self._reader, self._segments), self._taken, None)
            raise
        self._taken += len(stretch)
        return stretch


async def read_ahead(source: LineSource, on_thread: OnThread) -> AsyncGenerator[NumberedLine, None]:
    """Every line of the source. At most two stretches are held."""
    ahead = asyncio.ensure_future(on_thread(source.take))
    try:
        while stretch := await ahead:
            ahead = asyncio.ensure_future(on_thread(source.take))
            for line in stretch:
                yield line
    finally:
        ahead.cancel()
