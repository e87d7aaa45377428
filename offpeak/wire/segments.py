"""The request lines of segments, read from S3 in as few streams as their gaps allow.

Segments of an interleaved file are many, small and near each other: those of one object whose gap is at most
`GAP_BYTES_MAX` are read in one stream, and the lines of other models between them are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from offpeak.core.ports import Reader
from offpeak.core.shard import Segment
from offpeak.wire.jsonl import Line, split_lines

GAP_BYTES_MAX = 2**20
"""What a GET request costs in time, spent on reading on."""


def read_lines(reader: Reader, segments: Iterable[Segment]) -> Iterator[tuple[int, bytes]]:
    """(line number, its bytes without the newline) of every line, as the segments have them: in order, unless they were
    reordered. Memory holds a chunk and a line.

    Segments of one object are in the order of their bytes. Raises NotFound when their object is gone, StateConflict
    when it was replaced, ValueError when its lines are not where the segments say.
    """
    for stretch in stretches(segments):
        longest = max(segment.stop - segment.start for segment in stretch)
        first = stretch[0]
        chunks = reader.stream(first.key, first.start, stretch[-1].stop, etag=first.etag)
        # No line of a segment is longer than the segment. One in a gap may be, and is dropped without being held.
        lines = split_lines(chunks, first.start, line_bytes_max=longest)
        for segment in stretch:
            yield from _numbered(segment, lines)


def read_lines_between(
    reader: Reader, segments: Sequence[Segment], first: int, stop: int
) -> Iterator[tuple[int, bytes]]:
    """As `read_lines`, of all their lines the `first` (counted from 0) to before the `stop`-th. What comes after them
    is not read, and nothing of a segment that has none of them."""
    chosen: list[Segment] = []
    seen = skipped = 0
    for segment in segments:
        if seen + segment.lines <= first:
            skipped = seen + segment.lines
        elif seen < stop:
            chosen.append(segment)
        seen += segment.lines
    return islice(read_lines(reader, chosen), first - skipped, stop - skipped)


def stretches(segments: Iterable[Segment]) -> Iterator[list[Segment]]:
    """Neighbours that are worth one stream. None is empty."""
    near: list[Segment] = []
    for segment in segments:
        if near and not _is_near(near[-1], segment):
            yield near
            near = []
        near.append(segment)
    if near:
        yield near


def _is_near(before: Segment, after: Segment) -> bool:
    return (before.key, before.etag) == (
        after.key,
        after.etag,
    ) and 0 <= after.start - before.stop <= GAP_BYTES_MAX


def _numbered(segment: Segment, lines: Iterator[Line]) -> Iterator[tuple[int, bytes]]:
    """The segment's own lines, taken from a stream that may begin before it. Leaves the stream at its end."""
    number, last = segment.first_line, segment.first_line + segment.lines - 1
    for start, stop, line in lines:
        if start < segment.start:
            continue
        if line is None or stop > segment.stop:
            break
        yield split_number(line) if segment.is_numbered else (number, line)
        if number == last:
            if stop != segment.stop:
                break
            return
        number += 1
    raise ValueError(
        f"{segment.key} has no {segment.lines} lines in bytes {segment.start} to {segment.stop}."
    )


def join_number(number: int, line: bytes) -> bytes:
    """A line that is rewritten, with its number and a newline: `17 {"custom_id": …}`."""
    return b"%d %b\n" % (number, line)


def split_number(line: bytes) -> tuple[int, bytes]:
    """Its number and the line itself. Raises ValueError for one that has none."""
    number, _, rest = line.partition(b" ")
    return int(number), rest


def read_lines_of(reader: Reader, key: str, start: int, stop: int) -> Iterator[bytes]:
    """The lines in the bytes [start, stop) of an object, which begin and end with lines."""
    for _, _, line in split_lines(reader.stream(key, start, stop), start, stop - start):
        if line is not None:
            yield line
