"""Rewrites some shards' lines in the order of their prompts' prefixes: one chunk of a draft, into one object.

The object holds each line with its number, the index beside it each line's sort key and where it stops. The index comes
last: who finds it finds the lines. Lines and keys are the same whenever this runs, so that of two at once neither harms
the other.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from offpeak.core.batch import BatchStatus
from offpeak.core.draft import Chunk, ChunkIndex, DraftRun
from offpeak.core.layout import draft_key, reordered_index_key, reordered_lines_key
from offpeak.core.ports import Batches, Multipart, Reader, Writer
from offpeak.core.shard import Segment
from offpeak.planner.prefix_keys import sort_key
from offpeak.steps.streamed_object import StreamedObject
from offpeak.wire.draft import decode_draft, encode_index
from offpeak.wire.manifest import iterate_shards
from offpeak.wire.prompts import prompt_reader
from offpeak.wire.segments import join_number, read_lines

LINES_A_WRITE = 256


def reorder_shards(
    account_id: str, batch_id: str, run: int, chunk: int, *, batches: Batches, reader: Reader,
    writer: Writer, multipart: Multipart,
) -> int:  # fmt: skip
    """How many lines were rewritten; none of a batch that is validated no more. Memory holds the chunk.

    Raises StateConflict when the input was replaced meanwhile, NotFound when there is no such draft."""
    if batches.get(account_id, batch_id).status is not BatchStatus.VALIDATING:
        return 0
    draft = decode_draft(reader.read(draft_key(batch_id))).runs[run]
    segments = _segments(draft, draft.chunks[chunk], reader)
    keys, lines = _read(draft, segments, reader)
    order = sorted(range(len(lines)), key=keys.__getitem__)
    stops = array("I")
    stop = 0
    key = reordered_lines_key(batch_id, run, chunk)
    with StreamedObject(key, writer=writer, multipart=multipart) as stored:
        for first in range(0, len(order), LINES_A_WRITE):
            ordered = [lines[place] for place in order[first : first + LINES_A_WRITE]]
            stored.write(b"".join(ordered))
            for line in ordered:
                stop += len(line)
                stops.append(stop)
        stored.close()
    index = ChunkIndex(
        keys=array("Q", [keys[place] for place in order]), stops=stops,
        first_line=segments[0].first_line,
        last_line=segments[-1].first_line + segments[-1].lines - 1,
    )  # fmt: skip
    writer.put(reordered_index_key(batch_id, run, chunk), encode_index(index))
    return len(lines)


def _segments(draft: DraftRun, chunk: Chunk, reader: Reader) -> list[Segment]:
    manifest = reader.read(draft.run.manifest_key, chunk.start, chunk.stop)
    shards = iterate_shards([manifest], chunk.start)
    return [segment for shard, _, _ in shards for segment in shard.segments]


def _read(
    draft: DraftRun, segments: Sequence[Segment], reader: Reader
) -> tuple[array[int], list[bytes]]:
    """The sort key and the bytes to be written of each line."""
    read = prompt_reader(draft.run.endpoint).read
    levels = draft.share.levels
    keys = array("Q")
    lines: list[bytes] = []
    for number, raw in read_lines(reader, segments):
        keys.append(sort_key(read(raw), levels))
        lines.append(join_number(number, raw))
    return keys, lines
