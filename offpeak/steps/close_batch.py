"""Everything of a batch has ended: from here on its results are put together."""

from __future__ import annotations

from offpeak.core.batch import Batch
from offpeak.core.errors import StateConflict, Unavailable
from offpeak.core.ports import Batches, Changes, Clock, Runs, Save, Shards
from offpeak.core.run import Run
from offpeak.core.shard import ShardStatus
from offpeak.planner.cut_harvest import Chunk, cut_harvest
from offpeak.steps.close_runs import close_runs, reason_to_close
from offpeak.steps.move_shard import CONFLICTS_MAX


def close_batch(
    account_id: str, batch_id: str, *, clock: Clock, batches: Batches, runs: Runs, shards: Shards,
    changes: Changes,
) -> list[Chunk]:  # fmt: skip
    """The shards whose lines lack results, in chunks that `harvest_shards` takes; none once the batch has ended.

    Normally its runs have ended. Where RunShards' own time ran out they may not have, and are closed here. Raises
    StateConflict as long as one goes on: workers have a moment to flush.
    """
    batch = batches.get(account_id, batch_id)
    if batch.is_terminal:
        return []
    reason = reason_to_close(batch, clock.now())
    if reason is not None:
        close_runs(batch_id, reason, clock=clock, runs=runs, shards=shards, changes=changes)
    of_batch = runs.of_batch(batch_id)
    for run in of_batch:
        if not run.ended:
            raise StateConflict(
                f"Run {run.id} goes on: {run.open} shards are open, {run.cursor} of {run.shards} were dispatched.",
                code="run_not_ended",
            )
    _to_finalizing(batch, int(clock.now()), batches, changes)
    return cut_harvest({run.number: _without_results(run, shards) for run in of_batch})


def _without_results(run: Run, shards: Shards) -> list[int]:
    done = {
        shard.number
        for shard in shards.of_run(run.batch_id, run.number)
        if shard.status is ShardStatus.DONE
    }
    return [number for number in range(run.shards) if number not in done]


def _to_finalizing(batch: Batch, now: int, batches: Batches, changes: Changes) -> None:
    for _ in range(CONFLICTS_MAX):
        if batch.is_terminal or batch.finalizing_at is not None:
            return
        try:
            changes.commit(Save(batch.finalizing(now)))
        except StateConflict:
            batch = batches.get(batch.account_id, batch.id)
            continue
        return
    raise Unavailable(f"Batch {batch.id} changed {CONFLICTS_MAX} times while it was closed.")
