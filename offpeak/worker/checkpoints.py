"""What of a shard is finished: read from earlier attempts' checkpoints, added to, flushed, written out at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from offpeak.core.invocation import ShardOrder
from offpeak.core.layout import JSON_LINES
from offpeak.core.ports import Reader, Writer
from offpeak.core.request_line import FinishedLine, paid_usage
from offpeak.core.shard import ResultObject
from offpeak.core.usage import Counts, Usage
from offpeak.wire.checkpoints import encode_record
from offpeak.wire.finished import finished_objects


@dataclass(frozen=True, slots=True)
class Part:
    """A checkpoint object that is ready to be written: the finished lines that no object holds yet."""

    key: str
    body: bytes
    lines: int


class Checkpoints:
    """Memory holds the shard's finished lines. `load` and `write_results` call ports and are meant for a thread, while
    nothing is added; the rest is quick and belongs to the event loop."""

    def __init__(self, order: ShardOrder, *, reader: Reader, writer: Writer) -> None:
        self._prefix = order.work_prefix
        self._attempt = order.attempt
        self._reader = reader
        self._writer = writer
        self._total = sum(segment.lines for segment in order.segments)
        self._finished: dict[int, FinishedLine] = {}
        self._pending: list[FinishedLine] = []
        self._sequence = 0
        self.pending_bytes = 0

    def __contains__(self, number: int) -> bool:
        return number in self._finished

    def __len__(self) -> int:
        return len(self._finished)

    @property
    def left(self) -> int:
        """Lines that have no result yet."""
        return self._total - len(self._finished)

    @property
    def counts(self) -> Counts:
        failed = sum(line.kind == "error" for line in self._finished.values())
        return Counts(total=self._total, completed=len(self._finished) - failed, failed=failed)

    @property
    def usage(self) -> Usage:
        return paid_usage(self._finished.values())

    def load(self) -> None:
        """Takes over what earlier attempts have finished: the first record of a line, in the order of keys."""
        for _, lines in finished_objects(self._reader, self._prefix):
            for line in lines:
                self._finished.setdefault(line.number, line)

    def add(self, line: FinishedLine) -> None:
        if line.number in self._finished:
            raise ValueError(f"Line {line.number} is already finished.")
        self._finished[line.number] = line
        self._pending.append(line)
        self.pending_bytes += len(line.result)

    def next_part(self) -> Part | None:
        """What a flush has to write now. Until it is `flushed`, a later part has the same key and holds more."""
        if not self._pending:
            return None
        key = f"{self._prefix}checkpoints/{self._attempt:04}-{self._sequence:04}.jsonl"
        return Part(key, b"".join(map(encode_record, self._pending)), len(self._pending))

    def flushed(self, part: Part) -> None:
        """`part` is written. At most one part may be on its way at a time."""
        self._sequence += 1
        self.pending_bytes -= sum(len(line.result) for line in self._pending[: part.lines])
        del self._pending[: part.lines]

    def write_results(self, kind: Literal["output", "error"], name: str) -> ResultObject | None:
        """The attempt's object of all lines of this kind, in input order; None when there are none."""
        lines = self._sorted(kind)
        if not lines:
            return None
        key = f"{self._prefix}{self._attempt:04}/{name}"
        info = self._writer.put(key, b"".join(line.result for line in lines), JSON_LINES)
        return ResultObject(key=key, bytes=info.bytes, lines=len(lines))

    def _sorted(self, kind: Literal["output", "error"]) -> Sequence[FinishedLine]:
        return sorted(
            (line for line in self._finished.values() if line.kind == kind),
            key=lambda line: line.number,
        )
