"""Puts a batch's results together and ends it: every line of its plan once, in input order, or it doesn't end.

A second call writes the same bytes to the same keys under the same file ids, for all that it reads is settled: the rows
of shards that are done, and the objects that they name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Literal

from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.errors import StateConflict, Unavailable
from offpeak.core.file import File, expires_at
from offpeak.core.gathering import is_gathering
from offpeak.core.ids import FILE
from offpeak.core.layout import error_key, invalid_lines_key, output_key
from offpeak.core.ledger import Entry
from offpeak.core.ports import (
    PARTS_MAX,
    Accounts,
    Add,
    Batches,
    Callbacks,
    Changes,
    Clock,
    GroupChecks,
    Ledger,
    Multipart,
    ObjectInfo,
    Reader,
    Requests,
    Runs,
    Save,
    Shards,
    Writer,
)
from offpeak.core.run import CloseReason, Run
from offpeak.core.shard import ResultObject, Shard, ShardStatus
from offpeak.core.usage import Counts, Usage
from offpeak.steps.join_objects import join_objects
from offpeak.steps.merge_results import NumberedResult, merge_results, read_refused, read_results
from offpeak.steps.post_entries import POSTINGS_MAX, postings
from offpeak.steps.route_results import route_results
from offpeak.steps.settle_batch import settlement, used_models
from offpeak.steps.streamed_object import PART_BYTES, StreamedObject

JSON_LINES = "application/jsonl"
OUTPUT_PURPOSE = "batch_output"
Kind = Literal["output", "error"]


def finalize_batch(
    account_id: str, batch_id: str, *, clock: Clock, reader: Reader, writer: Writer,
    multipart: Multipart, accounts: Accounts, batches: Batches, runs: Runs, shards: Shards,
    changes: Changes, requests: Requests, group_checks: GroupChecks, callbacks: Callbacks,
    ledger: Ledger,
) -> Batch:  # fmt: skip
    """The batch, ended. Raises StateConflict (code `batch_incomplete`) when its results don't add up to its plan."""
    batch = batches.get(account_id, batch_id)
    if batch.is_terminal:
        return batch
    of_batch = runs.of_batch(batch_id)
    done = [shard for run in of_batch for shard in _done_shards(run, shards)]
    counts = _checked_counts(batch, of_batch, done)
    if is_gathering(batch_id):
        for shard in done:
            route_results(
                shard, clock=clock, reader=reader, changes=changes, accounts=accounts, runs=runs,
                shards=shards, requests=requests, group_checks=group_checks, callbacks=callbacks,
                ledger=ledger,
            )  # fmt: skip
        ended = _ended_without_files(batch, of_batch, done, clock)
        return _commit(ended, [], [], batches, changes, ledger)
    results = _Results(batch, done, reader, writer, multipart)
    output = results.put("output", output_key(batch_id), counts.completed)
    errors = results.put("error", error_key(batch_id), counts.failed)
    now = int(clock.now())
    files = [_file(batch, "output", output, now)] if output else []
    files += [_file(batch, "error", errors, now)] if errors else []
    models = used_models(of_batch, done)
    ended = batch.ended(
        _last_status(batch, of_batch), counts=counts,
        usage=sum((model.usage for model in models), Usage()),
        cost_microdollars=sum(model.cost_microdollars for model in models),
        output_file_id=_file_id(batch, "output") if output else None,
        error_file_id=_file_id(batch, "error") if errors else None, now=now,
    )  # fmt: skip
    return _commit(ended, files, settlement(batch, models, now), batches, changes, ledger)


def _ended_without_files(
    batch: Batch, of_batch: Sequence[Run], done: Sequence[Shard], clock: Clock
) -> Batch:
    """A gathering's: its results are where its requests know them to be."""
    return batch.ended(
        _last_status(batch, of_batch), counts=sum((shard.counts for shard in done), Counts()),
        usage=sum((shard.usage for shard in done), Usage()), output_file_id=None,
        error_file_id=None, now=int(clock.now()),
    )  # fmt: skip


def _done_shards(run: Run, shards: Shards) -> list[Shard]:
    """All of the run's shards, in their order."""
    found = list(shards.of_run(run.batch_id, run.number))
    lacking = [shard for shard in found if shard.status is not ShardStatus.DONE]
    if lacking or [shard.number for shard in found] != list(range(run.shards)):
        raise _incomplete(
            f"{len(found) - len(lacking)} of the {run.shards} shards of run {run.id} have results"
        )
    return found


def _checked_counts(batch: Batch, of_batch: Sequence[Run], done: Iterable[Shard]) -> Counts:
    counts = sum((shard.counts for shard in done), Counts())
    planned = sum(run.lines for run in of_batch) + batch.invalid_lines
    failed = counts.failed + batch.invalid_lines
    if not batch.counts.total == planned == counts.completed + failed:
        raise _incomplete(
            f"batch {batch.id} has {batch.counts.total} lines, its plan {planned}, its results "
            f"{counts.completed} + {failed}"
        )
    return Counts(total=planned, completed=counts.completed, failed=failed)


def _last_status(batch: Batch, of_batch: Iterable[Run]) -> BatchStatus:
    """`expired` when work still went on at its deadline, even if the last of it was done in the grace."""
    if batch.status is BatchStatus.CANCELLING:
        return BatchStatus.CANCELLED
    expired = any(run.close_reason is CloseReason.EXPIRED for run in of_batch)
    return BatchStatus.EXPIRED if expired else BatchStatus.COMPLETED


class _Results:
    """The result objects of a batch's shards."""

    def __init__(
        self, batch: Batch, done: Iterable[Shard], reader: Reader, writer: Writer,
        multipart: Multipart,
    ) -> None:  # fmt: skip
        self._batch = batch
        self._done = sorted(done, key=lambda shard: shard.first_line)
        self._reader = reader
        self._writer = writer
        self._multipart = multipart

    def put(self, kind: Kind, key: str, lines: int) -> ObjectInfo | None:
        """The batch's object of one kind, of so many lines; None when it has none."""
        refused = self._batch.invalid_lines if kind == "error" else 0
        of_runs: dict[int, list[ResultObject]] = defaultdict(list)
        in_order: list[ResultObject] = []
        for shard in self._done:
            source = shard.output if kind == "output" else shard.errors
            if source is not None:
                of_runs[shard.run].append(source)
                in_order.append(source)
        if sum(source.lines for source in in_order) + refused != lines:
            found = sum(source.lines for source in in_order)
            raise _incomplete(f"{key} would have {found} + {refused} of {lines} lines")
        if not lines:
            return None
        if refused or not self._are_apart:
            streams = [read_results(of_run, self._reader) for of_run in of_runs.values()]
            if refused:
                streams.append(read_refused(invalid_lines_key(self._batch.id), self._reader))
            part_bytes = _part_bytes(sum(source.bytes for source in in_order))
            return self._merge(streams, key, lines, part_bytes)
        return self._join(in_order, key)

    @property
    def _are_apart(self) -> bool:
        """Whether no shard's lines lie among another's: so it is with one model a file, or one after the other."""
        return all(this.last_line < after.first_line for this, after in pairwise(self._done))

    def _join(self, sources: Sequence[ResultObject], key: str) -> ObjectInfo:
        info = join_objects(
            sources, key, JSON_LINES,
            reader=self._reader, multipart=self._multipart, writer=self._writer,
        )  # fmt: skip
        expected = sum(source.bytes for source in sources)
        if info.bytes != expected:
            raise _incomplete(f"{key} has {info.bytes} of {expected} bytes")
        return info

    def _merge(
        self, streams: Sequence[Iterator[NumberedResult]], key: str, lines: int, part_bytes: int
    ) -> ObjectInfo:
        target = StreamedObject(
            key, writer=self._writer, multipart=self._multipart, content_type=JSON_LINES,
            part_bytes=part_bytes,
        )  # fmt: skip
        with target:
            written = merge_results(streams, target)
            if written != lines:
                raise _incomplete(f"{key} would have {written} of {lines} lines")
            return target.close()


def _part_bytes(total: int) -> int:
    """Twice what is needed for the parts to suffice: refused lines are not counted in `total`."""
    return max(PART_BYTES, -(-2 * total // PARTS_MAX))


def _file(batch: Batch, kind: Kind, info: ObjectInfo, now: int) -> File:
    return File(
        id=_file_id(batch, kind), account_id=batch.account_id, filename=f"{batch.id}_{kind}.jsonl",
        purpose=OUTPUT_PURPOSE, bytes=info.bytes, key=info.key, created_at=now,
        expires_at=expires_at(now, batch.output_expires_after), etag=info.etag,
    )  # fmt: skip


def _file_id(batch: Batch, kind: Kind) -> str:
    """The same at each call, and sorted by time as all ids are."""
    if batch.finalizing_at is None:
        raise StateConflict(f"Batch {batch.id} is {batch.status}; it was not closed yet.")
    digest = sha256(f"{batch.id} {kind}".encode()).hexdigest()
    return f"{FILE}{batch.finalizing_at * 1000:012x}{digest[:16]}"


def _commit(
    ended: Batch, files: Sequence[File], entries: Sequence[Entry], batches: Batches,
    changes: Changes, ledger: Ledger,
) -> Batch:  # fmt: skip
    """Ends the batch and settles it at once. Other batches of the account may move its balance meanwhile."""
    for _ in range(POSTINGS_MAX):
        posted = postings(ledger.balance(ended.account_id), entries)
        try:
            changes.commit(*(Add(file) for file in files), *posted, Save(ended))
        except StateConflict:
            found = batches.get(ended.account_id, ended.id)
            if found.is_terminal:
                return found
            if found.version != ended.version:
                raise
            continue
        return ended
    raise Unavailable(f"The balance of {ended.account_id} changed {POSTINGS_MAX} times meanwhile.")


def _incomplete(what: str) -> StateConflict:
    return StateConflict(f"The results are not complete: {what}.", code="batch_incomplete")
