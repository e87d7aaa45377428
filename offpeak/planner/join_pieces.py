"""How to make one large object out of many: which bytes S3 may copy by itself, and which are too few for that.

A multipart object takes parts of 5 MiB or more (but for the last), at most 10,000. Small neighbours are gathered into
one part, which means reading them; a large source is copied without its bytes passing through us.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from offpeak.core.ports import PART_BYTES_MIN, PARTS_MAX

MIB = 1 << 20
GATHER_BYTES = 16 * MIB
COPY_BYTES_MAX = 1_024 * MIB


@dataclass(frozen=True, slots=True)
class Slice:
    """Bytes [start, stop) of source number `source`."""

    source: int
    start: int
    stop: int

    @property
    def bytes(self) -> int:
        return self.stop - self.start


Piece = tuple[Slice, ...]
"""One part. A single slice of `PART_BYTES_MIN` or more can be copied; anything else is gathered."""


def join_pieces(
    sizes: Sequence[int], part_bytes_min: int = PART_BYTES_MIN, gather_bytes: int = GATHER_BYTES
) -> Iterator[Piece]:
    """The parts that make up sources of these sizes in bytes, in order. None is empty.

    Every part but the last has at least `part_bytes_min`; a gathered one stays under `gather_bytes` and one small
    source. Parts grow with the total, so that there are never more than `PARTS_MAX`.
    """
    piece_bytes_min = max(part_bytes_min, -(-2 * sum(sizes) // PARTS_MAX))
    gathered: list[Slice] = []
    gathered_bytes = 0
    for source, size in enumerate(sizes):
        start = 0
        if size >= piece_bytes_min and gathered_bytes:
            start = max(0, piece_bytes_min - gathered_bytes)
        if size - start < piece_bytes_min:
            start = size
        if start:
            gathered.append(Slice(source, 0, start))
            gathered_bytes += start
        if gathered and (start < size or gathered_bytes >= gather_bytes):
            yield tuple(gathered)
            gathered, gathered_bytes = [], 0
        for copied in _copies(source, start, size):
            yield (copied,)
    if gathered:
        yield tuple(gathered)


def _copies(source: int, start: int, stop: int) -> Iterator[Slice]:
    """Even slices, so that none is too small."""
    count = -(-(stop - start) // COPY_BYTES_MAX)
    for number in range(count):
        yield Slice(
            source,
            start + (stop - start) * number // count,
            start + (stop - start) * (number + 1) // count,
        )
