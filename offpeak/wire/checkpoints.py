"""Finished lines with what is needed to place and count them: a worker's checkpoints, and a batch's refused lines.

JSON Lines, in the order the lines were finished; a reader takes a line number's first record.

    [number, "output" | "error", [input, cached, output, reasoning tokens], {…the result line…}]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from offpeak.core.request_line import FinishedLine
from offpeak.core.usage import Usage
from offpeak.wire.jsonl import split_lines

RECORD_BYTES_MAX = 1_000_000_000
"""Far above any answer: the limit is there because every buffer has one."""


class _Record(msgspec.Struct, array_like=True, frozen=True):
    number: int
    kind: Literal["output", "error"]
    usage: tuple[int, int, int, int]
    result: msgspec.Raw


_DECODER = msgspec.json.Decoder(_Record)


def encode_record(line: FinishedLine) -> bytes:
    """One record, its newline included."""
    usage = line.usage
    return b'[%d,"%b",[%d,%d,%d,%d],%b]\n' % (
        line.number, line.kind.encode(), usage.input_tokens, usage.cached_tokens,
        usage.output_tokens, usage.reasoning_tokens, line.result.rstrip(b"\n"),
    )  # fmt: skip


def decode_record(record: bytes) -> FinishedLine:
    """Raises `msgspec.DecodeError` (a ValueError) for anything that is no record."""
    decoded = _DECODER.decode(record)
    input_tokens, cached_tokens, output_tokens, reasoning_tokens = decoded.usage
    usage = Usage(
        input_tokens=input_tokens, cached_tokens=cached_tokens,
        output_tokens=output_tokens, reasoning_tokens=reasoning_tokens,
    )  # fmt: skip
    result = bytes(decoded.result) + b"\n"
    return FinishedLine(number=decoded.number, kind=decoded.kind, result=result, usage=usage)


def decode_records(chunks: Iterable[bytes]) -> Iterator[FinishedLine]:
    """Every record of a checkpoint object, in its order. Memory holds a chunk and a record."""
    for start, _, record in split_lines(chunks, line_bytes_max=RECORD_BYTES_MAX):
        if record is None:
            raise ValueError(f"The record at byte {start} is over {RECORD_BYTES_MAX} bytes.")
        yield decode_record(record)
