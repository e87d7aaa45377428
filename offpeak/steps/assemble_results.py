"""Does one chunk of putting a large result file together: parts of the file, or a sorted object on the way to it.

A chunk that is done twice writes the same bytes to the same places. What it has done is written down last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from offpeak.core.batch import Batch
from offpeak.core.errors import MultipartGone, NotFound
from offpeak.core.layout import JSON_LINES, ResultKind
from offpeak.core.ports import Batches, Multipart, Reader, Writer
from offpeak.core.sorted_index import SortedIndex
from offpeak.planner.cut_results import LIMITS, AssemblyLimits
from offpeak.steps.join_objects import put_parts
from offpeak.steps.merge_results import NumberedResult, merged, numbered_results, read_refused
from offpeak.steps.result_chunks import (
    Level,
    begin_anew,
    index_key,
    parts_key,
    plan_key,
    sorted_key,
    target_key,
)
from offpeak.steps.streamed_object import StreamedObject
from offpeak.wire.assembly import (
    HEAD_BYTES,
    Extent,
    Group,
    Join,
    Merge,
    PartsMade,
    decode_chunk,
    decode_head,
    encode_index,
    encode_parts,
)

BLOCK_BYTES_MIN = 256 * 1024


def assemble_results(
    account_id: str, batch_id: str, kind: ResultKind, level: Level, number: int, start: int, stop: int,
    *, batches: Batches, reader: Reader, writer: Writer, multipart: Multipart,
    assembly_limits: AssemblyLimits = LIMITS,
) -> None:  # fmt: skip
    """Chunk `number` of the plan of this level, whose line is at the bytes [start, stop)."""
    batch = batches.get(account_id, batch_id)
    if batch.is_terminal:
        return
    assembly = _Assembly(batch, kind, number, reader, writer, multipart, assembly_limits)
    plan = plan_key(batch_id, kind, level)
    chunk = decode_chunk(reader.read(plan, start, stop))
    if isinstance(chunk, Group):
        assembly.sort(chunk)
        return
    multipart_id = decode_head(reader.read(plan, 0, HEAD_BYTES)).multipart_id
    if multipart_id is None:
        raise ValueError(f"{plan} names no upload that its parts go to.")
    try:
        assembly.add_parts(chunk, multipart_id)
    except MultipartGone:
        try:
            # Another call has seen all parts and completed the file, while this one was on its way a second time.
            reader.head(target_key(batch_id, kind))
        except NotFound:
            begin_anew(
                batch_id, kind, multipart_id, reader=reader, writer=writer, multipart=multipart
            )


class _Assembly:
    def __init__(
        self, batch: Batch, kind: ResultKind, number: int, reader: Reader, writer: Writer,
        multipart: Multipart, limits: AssemblyLimits,
    ) -> None:  # fmt: skip
        self._batch_id = batch.id
        self._kind: ResultKind = kind
        self._number = number
        self._target = target_key(batch.id, kind)
        self._reader = reader
        self._writer = writer
        self._multipart = multipart
        self._limits = limits

    def sort(self, group: Group) -> None:
        """Writes the group's sorted object, then its index."""
        streams = self._streams(group.sources)
        if group.refused is not None:
            streams.append(read_refused(group.refused.key, self._reader))
        key = sorted_key(self._batch_id, self._kind, self._number)
        with StreamedObject(
            key, writer=self._writer, multipart=self._multipart, content_type=JSON_LINES,
            part_bytes=self._limits.part_bytes,
        ) as target:  # fmt: skip
            index = _write_indexed(merged(streams), target, self._limits.index_bytes)
            target.close()
        self._writer.put(index_key(self._batch_id, self._kind, self._number), encode_index(index))

    def add_parts(self, chunk: Join | Merge, multipart_id: str) -> None:
        """Puts the chunk's parts into the upload, then writes down which they are."""
        made = (
            self._joined(chunk, multipart_id)
            if isinstance(chunk, Join)
            else self._merged(chunk, multipart_id)
        )
        self._writer.put(parts_key(self._batch_id, self._kind, self._number), encode_parts(made))

    def _joined(self, chunk: Join, multipart_id: str) -> PartsMade:
        etags = put_parts(
            chunk.pieces, self._target, multipart_id, chunk.first_part, reader=self._reader,
            multipart=self._multipart, at_once=self._limits.pieces_at_once,
            part_bytes_min=self._limits.part_bytes_min,
        )  # fmt: skip
        size = sum(each.bytes for piece in chunk.pieces for each in piece)
        return PartsMade(multipart_id=multipart_id, etags=etags, bytes=size)

    def _merged(self, chunk: Merge, multipart_id: str) -> PartsMade:
        parts = _Parts(chunk, self._target, multipart_id, self._multipart, self._limits)
        lines = 0
        for number, result in merged(self._streams(chunk.sources)):
            if number < chunk.first_line:
                continue
            if chunk.stop_line is not None and number >= chunk.stop_line:
                break
            parts.write(result)
            lines += 1
        etags = parts.close()
        return PartsMade(multipart_id=multipart_id, etags=etags, bytes=parts.bytes, lines=lines)

    def _streams(self, sources: Sequence[Extent]) -> list[Iterator[NumberedResult]]:
        """In blocks, each a request of its own: a stream that is read a little now and then would be cut off."""
        block_bytes = max(BLOCK_BYTES_MIN, self._limits.blocks_bytes // max(1, len(sources)))
        return [
            numbered_results(source.key, self._blocks(source, min(block_bytes, 8 << 20)))
            for source in sources
        ]

    def _blocks(self, source: Extent, block_bytes: int) -> Iterator[bytes]:
        for start in range(source.start, source.stop, block_bytes):
            stop = min(start + block_bytes, source.stop)
            yield self._reader.read(source.key, start, stop)


def _write_indexed(
    results: Iterator[NumberedResult], target: StreamedObject, index_bytes: int
) -> SortedIndex:
    lines: list[int] = []
    offsets: list[int] = []
    size = next_entry = 0
    for number, result in results:
        if target.bytes >= next_entry:
            lines.append(number)
            offsets.append(target.bytes)
            next_entry = target.bytes + index_bytes
        target.write(result)
        size += 1
    return SortedIndex(bytes=target.bytes, size=size, lines=lines, offsets=offsets)


class _Parts:
    """A chunk's own parts of an upload: full ones, and a last one that takes what would be too small for a part."""

    def __init__(
        self, chunk: Merge, key: str, multipart_id: str, multipart: Multipart,
        limits: AssemblyLimits,
    ) -> None:  # fmt: skip
        self._chunk = chunk
        self._key = key
        self._multipart_id = multipart_id
        self._multipart = multipart
        self._least = limits.part_bytes_min
        self._held = bytearray()
        self._etags: dict[int, str] = {}
        self.bytes = 0

    def write(self, data: bytes) -> None:
        self._held += data
        self.bytes += len(data)
        while len(self._held) >= self._chunk.part_bytes + self._least:
            self._put(self._chunk.part_bytes)

    def close(self) -> dict[int, str]:
        if self._held:
            self._put(len(self._held))
        return self._etags

    def _put(self, size: int) -> None:
        number = self._chunk.first_part + len(self._etags)
        body = bytes(self._held[:size])
        del self._held[:size]
        self._etags[number] = self._multipart.put_part(self._key, self._multipart_id, number, body)
