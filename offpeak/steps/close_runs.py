"""Ends a batch's runs early: no shard is born or tried again, and those on a worker have a moment to flush."""

from __future__ import annotations

from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.errors import StateConflict, Unavailable
from offpeak.core.ports import Changes, Clock, Runs, Save, Shards
from offpeak.core.run import CloseReason, Run, RunStatus
from offpeak.core.shard import Shard, ShardStatus
from offpeak.steps.move_shard import CONFLICTS_MAX, move_shard

GRACE_SECONDS = 60


def reason_to_close(batch: Batch, now: float) -> CloseReason | None:
    """Why the runs of a batch that has not ended must close now; None while they may go on."""
    if batch.status is BatchStatus.CANCELLING:
        return CloseReason.CANCELLED
    return CloseReason.EXPIRED if now >= batch.expires_at else None


def close_runs(
    batch_id: str,
    reason: CloseReason,
    *,
    clock: Clock,
    runs: Runs,
    shards: Shards,
    changes: Changes,
) -> list[Run]:
    """Closes the runs that haven't ended, their unclaimed shards at once, claimed ones when `GRACE_SECONDS` are over.

    To be repeated until they have ended: a worker that doesn't report is fenced off by the first call after its grace.
    """
    now = int(clock.now())
    closing = [
        _close_run(run, reason, now, runs, changes)
        for run in runs.of_batch(batch_id)
        if not run.ended
    ]
    for run in closing:
        # Read after the run was closed, strongly consistent: no shard is born any more, so none is missed.
        for shard in shards.of_run(run.batch_id, run.number):
            if shard.is_open:
                close_shard(shard, now, runs=runs, shards=shards, changes=changes)
    return closing


def close_shard(
    shard: Shard, now: int, *, runs: Runs, shards: Shards, changes: Changes
) -> Shard | None:
    """Closes a shard of a closing run, unless a worker has it and its grace is not over."""

    def decide(shard: Shard, run: Run) -> Shard | None:
        if not shard.is_open or run.status is not RunStatus.CLOSING:
            return None
        in_grace = run.close_by is not None and now < run.close_by
        return None if shard.status is ShardStatus.CLAIMED and in_grace else shard.closed()

    return move_shard(
        shard.batch_id, shard.run, shard.number, decide, runs=runs, shards=shards, changes=changes
    )


def _close_run(run: Run, reason: CloseReason, now: int, runs: Runs, changes: Changes) -> Run:
    for _ in range(CONFLICTS_MAX):
        if run.ended or run.status is RunStatus.CLOSING:
            return run
        try:
            changes.commit(Save(run.closing(reason, now + GRACE_SECONDS)))
        except StateConflict:
            run = runs.get(run.batch_id, run.number)
            continue
        return runs.get(run.batch_id, run.number)
    raise Unavailable(f"Run {run.id} changed {CONFLICTS_MAX} times while it was closed.")
