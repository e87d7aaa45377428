"""Merges the range reports of a batch and settles what becomes of it: it fails, or its lines are cut into runs.

The reports are walked in the order of the file, so the plan depends on nothing but them: a second planner writes the
same manifests, and of two at once one finds the batch already planned. Where another order of the lines pays, a draft
is kept, and planning is called again once `reorder_shards` has rewritten them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from offpeak.core.account import Account
from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.catalogue import Catalogue
from offpeak.core.draft import Draft
from offpeak.core.enqueued import Enqueued
from offpeak.core.errors import InsufficientCredits, QuotaExceeded, StateConflict, Unavailable
from offpeak.core.layout import batch_errors_key, draft_key
from offpeak.core.ports import (
    CHANGES_MAX,
    Accounts,
    Add,
    Batches,
    Changes,
    Clock,
    Ledger,
    Multipart,
    Reader,
    Runs,
    Save,
    Writer,
)
from offpeak.core.request_line import LineError
from offpeak.core.run import CloseReason, Run
from offpeak.core.sharing import CachedShare
from offpeak.core.usage import Counts
from offpeak.planner.sharing import GAIN_MIN
from offpeak.steps.check_enqueued import enqueued_by_model, hold_enqueued
from offpeak.steps.draft_plan import draft_plan
from offpeak.steps.hold_credits import Hold, estimate_cost, hold_credits
from offpeak.steps.merge_reports import MergedReports
from offpeak.steps.post_entries import POSTINGS_MAX, postings
from offpeak.steps.recut_run import recut_run
from offpeak.wire.batch_errors import ENTRIES_MAX, encode_batch_errors
from offpeak.wire.draft import decode_draft, encode_draft

_NO_DRAFT = Draft(runs=(), lines=0, invalid_lines=0)
RUNS_MAX = CHANGES_MAX - 4
"""One transaction takes them, the batch, the hold, the balance and what is enqueued."""

Next = Literal["run", "close", "announce", "reorder"]


@dataclass(frozen=True, slots=True)
class ChunkPlace:
    """A draft's chunk: of the run of this number, the one of this number."""

    run: int
    chunk: int


@dataclass(frozen=True, slots=True)
class Planning:
    """What `process_batch` does next. `chunks` are to be reordered before planning goes on; `shares`, by model, is what
    that was decided by."""

    next: Next
    chunks: Sequence[ChunkPlace] = ()
    shares: Mapping[str, CachedShare] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """Why the batch fails: the first of `total` errors, by line."""

    errors: Sequence[LineError]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """`estimate` is what it is expected to cost, in micro-dollars; `enqueued`: the account's row, its tokens added."""

    runs: Sequence[Run] = ()
    lines: int = 0
    invalid_lines: int = 0
    estimate: int = 0
    hold: Hold | None = None
    enqueued: Enqueued | None = None


def plan_shards(
    account_id: str, batch_id: str, ranges: int, is_reordered: bool = False, *, clock: Clock,
    accounts: Accounts, batches: Batches, runs: Runs, changes: Changes, reader: Reader,
    writer: Writer, multipart: Multipart, catalogue: Catalogue, ledger: Ledger,
    gain_min: float = GAIN_MIN,
) -> Planning:  # fmt: skip
    """What `process_batch` does next: release the runs, close a batch that has none to run, tell of its failure; or
    reorder its lines, where that gains `gain_min` of their prompts' bytes, and ask again, with `is_reordered`."""
    batch = batches.get(account_id, batch_id)
    settled = settled_plan(batch, runs)
    if settled:
        return Planning(settled)
    account = accounts.get(account_id)
    drafted: _Refusal | Draft
    if is_reordered:
        drafted = _recut(batch, reader, writer, multipart, catalogue)
    else:
        found = MergedReports(batch, ranges, reader)
        drafted = _refusal(batch, found, account.limits.request_lines_max) or draft_plan(
            batch, found, int(clock.now()), gain_min=gain_min, writer=writer, multipart=multipart,
            catalogue=catalogue,
        )  # fmt: skip
    draft = drafted if isinstance(drafted, Draft) else _NO_DRAFT
    found_out = _priced(drafted, account, ledger)
    shares = {each.run.model: each.share for each in draft.runs}
    chunks = _chunk_places(draft)
    for _ in range(POSTINGS_MAX):
        batch = batches.get(account_id, batch_id)
        settled = settled_plan(batch, runs)
        if settled:
            return Planning(settled, shares=shares)
        now = int(clock.now())
        verdict = _with_holds(batch, found_out, account, now, batches, ledger)
        if isinstance(verdict, _Refusal):
            body = encode_batch_errors(verdict.errors, verdict.total)
            writer.put(batch_errors_key(batch_id), body, "application/json")
        elif chunks and batch.status is BatchStatus.VALIDATING:
            kept = _kept(batch_id, draft, reader, writer)
            return Planning("reorder", _chunk_places(kept), shares)
        try:
            changes.commit(*_settle(batch, verdict, account, now))
        except StateConflict:
            continue
    settled = settled_plan(batches.get(account_id, batch_id), runs)
    if settled:
        return Planning(settled, shares=shares)
    raise Unavailable(f"Batch {batch_id} or its balance changed {POSTINGS_MAX} times meanwhile.")


def _recut(
    batch: Batch, reader: Reader, writer: Writer, multipart: Multipart, catalogue: Catalogue
) -> Draft:
    """The draft, in the new order. A batch that is being cancelled runs nothing in any order."""
    draft = decode_draft(reader.read(draft_key(batch.id)))
    if batch.status is BatchStatus.CANCELLING:
        return replace(draft, runs=tuple(replace(each, chunks=()) for each in draft.runs))
    recut = (recut_run(each, reader, writer, multipart, catalogue) for each in draft.runs)
    return replace(draft, runs=tuple(recut))


def _kept(batch_id: str, draft: Draft, reader: Reader, writer: Writer) -> Draft:
    """The first draft: chunks are rewritten and cut by one, however often planning is called meanwhile."""
    key = draft_key(batch_id)
    try:
        writer.put_over(key, encode_draft(draft), None, "application/json")
    except StateConflict:
        return decode_draft(reader.read(key))
    return draft


def _chunk_places(draft: Draft) -> Sequence[ChunkPlace]:
    return [
        ChunkPlace(each.run.number, chunk)
        for each in draft.runs
        for chunk in range(len(each.chunks))
    ]


def _priced(draft: _Refusal | Draft, account: Account, ledger: Ledger) -> _Refusal | _Plan:
    """The plan with what it is expected to cost."""
    if isinstance(draft, _Refusal):
        return draft
    runs = [each.run for each in draft.runs]
    return _Plan(
        runs=runs, lines=draft.lines, invalid_lines=draft.invalid_lines,
        estimate=estimate_cost(account, runs, ledger),
    )  # fmt: skip


def _with_holds(
    batch: Batch, found_out: _Refusal | _Plan, account: Account, now: int, batches: Batches,
    ledger: Ledger,
) -> _Refusal | _Plan:  # fmt: skip
    """A plan with what it sets aside, or the refusal of one that the account can't bear or may not enqueue. A batch
    that is being cancelled runs nothing, so nothing is set aside for it."""
    if isinstance(found_out, _Refusal) or batch.status is BatchStatus.CANCELLING:
        return found_out
    tokens = enqueued_by_model(found_out.runs)
    try:
        enqueued = hold_enqueued(account, batch, tokens, batches, ledger)
        held = hold_credits(account, batch.id, found_out.estimate, now, ledger)
    except (QuotaExceeded, InsufficientCredits) as error:
        return _refuse(error.code, error.message)
    return replace(found_out, hold=held, enqueued=enqueued)


def settled_plan(batch: Batch, runs: Runs) -> Next | None:
    """What an earlier planning of this batch led to, if there was one."""
    if batch.is_terminal:
        return "announce"
    if batch.in_progress_at is None:
        return None
    runnable = batch.status is BatchStatus.IN_PROGRESS and runs.of_batch(batch.id)
    return "run" if runnable else "close"


def _settle(
    batch: Batch, verdict: _Refusal | _Plan, account: Account, now: int
) -> list[Add | Save]:
    """All that planning changes, for one transaction. A batch that is being cancelled gets runs that are closing."""
    cancelling = batch.status is BatchStatus.CANCELLING
    if isinstance(verdict, _Refusal) and not cancelling:
        failed = batch.failed(errors_key=batch_errors_key(batch.id), counts=Counts(), now=now)
        return [Save(failed)]
    plan = verdict if isinstance(verdict, _Plan) else _Plan()
    runs = [run.closing(CloseReason.CANCELLED, now) if cancelling else run for run in plan.runs]
    planned = batch.planned(
        model=runs[0].model if len(runs) == 1 else None,
        total=plan.lines,
        invalid_lines=plan.invalid_lines,
        now=now,
        enqueued_tokens={} if cancelling else enqueued_by_model(plan.runs),
        holds_enqueued=plan.enqueued is not None,
        billing=account.billing,
        held_microdollars=plan.hold.microdollars if plan.hold else 0,
    )
    posted = postings(plan.hold.balance, plan.hold.entries) if plan.hold else ()
    row = plan.enqueued
    held = () if row is None else (Save(row) if row.version else Add(row),)
    return [*(Add(run) for run in runs), *posted, *held, Save(planned)]


def _refusal(batch: Batch, found: MergedReports, lines_max: int) -> _Refusal | None:
    if found.lines == 0:
        return _refuse(
            "empty_file", "The input file has no request lines. Write one JSON object a line."
        )
    if found.lines > lines_max:
        return _refuse(
            "too_many_tasks",
            f"The input file has more than {lines_max:,} request lines, this account's limit for a batch. Split it.",
        )
    if len(found.models) > RUNS_MAX:
        return _refuse(
            "invalid_request",
            f"The input file names {len(found.models)} models; a batch takes {RUNS_MAX}. Split it by model.",
        )
    if batch.on_invalid == "skip":
        return None
    errors, total = found.invalid_lines(ENTRIES_MAX)
    return _Refusal(errors=errors, total=total) if total else None


def _refuse(code: str, message: str) -> _Refusal:
    return _Refusal(errors=[LineError(code=code, message=message)], total=1)
