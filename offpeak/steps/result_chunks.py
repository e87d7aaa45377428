"""The chunks that a large result file is put together in: where their plans lie, and what is done of them.

    {assembly prefix}/sort.plan      groups of sources, each to be one sorted object …
    {assembly prefix}/sort/…           … and its index, once it is
    {assembly prefix}/sorted/…         the sorted objects
    {assembly prefix}/parts.plan     parts of the file's upload …
    {assembly prefix}/parts/…          … and which they are, once they are in it

A plan's first line says what it is of (`wire/assembly.py`), and is written once, by whoever is first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from offpeak.core.errors import NotFound, StateConflict
from offpeak.core.layout import ResultKind, assembly_prefix, error_key, output_key
from offpeak.core.ports import Reader, Writer
from offpeak.wire.assembly import decode_head

HEAD_BYTES_MAX = 4_096
"""Of a plan, its first line: what it is of."""
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
    batch_id: str, kind: ResultKind, multipart_id: str, *, reader: Reader, writer: Writer
) -> None:
    """The upload that parts went to is gone, and the file isn't there: its plan goes, with what was done of it. Another
    call may have done so, and planned again."""
    plan = plan_key(batch_id, kind, "parts")
    try:
        head = decode_head(reader.read(plan, 0, HEAD_BYTES_MAX))
    except NotFound:
        return
    if head.multipart_id == multipart_id:
        for number in range(head.chunks):
            writer.delete(parts_key(batch_id, kind, number))
        writer.delete(plan)


def incomplete(what: str) -> StateConflict:
    return StateConflict(f"The results are not complete: {what}.", code="batch_incomplete")
