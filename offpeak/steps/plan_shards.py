"""Merges the range reports of a batch and settles what becomes of it: it fails, or its lines are cut into runs.

The reports are walked in the order of the file, so the plan depends on nothing but them: a second planner writes the
same manifests, and of two at once one finds the batch already planned.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Literal

from offpeak.core.account import Account
from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.errors import InsufficientCredits, StateConflict, Unavailable
from offpeak.core.layout import (
    batch_errors_key,
    invalid_lines_key,
    manifest_key,
)
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
from offpeak.core.pricing import batch_prices
from offpeak.core.request_line import FinishedLine, LineError
from offpeak.core.run import CloseReason, Run
from offpeak.core.shard import PlannedShard, Segment
from offpeak.core.usage import Counts
from offpeak.planner.cut_shards import ShardCutter, shard_limits
from offpeak.steps.check_enqueued import OVER_LIMIT, enqueued_by_model, refuse_enqueued
from offpeak.steps.hold_credits import Hold, estimate_cost, hold_credits
from offpeak.steps.merge_reports import MergedReports, RefusedLine
from offpeak.steps.post_entries import POSTINGS_MAX, postings
from offpeak.steps.streamed_object import StreamedObject
from offpeak.wire.batch_errors import ENTRIES_MAX, encode_batch_errors
from offpeak.wire.checkpoints import encode_record
from offpeak.wire.manifest import encode_shard
from offpeak.wire.results import render_error

RUNS_MAX = CHANGES_MAX - 3  # one transaction takes them, the batch, the hold and the balance

Next = Literal["run", "close", "announce"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """Why the batch fails: the first of `total` errors, by line."""

    errors: Sequence[LineError]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """`estimate` is what it is expected to cost, in micro-dollars."""

    runs: Sequence[Run] = ()
    lines: int = 0
    invalid_lines: int = 0
    estimate: int = 0
    hold: Hold | None = None


def plan_shards(
    account_id: str, batch_id: str, ranges: int, *, clock: Clock, accounts: Accounts,
    batches: Batches, runs: Runs, changes: Changes, reader: Reader, writer: Writer,
    multipart: Multipart, catalogue: Catalogue, ledger: Ledger,
) -> Next:  # fmt: skip
    """What `process_batch` does next: release the runs, close a batch that has none to run, or tell of its failure."""
    batch = batches.get(account_id, batch_id)
    settled = settled_plan(batch, runs)
    if settled:
        return settled
    found = MergedReports(batch, ranges, reader)
    account = accounts.get(account_id)
    found_out = _refusal(batch, found, account.limits.request_lines_max) or _write_plan(
        batch, found, int(clock.now()), writer, multipart, catalogue
    )
    if isinstance(found_out, _Plan):
        tokens = enqueued_by_model(found_out.runs)
        too_many = refuse_enqueued(account, batch_id, tokens, batches)
        found_out = (
            _refuse(OVER_LIMIT, too_many)
            if too_many
            else replace(found_out, estimate=estimate_cost(account, found_out.runs, ledger))
        )
    for _ in range(POSTINGS_MAX):
        batch = batches.get(account_id, batch_id)
        settled = settled_plan(batch, runs)
        if settled:
            return settled
        now = int(clock.now())
        verdict = _with_hold(batch, found_out, account, now, ledger)
        if isinstance(verdict, _Refusal):
            body = encode_batch_errors(verdict.errors, verdict.total)
            writer.put(batch_errors_key(batch_id), body, "application/json")
        try:
            changes.commit(*_settle(batch, verdict, account, now))
        except StateConflict:
            continue
    settled = settled_plan(batches.get(account_id, batch_id), runs)
    if settled:
        return settled
    raise Unavailable(f"Batch {batch_id} or its balance changed {POSTINGS_MAX} times meanwhile.")


def _with_hold(
    batch: Batch, found_out: _Refusal | _Plan, account: Account, now: int, ledger: Ledger
) -> _Refusal | _Plan:
    """A plan with what it sets aside, or the refusal of one that the account can't bear. A batch that is being
    cancelled runs nothing, so nothing is set aside for it."""
    if isinstance(found_out, _Refusal) or batch.status is BatchStatus.CANCELLING:
        return found_out
    try:
        held = hold_credits(account, batch.id, found_out.estimate, now, ledger)
    except InsufficientCredits as error:
        return _refuse(error.code, error.message)
    return replace(found_out, hold=held)


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
        enqueued_tokens=enqueued_by_model(plan.runs),
        billing=account.billing,
        held_microdollars=plan.hold.microdollars if plan.hold else 0,
    )
    posted = postings(plan.hold.balance, plan.hold.entries) if plan.hold else ()
    return [*(Add(run) for run in runs), *posted, Save(planned)]


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


def _write_plan(
    batch: Batch, found: MergedReports, now: int, writer: Writer, multipart: Multipart,
    catalogue: Catalogue,
) -> _Plan:  # fmt: skip
    """Writes the manifests, and the error lines of a batch that skips its bad lines."""
    with ExitStack() as stack:

        def begin(key: str) -> StreamedObject:
            opened = StreamedObject(key, writer=writer, multipart=multipart)
            return stack.enter_context(opened)

        manifests: dict[str, _Manifest] = {}
        refused = begin(invalid_lines_key(batch.id))
        invalid_lines = 0
        for piece in found.pieces():
            if isinstance(piece, RefusedLine):
                refused.write(encode_record(_finish(batch, piece)))
                invalid_lines += 1
                continue
            if piece.model not in manifests:
                key = manifest_key(batch.id, len(manifests))
                manifests[piece.model] = _Manifest(_model(piece.model, catalogue), key, begin(key))
            manifests[piece.model].add(piece.segment)
        runs = [
            manifest.finish(batch, number, found.completion_tokens(model), now)
            for number, (model, manifest) in enumerate(manifests.items())
        ]
        if invalid_lines:
            refused.close()
    lines = sum(run.lines for run in runs) + invalid_lines
    return _Plan(runs=runs, lines=lines, invalid_lines=invalid_lines)


class _Manifest:
    """A run in the making: its spans go in, its shards go to S3."""

    def __init__(self, model: Model, key: str, stored: StreamedObject) -> None:
        self._model = model
        self._key = key
        self._stored = stored
        self._cutter = ShardCutter(shard_limits(model))
        self._lines = 0
        self._bytes = 0

    def add(self, span: Segment) -> None:
        self._lines += span.lines
        self._bytes += span.stop - span.start
        self._write(self._cutter.add(span))

    def finish(self, batch: Batch, number: int, completion_tokens: int, now: int) -> Run:
        self._write(self._cutter.finish())
        self._stored.close()
        return Run(
            batch_id=batch.id, account_id=batch.account_id, number=number, model=self._model.id,
            pool=self._model.pool, endpoint=batch.endpoint, manifest_key=self._key,
            manifest_bytes=self._stored.bytes, shards=self._cutter.shards, lines=self._lines,
            deadline=batch.expires_at, created_at=now, prices=batch_prices(self._model.prices),
            input_bytes=self._bytes, completion_tokens=completion_tokens,
        )  # fmt: skip

    def _write(self, shard: PlannedShard | None) -> None:
        if shard is not None:
            self._stored.write(encode_shard(shard))


def _model(model_id: str, catalogue: Catalogue) -> Model:
    model = catalogue.known(model_id)
    if model is None:
        raise Unavailable(f"The model {model_id} left the catalogue while a batch was validated.")
    return model


def _finish(batch: Batch, bad: RefusedLine) -> FinishedLine:
    result = render_error(
        batch_id=batch.id, line=bad.number, custom_id=bad.custom_id, code=bad.error.code,
        message=bad.error.message,
    )  # fmt: skip
    return FinishedLine(number=bad.number, kind="error", result=result)
