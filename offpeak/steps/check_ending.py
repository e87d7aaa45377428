"""Wakes the state RunShards when nothing of a batch is open any more. Every event that closes something asks, so does
the sweep: the answer may be given any number of times."""

from __future__ import annotations

from offpeak.core.ports import Batches, Runs, Workflows


def check_ending(
    account_id: str, batch_id: str, *, batches: Batches, runs: Runs, workflows: Workflows
) -> bool:
    """Whether the runs of the batch have all ended. A run that has, stays so."""
    batch = batches.get(account_id, batch_id)
    # The token is stored before any run is released: whoever ends the last run finds it here.
    if not batch.task_tokens:
        return False
    if not all(run.ended for run in runs.of_batch(batch_id)):
        return False
    for task_token in batch.task_tokens:
        workflows.answer(task_token, {"outcome": "ended"})
    return True
