"""Merges streams of result lines by the numbers of the input lines they answer, memory flat."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Protocol

from offpeak.core.errors import StateConflict
from offpeak.core.ports import Reader
from offpeak.core.shard import ResultObject
from offpeak.wire.checkpoints import RECORD_BYTES_MAX, decode_records
from offpeak.wire.jsonl import split_lines
from offpeak.wire.results import line_number

NumberedResult = tuple[int, bytes]


class Target(Protocol):
    def write(self, data: bytes) -> None: ...


def merge_results(streams: Sequence[Iterator[NumberedResult]], target: Target) -> int:
    """How many lines were written to `target`. Each stream is in order by itself.

    Raises StateConflict (code `batch_incomplete`) when a line has two results, or a stream is out of order.
    """
    written = 0
    for _, result in merged(streams):
        target.write(result)
        written += 1
    return written


def merged(streams: Sequence[Iterator[NumberedResult]]) -> Iterator[NumberedResult]:
    last = 0
    for number, result in heapq.merge(*streams, key=itemgetter(0)):
        if number <= last:
            raise StateConflict(
                f"Line {number} comes after line {last} in the results.", code="batch_incomplete"
            )
        yield number, result
        last = number


def read_results(objects: Iterable[ResultObject], reader: Reader) -> Iterator[NumberedResult]:
    """The lines of result objects, one object after the other; each is opened when it is its turn."""
    for source in objects:
        yield from numbered_results(source.key, reader.stream(source.key, 0, source.bytes))


def numbered_results(key: str, chunks: Iterable[bytes]) -> Iterator[NumberedResult]:
    """The result lines in these bytes of an object, which begin and end with lines."""
    for start, _, line in split_lines(chunks, line_bytes_max=RECORD_BYTES_MAX):
        if line is None:
            raise ValueError(f"{key}: the line {start} bytes on is too long.")
        yield line_number(line), line + b"\n"


def read_refused(key: str, reader: Reader) -> Iterator[NumberedResult]:
    """The lines that were refused when the batch was validated, as they were written down then."""
    for line in decode_records(reader.stream(key)):
        yield line.number, line.result
