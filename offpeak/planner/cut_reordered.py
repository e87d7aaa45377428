"""Cuts lines that were rewritten, chunk by chunk, in the order of their prefixes into shards that no chunk knows of.

All chunks' lines together in the order of their keys are never laid out. What is found is where to cut: the keys of a
sample of the lines part all of them into cells, each a stretch of every chunk, and cells are packed into shards. Lines
of one key are never parted by it, so that a group meets one shard; but a cell that is over a shard's limits, because
its one group is, is split line by line, chunk after chunk.

O(n log n) in the chunks, where lines are sorted; here O(cells · chunks · log n), some ten cells a shard.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from offpeak.core.draft import Chunk, ChunkIndex
from offpeak.core.shard import PlannedShard
from offpeak.planner.cut_shards import SEGMENTS_MAX, ShardLimits

CHUNK_BYTES_MAX = 192 * 2**20
"""What one function holds in memory to sort it, under 512 MB with all else."""
CHUNK_LINES_MAX = 250_000
CHUNKS_MAX = SEGMENTS_MAX
"""A shard has a segment of each chunk at most, but for the few that begin or end in a split group."""
CELLS_A_SHARD = 16


class ChunkCutter:
    """Consecutive shards into chunks, fed shard by shard with the bytes of its manifest line."""

    def __init__(
        self, *, bytes_max: int = CHUNK_BYTES_MAX, lines_max: int = CHUNK_LINES_MAX
    ) -> None:
        self._bytes_max = bytes_max
        self._lines_max = lines_max
        self._chunks: list[Chunk] = []
        self._start = self._stop = self._bytes = self._lines = 0

    def add(self, shard: PlannedShard, line_bytes: int) -> None:
        is_full = (
            self._bytes + shard.bytes > self._bytes_max
            or self._lines + shard.lines > self._lines_max
        )
        if is_full:
            self._end()
        self._bytes += shard.bytes
        self._lines += shard.lines
        self._stop += line_bytes

    def finish(self) -> tuple[Chunk, ...]:
        self._end()
        return tuple(self._chunks)

    def _end(self) -> None:
        if self._stop > self._start:
            self._chunks.append(Chunk(start=self._start, stop=self._stop))
        self._start, self._bytes, self._lines = self._stop, 0, 0


@dataclass(frozen=True, slots=True)
class Slice:
    """The lines [first, stop) of a chunk, counted from 0 as they lie in its object."""

    chunk: int
    first: int
    stop: int


def cut_reordered(chunks: Sequence[ChunkIndex], limits: ShardLimits) -> Iterator[list[Slice]]:
    """The shards: each a slice a chunk, in the chunks' order. Every line comes once."""
    packer = _Packer(chunks, limits)
    for cell in _cells(chunks, _cell_lines(chunks, limits)):
        yield from packer.add(cell)
    yield from packer.finish()


def _cell_lines(chunks: Sequence[ChunkIndex], limits: ShardLimits) -> int:
    lines = sum(len(chunk.keys) for chunk in chunks)
    all_bytes = sum(chunk.stops[-1] for chunk in chunks if chunk.stops)
    of_shard = min(limits.lines_max, limits.bytes_max * lines // max(1, all_bytes))
    return max(1, of_shard // CELLS_A_SHARD)


def _cells(chunks: Sequence[ChunkIndex], cell_lines: int) -> Iterator[list[Slice]]:
    """Of about so many lines, but a key's lines are all in one."""
    sampled = sorted(key for chunk in chunks for key in chunk.keys[::cell_lines])
    # What is sampled twice is a large group, which gets a cell of its own.
    large = {key + 1 for key, following in pairwise(sampled) if key == following}
    bounds = sorted({*sampled, *large})
    begun = [0] * len(chunks)
    for bound in [*bounds[1:], None]:
        cell: list[Slice] = []
        for number, chunk in enumerate(chunks):
            first, keys = begun[number], chunk.keys
            stop = len(keys) if bound is None else bisect_left(keys, bound, first)
            if stop > first:
                cell.append(Slice(number, first, stop))
                begun[number] = stop
        if cell:
            yield cell


class _Packer:
    """Cells in, full shards out."""

    def __init__(self, chunks: Sequence[ChunkIndex], limits: ShardLimits) -> None:
        self._chunks = chunks
        self._limits = limits
        self._slices: dict[int, Slice] = {}
        self._lines = 0
        self._bytes = 0

    def add(self, cell: Sequence[Slice]) -> Iterator[list[Slice]]:
        lines = sum(each.stop - each.first for each in cell)
        cell_bytes = sum(map(self._bytes_of, cell))
        if not self._has_room(lines, cell_bytes):
            yield from self.finish()
        if self._has_room(lines, cell_bytes):
            for each in cell:
                self._put(each)
            return
        for each in cell:
            yield from self._split(each)

    def finish(self) -> Iterator[list[Slice]]:
        if self._slices:
            yield [self._slices[chunk] for chunk in sorted(self._slices)]
        self._slices, self._lines, self._bytes = {}, 0, 0

    def _split(self, rest: Slice) -> Iterator[list[Slice]]:
        """As many lines as the shard has room for, and again; one line at least, however long."""
        while rest.first < rest.stop:
            fitting = self._fitting(rest)
            if not fitting and self._slices:
                yield from self.finish()
                continue
            middle = rest.first + max(1, fitting)
            self._put(Slice(rest.chunk, rest.first, middle))
            rest = Slice(rest.chunk, middle, rest.stop)

    def _fitting(self, rest: Slice) -> int:
        stops = self._chunks[rest.chunk].stops
        begin = stops[rest.first - 1] if rest.first else 0
        room = self._limits.bytes_max - self._bytes
        by_bytes = bisect_right(stops, begin + room, rest.first, rest.stop) - rest.first
        return min(by_bytes, self._limits.lines_max - self._lines)

    def _put(self, new: Slice) -> None:
        before = self._slices.get(new.chunk)
        self._slices[new.chunk] = Slice(new.chunk, before.first, new.stop) if before else new
        self._lines += new.stop - new.first
        self._bytes += self._bytes_of(new)

    def _bytes_of(self, each: Slice) -> int:
        stops = self._chunks[each.chunk].stops
        return stops[each.stop - 1] - (stops[each.first - 1] if each.first else 0)

    def _has_room(self, lines: int, more_bytes: int) -> bool:
        limits = self._limits
        return (
            self._lines + lines <= limits.lines_max and self._bytes + more_bytes <= limits.bytes_max
        )
