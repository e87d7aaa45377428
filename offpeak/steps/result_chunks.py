"""The chunks that a large result file is put together in: where their plans lie, and what is done of them.

    {assembly prefix}/sort.plan      groups of sources, each to be one sorted object …
    {assembly prefix}/sort/…           … and its index, once it is
    {assembly prefix}/sorted/…         the sorted objects
    {assembly prefix}/parts.plan     parts of the file's upload …
    {assembly prefix}/parts/…          … and which they are, once they are in it

A plan's first line says what it is of (`wire/assembly.py`). It is written once, by whoever is first; it only goes on
with another upload where the first was given up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from offpeak.core.errors import StateConflict
from offpeak.core.layout import JSON_LINES, ResultKind, assembly_prefix, error_key, output_key
from offpeak.core.ports import Multipart, Reader, Writer
from offpeak.wire.assembly import HEAD_BYTES, decode_head, with_upload

Level = Literal["sort", "parts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkPlace:
    """A chunk that has to be done: its line in the plan of this level is at the bytes [start, stop)."""

    kind: ResultKind
    level: Level
    number: int
    start: int
    stop: int


def target_key(batch_id: str, kind: ResultKind) -> str:
    return output_key(batch_id) if kind == "output" else error_key(batch_id)


def plan_key(batch_id: str, kind: ResultKind, level: Level) -> str:
    return f"{assembly_prefix(batch_id, kind)}{level}.plan"


def sorted_key(batch_id: str, kind: ResultKind, number: int) -> str:
    return f"{assembly_prefix(batch_id, kind)}sorted/{number:05}.jsonl"


def index_key(batch_id: str, kind: ResultKind, number: int) -> str:
    return f"{assembly_prefix(batch_id, kind)}sort/{number:05}"


def parts_key(batch_id: str, kind: ResultKind, number: int) -> str:
    return f"{assembly_prefix(batch_id, kind)}parts/{number:05}"


def begin_anew(
    batch_id: str, kind: ResultKind, multipart_id: str, *, reader: Reader, writer: Writer,
    multipart: Multipart,
) -> None:  # fmt: skip
    """The upload that parts went to is gone, and the file isn't there: what was done of the plan goes, and it goes on
    with another upload. It is replaced on condition of what was read: another call may have done so, and that one's
    upload must not be forgotten."""
    plan = plan_key(batch_id, kind, "parts")
    read = reader.head(plan).etag
    stored = reader.read(plan)
    head = decode_head(stored)
    if head.multipart_id != multipart_id:
        return
    for number in range(head.chunks):
        writer.delete(parts_key(batch_id, kind, number))
    key = target_key(batch_id, kind)
    begun = multipart.begin(key, JSON_LINES)
    try:
        writer.put_over(plan, with_upload(stored, begun), read)
    except StateConflict:
        # It may be ours: sent again when its answer was lost, a put meets itself.
        if decode_head(reader.read(plan, 0, HEAD_BYTES)).multipart_id != begun:
            multipart.abort(key, begun)


def incomplete(what: str) -> StateConflict:
    return StateConflict(f"The results are not complete: {what}.", code="batch_incomplete")
