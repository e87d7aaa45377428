"""Cancels a batch: finished lines are kept, the others won't run."""

from __future__ import annotations

from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.errors import StateConflict, Unavailable
from offpeak.core.ports import Batches, Changes, Clock, Dispatches, Runs, Save, Shards, Workflows
from offpeak.core.run import CloseReason
from offpeak.steps.check_ending import check_ending
from offpeak.steps.close_runs import close_runs
from offpeak.steps.move_shard import CONFLICTS_MAX


def cancel_batch(
    account_id: str, batch_id: str, *, clock: Clock, batches: Batches, runs: Runs, shards: Shards,
    changes: Changes, workflows: Workflows, dispatches: Dispatches,
) -> Batch:  # fmt: skip
    """The batch, `cancelling`; again for one that already is.

    Raises NotFound, and StateConflict for a batch that has ended or whose results are being put together.
    """
    _mark(account_id, batch_id, int(clock.now()), batches, changes)
    # The mark comes first: if we die here, the sweep closes the runs of a batch that is cancelling.
    closed = close_runs(
        batch_id, CloseReason.CANCELLED, clock=clock, runs=runs, shards=shards, changes=changes
    )
    for pool in sorted({run.pool for run in closed}):
        dispatches.ask(pool)
    check_ending(account_id, batch_id, batches=batches, runs=runs, workflows=workflows)
    return batches.get(account_id, batch_id)


def _mark(account_id: str, batch_id: str, now: int, batches: Batches, changes: Changes) -> None:
    for _ in range(CONFLICTS_MAX):
        batch = batches.get(account_id, batch_id)
        if batch.status is BatchStatus.CANCELLING:
            return
        cancelling = batch.cancelling(now)
        try:
            changes.commit(Save(cancelling))
        except StateConflict:
            continue
        return
    raise Unavailable(f"Batch {batch_id} changed {CONFLICTS_MAX} times while it was cancelled.")
