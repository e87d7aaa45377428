"""Puts a batch's results together and ends it: every line of its plan once, in input order, or it doesn't end.

A second call writes the same bytes to the same keys under the same file ids, for all that it reads is settled: the rows
of shards that are done, and the objects that they name. Where there is much, others share in it (`result_file.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise

from offpeak.core.account import DAY_SECONDS, RETENTION_DAYS
from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.catalogue import Catalogue
from offpeak.core.errors import StateConflict, Unavailable
from offpeak.core.file import File
from offpeak.core.gathering import is_gathering
from offpeak.core.ids import FILE
from offpeak.core.layout import ResultKind
from offpeak.core.ledger import Entry
from offpeak.core.ports import (
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
    WorkMetrics,
    Writer,
)
from offpeak.core.run import CloseReason, Run
from offpeak.core.shard import ResultObject, Shard, ShardStatus
from offpeak.core.usage import Counts, Usage
from offpeak.planner.cut_results import IN_ONE_CALL, AssemblyLimits
from offpeak.steps.check_enqueued import free_enqueued
from offpeak.steps.estimate_errors import estimate_errors, with_errors
from offpeak.steps.post_entries import POSTINGS_MAX, postings
from offpeak.steps.result_chunks import ChunkPlace, incomplete
from offpeak.steps.result_file import ResultFile, Results
from offpeak.steps.route_results import route_results
from offpeak.steps.run_at_once import footprint_of, with_counterfactual
from offpeak.steps.settle_batch import settlement, used_models

OUTPUT_PURPOSE = "batch_output"
KEPT_SECONDS = RETENTION_DAYS * DAY_SECONDS  # of batches from before they said it


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalized:
    """`chunks` are for `assemble_results`, and finalising is to be called again when they are done. The batch has ended
    when there are none."""

    batch: Batch
    chunks: Sequence[ChunkPlace] = ()


def finalize_batch(
    account_id: str, batch_id: str, *, clock: Clock, reader: Reader, writer: Writer,
    multipart: Multipart, accounts: Accounts, batches: Batches, runs: Runs, shards: Shards,
    changes: Changes, requests: Requests, group_checks: GroupChecks, callbacks: Callbacks,
    ledger: Ledger, assembly_limits: AssemblyLimits = IN_ONE_CALL,
    region: str = "", catalogue: Catalogue | None = None, work_metrics: WorkMetrics | None = None,
) -> Finalized:  # fmt: skip
    """The batch, ended; or the chunks to be assembled first, where its results are more than `assembly_limits` allows.

    Raises StateConflict (code `batch_incomplete`) when its results don't add up to its plan.
    """
    batch = batches.get(account_id, batch_id)
    if batch.is_terminal:
        return Finalized(batch=batch)
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
        return Finalized(batch=_commit(batch, ended, [], [], batches, changes, ledger))
    lines: dict[ResultKind, int] = {"output": counts.completed, "error": counts.failed}
    results = {kind: _results(batch, of_batch, done, kind, lines[kind]) for kind in lines}
    files = {
        kind: ResultFile(
            batch, kind, reader=reader, writer=writer, multipart=multipart,
            limits=assembly_limits,
        )
        for kind in lines
    }  # fmt: skip
    chunks = [chunk for kind in files for chunk in files[kind].undone(results[kind])]
    if chunks:
        return Finalized(batch=batch, chunks=chunks)
    put = {kind: files[kind].put(results[kind]) for kind in files}
    now = int(clock.now())
    models = with_counterfactual(
        used_models(of_batch, done), batch, reader=reader, region=region, catalogue=catalogue
    )
    ended = batch.ended(
        _last_status(batch, of_batch), counts=counts,
        usage=sum((model.usage for model in models), Usage()),
        cost_microdollars=sum(model.cost_microdollars for model in models),
        footprint=footprint_of(models),
        output_file_id=_file_id(batch, "output") if put["output"] else None,
        error_file_id=_file_id(batch, "error") if put["error"] else None, now=now,
    )  # fmt: skip
    rows = [_file(batch, kind, info, now) for kind, info in put.items() if info]
    if ended.status is BatchStatus.COMPLETED:
        models = with_errors(models, of_batch, batch)
    entries = settlement(batch, models, now)
    committed = _commit(batch, ended, rows, entries, batches, changes, ledger)
    if work_metrics is not None and committed.status is BatchStatus.COMPLETED:
        _publish_estimates(batch, of_batch, now, work_metrics)
    return Finalized(batch=committed)


def _publish_estimates(
    batch: Batch, of_batch: Sequence[Run], now: int, work_metrics: WorkMetrics
) -> None:
    """How far off its end was foretold."""
    for run in of_batch:
        if errors := estimate_errors(run, batch):
            work_metrics.publish_estimates(run.pool, now, errors)


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
        raise incomplete(
            f"{len(found) - len(lacking)} of the {run.shards} shards of run {run.id} have results"
        )
    return found


def _checked_counts(batch: Batch, of_batch: Sequence[Run], done: Iterable[Shard]) -> Counts:
    counts = sum((shard.counts for shard in done), Counts())
    planned = sum(run.lines for run in of_batch) + batch.invalid_lines
    failed = counts.failed + batch.invalid_lines
    if not batch.counts.total == planned == counts.completed + failed:
        raise incomplete(
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


def _results(
    batch: Batch, of_batch: Sequence[Run], done: Sequence[Shard], kind: ResultKind, lines: int
) -> Results:
    """What the batch's file of one kind is made of, of so many lines."""
    refused = batch.invalid_lines if kind == "error" else 0
    of_runs: dict[int, list[ResultObject]] = defaultdict(list)
    sources: list[ResultObject] = []
    by_line = sorted(done, key=lambda shard: shard.first_line)
    for shard in by_line:
        source = shard.output if kind == "output" else shard.errors
        if source is not None:
            of_runs[shard.run].append(source)
            sources.append(source)
    found = sum(source.lines for source in sources)
    if found + refused != lines:
        raise incomplete(f"the {kind} file would have {found} + {refused} of {lines} lines")
    in_order = not any(run.is_reordered for run in of_batch)
    # So it is with one model a file, or one after the other.
    apart = all(this.last_line < after.first_line for this, after in pairwise(by_line))
    return Results(
        sources=sources, of_runs=list(of_runs.values()), are_apart=in_order and apart,
        in_order=in_order, refused=refused, lines=lines,
    )  # fmt: skip


def _file(batch: Batch, kind: ResultKind, info: ObjectInfo, now: int) -> File:
    return File(
        id=_file_id(batch, kind), account_id=batch.account_id, filename=f"{batch.id}_{kind}.jsonl",
        purpose=OUTPUT_PURPOSE, bytes=info.bytes, key=info.key, created_at=now,
        expires_at=now + (batch.output_expires_after or KEPT_SECONDS), etag=info.etag,
    )  # fmt: skip


def _file_id(batch: Batch, kind: ResultKind) -> str:
    """The same at each call, and sorted by time as all ids are."""
    if batch.finalizing_at is None:
        raise StateConflict(f"Batch {batch.id} is {batch.status}; it was not closed yet.")
    digest = sha256(f"{batch.id} {kind}".encode()).hexdigest()
    return f"{FILE}{batch.finalizing_at * 1000:012x}{digest[:16]}"


def _commit(
    batch: Batch, ended: Batch, files: Sequence[File], entries: Sequence[Entry], batches: Batches,
    changes: Changes, ledger: Ledger,
) -> Batch:  # fmt: skip
    """Ends the batch, settles it and gives back what it held, at once. Other batches of the account may move its
    balance and its enqueued tokens meanwhile."""
    for _ in range(POSTINGS_MAX):
        posted = postings(ledger.balance(ended.account_id), entries)
        freed = free_enqueued(batch, ledger)
        try:
            changes.commit(*(Add(file) for file in files), *posted, *freed, Save(ended))
        except StateConflict:
            found = batches.get(ended.account_id, ended.id)
            if found.is_terminal:
                return found
            if found.version != ended.version:
                raise
            continue
        return ended
    raise Unavailable(f"The account {ended.account_id} changed {POSTINGS_MAX} times meanwhile.")
