"""The finished lines of a batch, in pages, while it runs and when it has ended.

A shard's lines can be had when the shard is done: nothing is read that a worker still writes, and nothing is written. A
page is what fits an answer; whoever reads on says how far they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.errors import InvalidRequest, NotFound, StateConflict
from offpeak.core.layout import ResultKind, invalid_lines_key
from offpeak.core.ports import Batches, Clock, Files, Reader, Runs, Shards
from offpeak.core.shard import ResultObject, Shard, ShardStatus
from offpeak.steps.find_file import find_file
from offpeak.wire.checkpoints import decode_record
from offpeak.wire.results import line_number, render_error
from offpeak.wire.results_cursor import ReadResults, decode_cursor, encode_cursor

PAGE_BYTES_MAX = 2_900_000
"""As JSON, which a function's answer is, a page has at most twice as many; 6 MB is the limit."""
OBJECTS_MAX = 200
ROWS_MAX = 10_000
"""What a page may read, so that it comes within a call's time. A page that ends for it says that there is more."""
KINDS: tuple[ResultKind, ...] = ("output", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultPage:
    """`lines` are whole result lines, ASCII, in order within each shard and kind. `has_more`: the next page has some at
    once. `incomplete`: the batch goes on, so that there will be more later."""

    status: BatchStatus
    lines: bytes
    after: str
    has_more: bool
    incomplete: bool


def read_partial_results(
    account_id: str, batch_id: str, *, after: str | None, kind: ResultKind | None, clock: Clock,
    reader: Reader, files: Files, batches: Batches, runs: Runs, shards: Shards,
    page_bytes_max: int = PAGE_BYTES_MAX,
) -> ResultPage:  # fmt: skip
    """The page after `after`, which is the last one's own; the first without. Of one kind of lines, or both.

    Raises InvalidRequest for an `after` that is none or of another kind, NotFound for a foreign batch and for an ended
    one whose files were deleted, StateConflict (code `results_moved`) when only its files are left.
    """
    batch = batches.get(account_id, batch_id)
    read = decode_cursor(after) if after is not None else ReadResults(kind=kind)
    if read.kind != kind:
        raise InvalidRequest(
            "'after' is of another 'kind' than this call.", param="after", code="invalid_after"
        )
    if batch.is_terminal:
        _check_files(batch, kind, clock, files)
    page = _Page(batch, read, reader, page_bytes_max)
    try:
        ended = page.take(runs, shards)
    except ValueError:
        # Whoever makes a cursor up may ask for bytes where no line begins.
        raise InvalidRequest(
            "'after' names no place in these results.", param="after", code="invalid_after"
        ) from None
    except NotFound:
        raise StateConflict(
            f"Batch {batch_id} has ended some time ago: download its output_file_id and error_file_id.",
            code="results_moved",
        ) from None
    return ResultPage(
        status=batch.status, lines=page.lines, after=encode_cursor(page.read), has_more=not ended,
        incomplete=not batch.is_terminal,
    )  # fmt: skip


def _check_files(batch: Batch, kind: ResultKind | None, clock: Clock, files: Files) -> None:
    """What its owner has deleted, or given a time that is over, can't be had by another way."""
    of_kind = {"output": batch.output_file_id, "error": batch.error_file_id}
    for each in KINDS if kind is None else (kind,):
        file_id = of_kind[each]
        if file_id is not None:
            find_file(batch.account_id, file_id, clock=clock, files=files)


class _Full(Exception):
    pass


class _Page:
    def __init__(self, batch: Batch, read: ReadResults, reader: Reader, bytes_max: int) -> None:
        self._batch = batch
        self._reader = reader
        self._bytes_max = bytes_max
        self._lines: list[bytes] = []
        self._bytes = 0
        self._objects = self._rows = 0
        self.read = read

    @property
    def lines(self) -> bytes:
        return b"".join(self._lines)

    def take(self, runs: Runs, shards: Shards) -> bool:
        """Whether all that there is was taken."""
        try:
            self._take_refused()
            self._take_started(shards)
            for run in runs.of_batch(self._batch.id):
                self._take_run(run.number, shards)
        except _Full:
            return False
        return True

    def _take_started(self, shards: Shards) -> None:
        """The rest of what the last page began, before any other: a cursor has one place alone."""
        if self.read.place is None:
            return
        run, number = self.read.place[:2]
        shard = shards.get(self._batch.id, run, number)
        if shard.status is not ShardStatus.DONE or number in self.read.of_run(run):
            raise ValueError(f"Shard {shard.id} was not read in part.")
        self._take_shard(shard)
        self.read = self.read.with_shard(run, number)

    def _take_run(self, run: int, shards: Shards) -> None:
        first = self.read.of_run(run).below
        for shard in shards.of_run(self._batch.id, run, first):
            self._rows += 1
            if self._rows > ROWS_MAX:
                raise _Full
            if shard.status is ShardStatus.DONE and shard.number not in self.read.of_run(run):
                self._take_shard(shard)
                self.read = self.read.with_shard(run, shard.number)

    def _take_refused(self) -> None:
        if not self._batch.invalid_lines or self.read.kind == "output":
            return
        key = invalid_lines_key(self._batch.id)
        size = self._reader.head(key).bytes
        for record, stop in self._read_lines(key, self.read.refused, size):
            self._add(decode_record(record).result)
            self.read = replace(self.read, refused=stop)

    def _take_shard(self, shard: Shard) -> None:
        """What of it was not read yet: the place goes along, so that a page may end anywhere."""
        at = self.read.place
        started = at is not None and at[:2] == (shard.run, shard.number)
        for kind in KINDS if self.read.kind is None else (self.read.kind,):
            source: ResultObject | None = shard.output if kind == "output" else shard.errors
            start = 0
            if started and at is not None:
                if kind == "output" and at[2] == "error":
                    continue
                start = at[3] if at[2] == kind else 0
            if source is None:
                continue
            for line, stop in self._read_lines(source.key, start, source.bytes):
                self._add(line)
                self.read = replace(self.read, place=(shard.run, shard.number, kind, stop))

    def _read_lines(self, key: str, start: int, size: int) -> Iterator[tuple[bytes, int]]:
        """Its lines from byte `start` on, each with where it ends; until the page is full."""
        if start and self._reader.read(key, start - 1, start) != b"\n":
            raise ValueError(f"{key} has no line at byte {start}.")
        while start < size:
            self._objects += 1
            room = self._bytes_max - self._bytes
            if room <= 0 or self._objects > OBJECTS_MAX:
                raise _Full
            body = self._reader.read(key, start, min(start + room, size))
            if b"\n" not in body:
                if self._lines:
                    raise _Full  # it is the next page's first
                body = b"".join(self._reader.stream(key, start, size)).partition(b"\n")[0] + b"\n"
            for line in body[: body.rindex(b"\n") + 1].splitlines(keepends=True):
                start += len(line)
                yield line, start

    def _add(self, line: bytes) -> None:
        if len(line) > self._bytes_max:
            # Nobody's answer is so long but some embeddings': the page says so, and the file has it in the end.
            line = render_error(
                batch_id=self._batch.id, line=line_number(line), custom_id=None,
                code="result_too_large",
                message="This result is too large for a page; the batch's file will have it.",
            )  # fmt: skip
        self._lines.append(line)
        self._bytes += len(line)
