"""Merges streams of result lines by the numbers of the input lines they answer, memory flat."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

from offpeak.core.errors import StateConflict
from offpeak.core.ports import Reader
from offpeak.core.shard import ResultObject
from offpeak.steps.streamed_object import StreamedObject
from offpeak.wire.checkpoints import RECORD_BYTES_MAX, decode_records
from offpeak.wire.jsonl import split_lines
from offpeak.wire.results import line_number

NumberedResult = tuple[int, bytes]


def merge_results(streams: Sequence[Iterator[NumberedResult]], target: StreamedObject) -> int:
    """How many lines were written to `target`. Each stream is in order by itself.

    Raises StateConflict (code `batch_incomplete`) when a line has two results, or a stream is out of order.
    """
    written = last = 0
    for number, result in heapq.merge(*streams, key=itemgetter(0)):
        if number <= last:
            raise StateConflict(
                f"Line {number} comes after line {last} in the results.", code="batch_incomplete"
            )
        target.write(result)
        written, last = written + 1, number
    return written


def read_results(objects: Iterable[ResultObject], reader: Reader) -> Iterator[NumberedResult]:
    """The lines of result objects, one object after the other; each is opened when it is its turn."""
    for source in objects:
        chunks = reader.stream(source.key, 0, source.bytes)
        for start, _, line in split_lines(chunks, line_bytes_max=RECORD_BYTES_MAX):
            if line is None:
                raise ValueError(f"{source.key}: the line at byte {start} is too long.")
            yield line_number(line), line + b"\n"


def read_refused(key: str, reader: Reader) -> Iterator[NumberedResult]:
    """The lines that were refused when the batch was validated, as they were written down then."""
    for line in decode_records(reader.stream(key)):
        yield line.number, line.result
