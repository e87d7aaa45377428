"""A run's manifest: JSON Lines, one shard a line, so that a dispatcher reads just the line under the run's cursor.

    [number, lines, [[key, [[start, stop, first_line, lines], …], etag or null, last_line or null], …]]

Segments stand grouped by their object, for an interleaved file has hundreds in a shard, all of one key. `last_line` is
there where lines were rewritten, and holds for all segments of such an object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import msgspec

from offpeak.core.ports import ORDER_BYTES_MAX
from offpeak.core.shard import PlannedShard, Segment
from offpeak.wire.jsonl import split_lines

MANIFEST_LINE_BYTES_MAX = ORDER_BYTES_MAX
"""A read of this many bytes from a line's start holds all of the line. What is longer could not be dispatched."""

_Place = tuple[int, int, int, int]


class _OfObject(msgspec.Struct, array_like=True, frozen=True):
    key: str
    segments: list[_Place]
    etag: str | None = None
    last_line: int | None = None


PackedSegments = list[_OfObject]


class _ManifestLine(msgspec.Struct, array_like=True, frozen=True):
    number: int
    lines: int
    segments: PackedSegments


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(_ManifestLine)


def encode_shard(shard: PlannedShard) -> bytes:
    """The shard's manifest line, its newline included. Raises ValueError when it is too long to be dispatched."""
    line = _ENCODER.encode(_ManifestLine(shard.number, shard.lines, pack_segments(shard.segments)))
    if len(line) >= MANIFEST_LINE_BYTES_MAX:
        raise ValueError(f"Shard {shard.number} has {len(shard.segments)} segments: too many.")
    return line + b"\n"


def decode_shard(line: bytes) -> PlannedShard:
    """The shard of one manifest line, with or without its newline."""
    record = _DECODER.decode(line)
    return PlannedShard(number=record.number, segments=unpack_segments(record.segments))


def first_shard(data: bytes) -> tuple[PlannedShard, int]:
    """The shard whose line `data` begins with, and that line's length: what follows it belongs to the next shards."""
    length = data.index(b"\n") + 1
    return decode_shard(data[:length]), length


def iterate_shards(
    chunks: Iterable[bytes], offset: int = 0
) -> Iterator[tuple[PlannedShard, int, int]]:
    """Every shard of a manifest read from byte `offset` on, with the [start, stop) of its line."""
    for start, stop, line in split_lines(chunks, offset):
        if line is None:
            raise ValueError(f"Byte {start} of the manifest begins no manifest line.")
        yield decode_shard(line), start, stop


def pack_segments(segments: Iterable[Segment]) -> PackedSegments:
    return [
        _OfObject(
            key,
            [(each.start, each.stop, each.first_line, each.lines) for each in of_one_object],
            etag,
            last_line,
        )
        for (key, etag, last_line), of_one_object in groupby(segments, key=_object_of)
    ]


def _object_of(segment: Segment) -> tuple[str, str | None, int | None]:
    return segment.key, segment.etag, segment.last_line


def unpack_segments(packed: PackedSegments) -> tuple[Segment, ...]:
    return tuple(
        Segment(
            key=of_one_object.key,
            start=start,
            stop=stop,
            first_line=first_line,
            lines=lines,
            etag=of_one_object.etag,
            last_line=of_one_object.last_line,
        )
        for of_one_object in packed
        for start, stop, first_line, lines in of_one_object.segments
    )
