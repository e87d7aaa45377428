"""One of a batch's two result files: put together in one call, or in chunks that many share.

A call that finds chunks undone names them, and is to be made again when they are done: it goes on where things are.
What it finds is settled, for a plan is written once, by whoever is first; so calls may be made twice, and at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from offpeak.core.batch import Batch
from offpeak.core.errors import MultipartGone, NotFound, StateConflict, Unavailable
from offpeak.core.layout import JSON_LINES, ResultKind, assembly_prefix, invalid_lines_key
from offpeak.core.ports import PARTS_MAX, Multipart, ObjectInfo, Reader, Writer
from offpeak.core.shard import ResultObject
from offpeak.planner.cut_results import (
    AssemblyLimits,
    cut_groups,
    cut_intervals,
    cut_pieces,
    needs_chunks,
)
from offpeak.steps.join_objects import join_objects
from offpeak.steps.merge_results import merge_results, read_refused, read_results
from offpeak.steps.result_chunks import (
    ChunkPlace,
    Level,
    begin_anew,
    incomplete,
    index_key,
    parts_key,
    plan_key,
    sorted_key,
    target_key,
)
from offpeak.steps.streamed_object import PART_BYTES, StreamedObject
from offpeak.wire.assembly import (
    Chunk,
    Extent,
    Group,
    Join,
    Merge,
    PartsMade,
    chunk_places,
    decode_head,
    decode_index,
    decode_parts,
    encode_plan,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What a file is made of: result objects by the run they are of, each in the order of its lines; and how many lines
    they have. `are_apart`: no object's lines lie among another's, in the order of `sources`. `in_order`: each run's
    objects follow each other. `refused` are lines that validation refused, beside those."""

    sources: Sequence[ResultObject]
    of_runs: Sequence[Sequence[ResultObject]]
    are_apart: bool
    in_order: bool
    refused: int
    lines: int


class ResultFile:
    def __init__(
        self, batch: Batch, kind: ResultKind, *, reader: Reader, writer: Writer, multipart: Multipart,
        limits: AssemblyLimits,
    ) -> None:  # fmt: skip
        self._batch = batch
        self._kind: ResultKind = kind
        self._key = target_key(batch.id, kind)
        self._reader = reader
        self._writer = writer
        self._multipart = multipart
        self._limits = limits

    def undone(self, results: Results) -> list[ChunkPlace]:
        """The chunks to be done before the file can be put; none where that takes no more than a call."""
        if not results.lines:
            return []
        if self._is_joined(results):
            if not self._joins_in_chunks(results):
                return []
            return self._undone("parts", lambda: self._joins(results))
        if self._merges_in_a_call(results):
            return []
        unsorted = self._undone("sort", lambda: self._groups(results))
        return unsorted or self._undone("parts", lambda: self._merges(results))

    def put(self, results: Results) -> ObjectInfo | None:
        """The file, once nothing is undone; None where there are no lines.

        Raises StateConflict (code `batch_incomplete`) when it would not have the lines and bytes that it must have.
        """
        if not results.lines:
            return None
        if self._is_joined(results):
            in_chunks = self._joins_in_chunks(results)
            return self._complete(results) if in_chunks else self._join(results)
        in_a_call = self._merges_in_a_call(results)
        return self._merge(results) if in_a_call else self._complete(results)

    @staticmethod
    def _is_joined(results: Results) -> bool:
        return results.are_apart and not results.refused

    def _joins_in_chunks(self, results: Results) -> bool:
        return needs_chunks([source.bytes for source in results.sources], self._limits)

    # ── in one call ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _join(self, results: Results) -> ObjectInfo:
        info = join_objects(
            results.sources, self._key, JSON_LINES,
            reader=self._reader, multipart=self._multipart, writer=self._writer,
        )  # fmt: skip
        return self._checked(info, sum(source.bytes for source in results.sources))

    def _merges_in_a_call(self, results: Results) -> bool:
        streams = len(results.of_runs) if results.in_order else len(results.sources)
        moved = sum(source.bytes for source in results.sources) + self._refused_bytes(results)
        return streams <= self._limits.streams_max and moved <= self._limits.call_bytes_max

    def _merge(self, results: Results) -> ObjectInfo:
        if results.in_order:
            streams = [read_results(of_run, self._reader) for of_run in results.of_runs]
        else:
            streams = [read_results([source], self._reader) for source in results.sources]
        if results.refused:
            streams.append(read_refused(invalid_lines_key(self._batch.id), self._reader))
        moved = sum(source.bytes for source in results.sources)
        target = StreamedObject(
            self._key, writer=self._writer, multipart=self._multipart, content_type=JSON_LINES,
            part_bytes=max(PART_BYTES, -(-2 * moved // PARTS_MAX)),
        )  # fmt: skip
        with target:
            written = merge_results(streams, target)
            self._check_lines(written, results.lines)
            return target.close()

    def _refused_bytes(self, results: Results) -> int:
        if not results.refused:
            return 0
        return self._reader.head(invalid_lines_key(self._batch.id)).bytes

    # ── in chunks ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _groups(self, results: Results) -> list[Chunk]:
        groups: list[Chunk] = [
            Group(sources=[Extent(source.key, 0, source.bytes) for source in group])
            for group in cut_groups(results.sources, self._limits)
        ]
        if results.refused:
            key = invalid_lines_key(self._batch.id)
            groups.append(Group(refused=Extent(key, 0, self._refused_bytes(results))))
        return groups

    def _joins(self, results: Results) -> list[Chunk]:
        sources = results.sources
        sizes = [source.bytes for source in sources]
        return [
            Join(
                first_part=chunk.first_part,
                pieces=[
                    [Extent(sources[each.source].key, each.start, each.stop) for each in piece]
                    for piece in chunk.pieces
                ],
            )
            for chunk in cut_pieces(sizes, self._limits)
        ]

    def _merges(self, results: Results) -> list[Chunk]:
        groups = range(decode_head(self._read_plan("sort")).chunks)
        indexes = [
            decode_index(self._reader.read(index_key(self._batch.id, self._kind, number)))
            for number in groups
        ]
        self._check_lines(sum(index.size for index in indexes), results.lines)
        keys = [sorted_key(self._batch.id, self._kind, number) for number in groups]
        return [
            Merge(
                first_line=cut.first_line, stop_line=cut.stop_line, first_part=cut.first_part,
                part_bytes=cut.part_bytes,
                sources=[Extent(keys[each.source], each.start, each.stop) for each in cut.slices],
            )
            for cut in cut_intervals(indexes, self._limits)
        ]  # fmt: skip

    def _undone(self, level: Level, make: Callable[[], list[Chunk]]) -> list[ChunkPlace]:
        """The chunks of this level that are not done. The first call makes the plan that they are of."""
        try:
            plan = self._read_plan(level)
        except NotFound:
            plan = self._plan(level, make())
        found = self._reader.list(f"{assembly_prefix(self._batch.id, self._kind)}{level}/")
        done = {int(info.key.rpartition("/")[2]) for info in found}
        return [
            ChunkPlace(kind=self._kind, level=level, number=number, start=start, stop=stop)
            for number, (start, stop) in enumerate(chunk_places(plan))
            if number not in done
        ]

    def _read_plan(self, level: Level) -> bytes:
        return self._reader.read(plan_key(self._batch.id, self._kind, level))

    def _plan(self, level: Level, chunks: list[Chunk]) -> bytes:
        """Ours, or that of another call which was first."""
        key = plan_key(self._batch.id, self._kind, level)
        multipart_id = self._multipart.begin(self._key, JSON_LINES) if level == "parts" else None
        plan = encode_plan(multipart_id, chunks)
        try:
            self._writer.put_over(key, plan, None)
        except StateConflict:
            stored = self._reader.read(key)
            # It may be ours: sent again when its answer was lost, a put meets itself.
            if multipart_id is not None and decode_head(stored).multipart_id != multipart_id:
                self._multipart.abort(self._key, multipart_id)
            return stored
        return plan

    def _complete(self, results: Results) -> ObjectInfo:
        head = decode_head(self._read_plan("parts"))
        made = [self._made(number, head.multipart_id or "") for number in range(head.chunks)]
        counted = [each.lines for each in made if each.lines is not None]
        if counted:
            self._check_lines(sum(counted), results.lines)
        etags = {number: etag for each in made for number, etag in each.etags.items()}
        try:
            info = self._multipart.complete(self._key, head.multipart_id or "", etags)
        except MultipartGone:
            info = self._completed_before(head.multipart_id or "")
        moved = sum(each.bytes for each in made)
        if not counted and moved != sum(source.bytes for source in results.sources):
            raise incomplete(f"{self._key} would have {moved} bytes")
        return self._checked(info, moved)

    def _made(self, number: int, multipart_id: str) -> PartsMade:
        key = parts_key(self._batch.id, self._kind, number)
        made = decode_parts(self._reader.read(key))
        if made.multipart_id != multipart_id:
            self._writer.delete(key)
            raise Unavailable(f"{key} is of an upload that was given up; its chunk is done anew.")
        return made

    def _completed_before(self, multipart_id: str) -> ObjectInfo:
        """Another call has completed the file. Or the upload was given up for its age: then it is begun anew."""
        try:
            return self._reader.head(self._key)
        except NotFound:
            begin_anew(
                self._batch.id, self._kind, multipart_id, reader=self._reader,
                writer=self._writer, multipart=self._multipart,
            )  # fmt: skip
            raise Unavailable(f"The upload of {self._key} is gone; it is begun anew.") from None

    # ── nothing is lost ──────────────────────────────────────────────────────────────────────────────────────────────

    def _check_lines(self, written: int, lines: int) -> None:
        if written != lines:
            raise incomplete(f"{self._key} would have {written} of {lines} lines")

    def _checked(self, info: ObjectInfo, expected: int) -> ObjectInfo:
        if info.bytes != expected:
            raise incomplete(f"{self._key} has {info.bytes} of {expected} bytes")
        return info
