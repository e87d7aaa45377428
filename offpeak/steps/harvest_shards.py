"""Gives results to the lines of shards that ended early, dispatched or not: what their checkpoints hold is kept, every
other line gets an error that says why it has none.

A harvest takes the shard's next attempt first. So whatever a worker or another harvest of it still writes or reports is
stale, and the objects this one names are its alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.errors import NotFound, StateConflict, Unavailable
from offpeak.core.gathering import is_gathering
from offpeak.core.layout import JSON_LINES, shard_prefix
from offpeak.core.ports import Add, Batches, Changes, Clock, Reader, Runs, Save, Shards, Writer
from offpeak.core.request_line import FinishedLine, paid_usage
from offpeak.core.run import CloseReason, Run
from offpeak.core.shard import PlannedShard, ResultObject, Shard, ShardStatus
from offpeak.core.usage import Counts, Usage
from offpeak.steps.move_shard import CONFLICTS_MAX
from offpeak.steps.show_request import EXPIRED
from offpeak.wire.finished import finished_objects
from offpeak.wire.manifest import iterate_shards
from offpeak.wire.request_lines import read_line
from offpeak.wire.results import render_error
from offpeak.wire.segments import read_lines

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Reason:
    code: str
    message: str


_CANCELLED = _Reason("batch_cancelled", "The batch was cancelled before this request was finished.")
_EXPIRED = _Reason(
    "batch_expired", "This request could not be finished before the completion window expired."
)
_REQUEST_EXPIRED = _Reason(
    EXPIRED, "This request could not be finished before its completion window expired."
)
_ENGINE_FAILED = _Reason(
    "engine_error",
    "The engine failed each time it worked on this request or on one beside it. Send the request again in a new batch.",
)
_INPUT_GONE = _Reason(
    "input_replaced",
    "The input was replaced or removed while the batch ran, before this request was read. "
    "Results that were finished by then are kept.",
)


def harvest_shards(
    account_id: str, batch_id: str, run: int, first: int, last: int, *, clock: Clock,
    reader: Reader, writer: Writer, batches: Batches, runs: Runs, shards: Shards, changes: Changes,
) -> int:  # fmt: skip
    """How many of the run's shards `first` to `last` got results. Those that have them are passed over.

    Raises StateConflict when one is still open, Unavailable when another harvest keeps taking it over.
    """
    batch = batches.get(account_id, batch_id)
    if batch.is_terminal:
        return 0
    its_run = runs.get(batch_id, run)
    harvest = _Harvest(batch, its_run, int(clock.now()), reader, writer, shards, changes)
    planned = _planned(its_run, first, last, reader, shards)
    return sum(harvest.harvest(shard, start, stop) for shard, start, stop in planned)


def _planned(
    run: Run, first: int, last: int, reader: Reader, shards: Shards
) -> Iterator[tuple[PlannedShard, int, int]]:
    """Manifest lines of the shards asked for. Every shard before the run's cursor has a row that knows its place."""
    try:
        start = shards.get(run.batch_id, run.number, first).manifest_start
    except NotFound:
        start = run.cursor_byte
    chunks = reader.stream(run.manifest_key, start, run.manifest_bytes)
    for planned, line_start, line_stop in iterate_shards(chunks, start):
        if planned.number > last:
            return
        if planned.number >= first:
            yield planned, line_start, line_stop


class _Harvest:
    """Of one run. Memory holds a shard's finished lines."""

    def __init__(
        self, batch: Batch, run: Run, now: int, reader: Reader, writer: Writer, shards: Shards,
        changes: Changes,
    ) -> None:  # fmt: skip
        self._batch = batch
        self._run = run
        self._now = now
        self._reader = reader
        self._writer = writer
        self._shards = shards
        self._changes = changes

    def harvest(self, planned: PlannedShard, start: int, stop: int) -> bool:
        """Whether it was this harvest that gave the shard its results."""
        for _ in range(CONFLICTS_MAX):
            shard = self._take(planned, start, stop)
            if shard is None:
                return False
            try:
                self._changes.commit(Save(self._finish(shard, planned)))
            except StateConflict:
                continue
            return True
        raise self._contended(planned)

    def _take(self, planned: PlannedShard, start: int, stop: int) -> Shard | None:
        """The shard's row under an attempt of our own, as stored; None when it is done."""
        for _ in range(CONFLICTS_MAX):
            found = self._find(planned.number)
            if found is not None and found.status is ShardStatus.DONE:
                return None
            try:
                taken = found.harvesting() if found else self._first_row(planned, start, stop)
            except StateConflict:
                raise StateConflict(f"Shard {self._run.id}.{planned.number} is open.") from None
            try:
                self._changes.commit(Save(taken) if found else Add(taken))
            except StateConflict:
                continue
            stored = self._find(planned.number)
            if stored is not None and stored.attempt == taken.attempt and not stored.is_open:
                return stored
        raise self._contended(planned)

    def _find(self, number: int) -> Shard | None:
        try:
            return self._shards.get(self._run.batch_id, self._run.number, number)
        except NotFound:
            return None

    def _first_row(self, planned: PlannedShard, start: int, stop: int) -> Shard:
        return self._run.first_row(
            planned, manifest_start=start, manifest_stop=stop, status=ShardStatus.CLOSED,
            due_at=self._now,
        )  # fmt: skip

    def _finish(self, shard: Shard, planned: PlannedShard) -> Shard:
        """Writes the result objects; the row that names them."""
        prefix = shard_prefix(shard.batch_id, shard.run, shard.number)
        finished = _checkpointed(prefix, self._reader)
        reason = _reason(self._batch, self._run, shard)
        results: dict[str, list[bytes]] = {"output": [], "error": []}
        usage = Usage()
        for number, custom_id, is_read in sorted(_custom_ids(planned, self._reader)):
            line = finished.get(number) or self._unfinished(
                number, custom_id, reason if is_read else _INPUT_GONE
            )
            results[line.kind].append(line.result)
            usage += paid_usage([line])
        own = f"{prefix}{shard.attempt:04}/"
        return shard.done(
            counts=Counts(
                total=shard.lines, completed=len(results["output"]), failed=len(results["error"])
            ),
            usage=usage,
            output=self._put(own + "output.jsonl", results["output"]),
            errors=self._put(own + "errors.jsonl", results["error"]),
            report_key=None,
        )

    def _unfinished(self, number: int, custom_id: str | None, reason: _Reason) -> FinishedLine:
        result = render_error(
            batch_id=self._batch.id, line=number, custom_id=custom_id, code=reason.code,
            message=reason.message,
        )  # fmt: skip
        return FinishedLine(number=number, kind="error", result=result)

    def _put(self, key: str, lines: list[bytes]) -> ResultObject | None:
        if not lines:
            return None
        info = self._writer.put(key, b"".join(lines), JSON_LINES)
        return ResultObject(key=key, bytes=info.bytes, lines=len(lines))

    def _contended(self, planned: PlannedShard) -> Unavailable:
        return Unavailable(f"Shard {self._run.id}.{planned.number} is harvested elsewhere, too.")


def _reason(batch: Batch, run: Run, shard: Shard) -> _Reason:
    if shard.engine_failed:
        return _ENGINE_FAILED
    if batch.status is BatchStatus.CANCELLING or run.close_reason is CloseReason.CANCELLED:
        return _CANCELLED
    return _REQUEST_EXPIRED if is_gathering(batch.id) else _EXPIRED


def _checkpointed(prefix: str, reader: Reader) -> Mapping[int, FinishedLine]:
    """What the shard's attempts finished: the first record of a line, in the order of keys."""
    finished: dict[int, FinishedLine] = {}
    for key, lines in finished_objects(reader, prefix):
        try:
            for line in lines:
                finished.setdefault(line.number, line)
        except ValueError as error:
            # A line that is lost here gets an error of its own; a harvest that gives up would hold up the batch.
            logger.error("%s is broken: %s", key, error)
    return finished


def _custom_ids(planned: PlannedShard, reader: Reader) -> Iterator[tuple[int, str | None, bool]]:
    """(line number, custom_id, whether the line could be read) of all its lines.

    Raises what the reader raises for rewritten lines: only they know their numbers, and they are ours to keep.
    """
    if any(segment.is_numbered for segment in planned.segments):
        for number, raw in read_lines(reader, planned.segments):
            yield number, read_line(raw, number).custom_id, True
        return
    expected = iter(
        number
        for segment in planned.segments
        for number in range(segment.first_line, segment.first_line + segment.lines)
    )
    try:
        for number, raw in read_lines(reader, planned.segments):
            yield next(expected), read_line(raw, number).custom_id, True
    except (NotFound, StateConflict, ValueError) as error:
        # The object was removed or replaced behind our back. The batch must end all the same.
        logger.error("the input of shard %d can't be read: %s", planned.number, error)
    for number in expected:
        yield number, None, False
