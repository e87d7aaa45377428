"""How a large result file is put together, as stored while that goes on.

A plan is JSON Lines: a head, and the chunks. What a chunk has done is an object of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from offpeak.core.sorted_index import SortedIndex


class Extent(msgspec.Struct, array_like=True, frozen=True):
    """Bytes [start, stop) of an object."""

    key: str
    start: int
    stop: int

    @property
    def bytes(self) -> int:
        return self.stop - self.start


class PlanHead(msgspec.Struct, frozen=True, kw_only=True):
    """`multipart_id` is the upload that the chunks' parts go to, None where they make sorted objects; `chunks` how many
    there are."""

    multipart_id: str | None
    chunks: int


class Group(msgspec.Struct, frozen=True, kw_only=True, tag="group", omit_defaults=True):
    """To be merged into one sorted object. `refused` is where lines that validation refused are written down."""

    sources: Sequence[Extent] = ()
    refused: Extent | None = None


class Join(msgspec.Struct, frozen=True, kw_only=True, tag="join"):
    """Parts from number `first_part` on, each made of these extents."""

    first_part: int
    pieces: Sequence[Sequence[Extent]]


class Merge(msgspec.Struct, frozen=True, kw_only=True, tag="merge"):
    """Parts from number `first_part` on, of the lines from `first_line` up to `stop_line`, out of sorted objects."""

    first_line: int
    stop_line: int | None
    sources: Sequence[Extent]
    first_part: int
    part_bytes: int


Chunk = Group | Join | Merge


class PartsMade(msgspec.Struct, frozen=True, kw_only=True):
    """What a chunk has added to an upload: its parts' ETags by their numbers, and the bytes in them; of a merge, the
    lines, too."""

    multipart_id: str
    etags: Mapping[int, str]
    bytes: int
    lines: int | None = None


HEAD_BYTES = 4_096
"""Of a plan, its first line: what it is of. Ids of S3's uploads have some hundred characters."""
_ENCODER = msgspec.json.Encoder()
_HEADS = msgspec.json.Decoder(PlanHead)
_CHUNKS: msgspec.json.Decoder[Chunk] = msgspec.json.Decoder(Chunk)
_PARTS = msgspec.json.Decoder(PartsMade)
_INDEXES = msgspec.json.Decoder(SortedIndex)


def encode_plan(multipart_id: str | None, chunks: Sequence[Chunk]) -> bytes:
    """Its head has one length, so that chunks keep their places when the plan goes on with another upload."""
    head = _encode_head(PlanHead(multipart_id=multipart_id, chunks=len(chunks)))
    return head + b"".join(_ENCODER.encode(chunk) + b"\n" for chunk in chunks)


def with_upload(plan: bytes, multipart_id: str) -> bytes:
    """The same chunks, for another upload."""
    head = PlanHead(multipart_id=multipart_id, chunks=decode_head(plan).chunks)
    return _encode_head(head) + plan[plan.index(b"\n") + 1 :]


def _encode_head(head: PlanHead) -> bytes:
    return _ENCODER.encode(head).ljust(HEAD_BYTES - 1) + b"\n"


def decode_head(plan: bytes) -> PlanHead:
    return _HEADS.decode(plan[: plan.index(b"\n")])


def chunk_places(plan: bytes) -> Iterator[tuple[int, int]]:
    """The bytes [start, stop) of each chunk's line."""
    start = plan.index(b"\n") + 1
    while start < len(plan):
        stop = plan.index(b"\n", start) + 1
        yield start, stop
        start = stop


def decode_chunk(line: bytes) -> Chunk:
    return _CHUNKS.decode(line)


def encode_parts(made: PartsMade) -> bytes:
    return _ENCODER.encode(made)


def decode_parts(body: bytes) -> PartsMade:
    return _PARTS.decode(body)


def encode_index(index: SortedIndex) -> bytes:
    return _ENCODER.encode(index)


def decode_index(body: bytes) -> SortedIndex:
    return _INDEXES.decode(body)
