"""Lets a batch's runs be dispatched, and leaves with them the token that RunShards waits on.

The order is what makes the ending safe: the token is stored, then runs are released, then dispatch is asked for; and
last the ending is checked, for runs may have ended before anybody could find the token.
"""

from __future__ import annotations

from contextlib import suppress

from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.catalogue import Catalogue
from offpeak.core.errors import StateConflict, Unavailable
from offpeak.core.gathering import is_gathering
from offpeak.core.ports import (
    Announcements,
    Batches,
    Changes,
    Clock,
    Dispatches,
    Pools,
    Runs,
    Save,
    Shards,
    Workflows,
)
from offpeak.core.run import CloseReason, Run, RunStatus
from offpeak.steps.check_ending import check_ending
from offpeak.steps.close_runs import close_runs
from offpeak.steps.estimate_completion import estimate_completion
from offpeak.steps.move_shard import CONFLICTS_MAX


def release_runs(
    account_id: str, batch_id: str, task_token: str, *, clock: Clock, batches: Batches, runs: Runs,
    shards: Shards, changes: Changes, workflows: Workflows, dispatches: Dispatches,
    announcements: Announcements | None = None, catalogue: Catalogue | None = None,
    pools: Pools | None = None,
) -> None:  # fmt: skip
    """The token is answered by whoever finds that all runs have ended; by this very call when they have."""
    batch = _store_token(account_id, batch_id, task_token, batches, changes)
    if batch.is_terminal:
        workflows.answer(task_token, {"outcome": "ended"})
        return
    if batch.status is BatchStatus.CANCELLING:
        close_runs(
            batch_id, CloseReason.CANCELLED, clock=clock, runs=runs, shards=shards, changes=changes
        )
    released = [_release(run, runs, changes) for run in runs.of_batch(batch_id)]
    for pool in sorted({run.pool for run in released if run.has_more}):
        dispatches.ask(pool)
    if announcements is not None and catalogue is not None and not is_gathering(batch_id):
        with suppress(Unavailable):  # an estimate is worth no second try of the release
            completion = estimate_completion(
                released, (), now=clock.now(), catalogue=catalogue, pools=pools
            )
            announcements.announce("batch.in_progress", batch, completion)
    check_ending(account_id, batch_id, batches=batches, runs=runs, workflows=workflows)


def _store_token(
    account_id: str, batch_id: str, task_token: str, batches: Batches, changes: Changes
) -> Batch:
    for _ in range(CONFLICTS_MAX):
        batch = batches.get(account_id, batch_id)
        if batch.is_terminal or task_token in batch.task_tokens:
            return batch
        try:
            changes.commit(Save(batch.awaiting(task_token)))
        except StateConflict:
            continue
    raise Unavailable(f"Batch {batch_id} changed {CONFLICTS_MAX} times while it was released.")


def _release(run: Run, runs: Runs, changes: Changes) -> Run:
    """A run that was released already, or is closing, stays as it is."""
    for _ in range(CONFLICTS_MAX):
        if run.status is not RunStatus.HELD:
            return run
        with suppress(StateConflict):
            changes.commit(Save(run.released()))
        run = runs.get(run.batch_id, run.number)
    raise Unavailable(f"Run {run.id} changed {CONFLICTS_MAX} times while it was released.")
