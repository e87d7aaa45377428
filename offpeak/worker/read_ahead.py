"""A shard's lines in stretches, read and put in order on a thread while the stretch before is worked on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from itertools import islice

from offpeak.core.errors import Unavailable
from offpeak.core.ports import Reader
from offpeak.core.shard import Probe, Segment
from offpeak.wire.segments import read_lines, read_lines_between

STRETCH_LINES_MAX = 10_000
STRETCH_BYTES_MAX = 64_000_000
"""A shard of the default size is one stretch: so much is put in order at once, and held."""

NumberedLine = tuple[int, bytes]
Prepare = Callable[[Sequence[NumberedLine]], Sequence[NumberedLine]]
OnThread = Callable[
    [Callable[[], Sequence[NumberedLine] | None]], Awaitable[Sequence[NumberedLine] | None]
]


class LineSource:
    """`prepare` leaves out and reorders lines of a stretch; of a `probe` there are no other lines. Begins anew where it
    was when reading breaks off, so that `take` may be called again after Unavailable."""

    def __init__(
        self, reader: Reader, segments: Sequence[Segment], prepare: Prepare = lambda lines: lines,
        *, probe: Probe | None = None,
    ) -> None:  # fmt: skip
        self._reader = reader
        self._segments = segments
        self._prepare = prepare
        self._probe = probe
        self._lines = self._read()
        self._taken = 0

    def take(self) -> Sequence[NumberedLine] | None:
        """The next stretch; None at the end."""
        stretch: list[NumberedLine] = []
        stretch_bytes = 0
        try:
            for line in islice(self._lines, STRETCH_LINES_MAX):
                stretch.append(line)
                stretch_bytes += len(line[1])
                if stretch_bytes >= STRETCH_BYTES_MAX:
                    break
        except Unavailable:
            self._lines = islice(self._read(), self._taken, None)
            raise
        self._taken += len(stretch)
        return self._prepare(stretch) if stretch else None

    def _read(self) -> Iterator[NumberedLine]:
        probe = self._probe
        if probe is None:
            return read_lines(self._reader, self._segments)
        return read_lines_between(self._reader, self._segments, probe.first, probe.stop)


async def read_ahead(
    source: LineSource, on_thread: OnThread
) -> AsyncGenerator[Sequence[NumberedLine], None]:
    """Every stretch of the source. At most two are held."""
    ahead = asyncio.ensure_future(on_thread(source.take))
    try:
        while (stretch := await ahead) is not None:
            ahead = asyncio.ensure_future(on_thread(source.take))
            yield stretch
    finally:
        ahead.cancel()
