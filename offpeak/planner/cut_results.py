"""Shares the putting together of a large result file out among functions that run side by side.

Results that lie one after the other are *joined*: the file's parts, copied or gathered, in chunks.

Results whose lines lie among each other's are *merged* in two levels, so that no function reads all of them:

    shards' results ──groups──► sorted objects, each with a sparse index ──intervals of lines──► the file's parts

A group is a bounded number of bytes and of streams. What an interval has in each sorted object is known from its index,
to within an entry: enough to promise that it makes whole parts of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from offpeak.core.ports import PART_BYTES_MIN, PARTS_MAX
from offpeak.core.shard import ResultObject
from offpeak.core.sorted_index import SortedIndex
from offpeak.planner.join_pieces import MIB, Piece, Slice, join_pieces


@dataclass(frozen=True, slots=True, kw_only=True)
class AssemblyLimits:
    """Up to the `call_…` limits the function that ends a batch puts a file together by itself: 256 MiB take it some
    seconds. Beyond, chunks of about `chunk_bytes` are shared out, not many more than `chunks_max` (more bytes make
    larger ones). `streams_max` objects are merged at once, in blocks that take up `blocks_bytes` of memory; the entries
    of an index are `index_bytes` apart."""

    call_bytes_max: int = 256 * MIB
    call_pieces_max: int = 512
    chunk_bytes: int = 256 * MIB
    chunk_pieces: int = 256
    chunks_max: int = 100
    streams_max: int = 128
    blocks_bytes: int = 256 * MIB
    index_bytes: int = 64 * 1024
    part_bytes: int = 16 * MIB
    part_bytes_min: int = PART_BYTES_MIN
    pieces_at_once: int = 4


LIMITS = AssemblyLimits()
IN_ONE_CALL = AssemblyLimits(call_bytes_max=1 << 63, call_pieces_max=PARTS_MAX, streams_max=1 << 63)
"""For whoever can't share anything out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """Consecutive parts of a join, the first of them number `first_part`."""

    first_part: int
    pieces: Sequence[Piece]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The lines from `first_line` up to `stop_line` (None: to the end), which are within these slices of the sorted
    objects. Its parts are numbered from `first_part`; `parts_max` numbers are its own."""

    first_line: int
    stop_line: int | None
    slices: Sequence[Slice]
    first_part: int
    parts_max: int
    part_bytes: int


def needs_chunks(sizes: Sequence[int], limits: AssemblyLimits) -> bool:
    """Whether joining objects of these sizes is too much for one call: by bytes that must be read, or by pieces."""
    pieces = list(join_pieces(sizes, limits.part_bytes_min, limits.part_bytes))
    gathered = sum(_gathered_bytes(piece, limits) for piece in pieces)
    return gathered > limits.call_bytes_max or len(pieces) > limits.call_pieces_max


def cut_pieces(sizes: Sequence[int], limits: AssemblyLimits) -> Iterator[Pieces]:
    """All parts of a join of sources of these sizes, in order, in chunks of about the same work."""
    pieces = list(join_pieces(sizes, limits.part_bytes_min, limits.part_bytes))
    gathered = sum(_gathered_bytes(piece, limits) for piece in pieces)
    # A chunk is full by its bytes or by its pieces: half of `chunks_max` for each.
    bytes_max = max(limits.chunk_bytes, -(-2 * gathered // limits.chunks_max))
    pieces_max = max(limits.chunk_pieces, -(-2 * len(pieces) // limits.chunks_max))
    first = held = 0
    for number, piece in enumerate(pieces, 1):
        held += _gathered_bytes(piece, limits)
        if held >= bytes_max or number - first >= pieces_max or number == len(pieces):
            yield Pieces(first_part=first + 1, pieces=pieces[first:number])
            first, held = number, 0


def _gathered_bytes(piece: Piece, limits: AssemblyLimits) -> int:
    copied = len(piece) == 1 and piece[0].bytes >= limits.part_bytes_min
    return 0 if copied else sum(each.bytes for each in piece)


def cut_groups(
    sources: Sequence[ResultObject], limits: AssemblyLimits
) -> Iterator[Sequence[ResultObject]]:
    """Neighbours that are merged into one sorted object, at most `chunks_max` groups of them."""
    total = sum(source.bytes for source in sources)
    bytes_max = max(limits.chunk_bytes, -(-2 * total // limits.chunks_max))
    streams_max = max(limits.streams_max, -(-2 * len(sources) // limits.chunks_max))
    first = held = 0
    for number, source in enumerate(sources, 1):
        held += source.bytes
        if held >= bytes_max or number - first >= streams_max or number == len(sources):
            yield sources[first:number]
            first, held = number, 0


def cut_intervals(indexes: Sequence[SortedIndex], limits: AssemblyLimits) -> Iterator[Interval]:
    """All lines of the sorted objects, each in one interval; every one but the last is large enough for a part."""
    total = sum(index.bytes for index in indexes)
    part_bytes = max(limits.part_bytes, -(-2 * total // PARTS_MAX))
    enough = max(limits.chunk_bytes, limits.part_bytes_min, -(-2 * total // limits.chunks_max))
    first_line, first_part = 0, 1
    after, surely, held = [0] * len(indexes), [0] * len(indexes), 0
    for line, number in sorted(
        (line, n) for n, index in enumerate(indexes) for line in index.lines
    ):
        # What the object surely answers between the last cut and this line.
        more = max(0, indexes[number].floor(line) - after[number])
        held += more - surely[number]
        surely[number] = more
        if held >= enough:
            cut = _interval(indexes, first_line, line, first_part, part_bytes)
            yield cut
            first_line, first_part = line, first_part + cut.parts_max
            after = [index.ceil(line) for index in indexes]
            surely, held = [0] * len(indexes), 0
    yield _interval(indexes, first_line, None, first_part, part_bytes)


def _interval(
    indexes: Sequence[SortedIndex], first_line: int, stop_line: int | None, first_part: int,
    part_bytes: int,
) -> Interval:  # fmt: skip
    slices = []
    for number, index in enumerate(indexes):
        start = index.floor(first_line)
        stop = index.bytes if stop_line is None else index.ceil(stop_line)
        if start < stop:
            slices.append(Slice(number, start, stop))
    parts_max = sum(each.bytes for each in slices) // part_bytes + 1
    return Interval(
        first_line=first_line, stop_line=stop_line, slices=slices, first_part=first_part,
        parts_max=parts_max, part_bytes=part_bytes,
    )  # fmt: skip
