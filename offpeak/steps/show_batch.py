"""A batch as it is now: its row, and while it runs what its runs and open shards have done so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.errors import NotFound
from offpeak.core.ports import Reader, Runs, Shards
from offpeak.core.run import Run
from offpeak.core.usage import Counts, Usage

RUNNING = frozenset({BatchStatus.IN_PROGRESS, BatchStatus.FINALIZING, BatchStatus.CANCELLING})


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownBatch:
    """`errors` is the stored list of a failed batch, JSON; None when there is none."""

    batch: Batch
    counts: Counts
    usage: Usage | None
    errors: bytes | None


def show_batch(batch: Batch, *, reader: Reader, runs: Runs, shards: Shards) -> ShownBatch:
    """Counts never exceed the total, nor usage what ended shards reported."""
    counts, usage = batch.counts, batch.usage
    if batch.status in RUNNING:
        # Runs before shards: what ends between the two reads is missed once, not counted twice.
        of_batch = runs.of_batch(batch.id)
        counts = _counts_so_far(batch, of_batch, shards)
        usage = sum((run.usage for run in of_batch), Usage()) if of_batch else None
    errors = read_errors(batch, reader)
    return ShownBatch(batch=batch, counts=counts, usage=usage, errors=errors)


def _counts_so_far(batch: Batch, of_batch: Sequence[Run], shards: Shards) -> Counts:
    ended = [run.counts for run in of_batch]
    under_way = [
        shard.progress
        for pool in {run.pool for run in of_batch if run.open}
        for shard in shards.open(pool, batch.id)
    ]
    total = batch.counts.total
    found = sum((*ended, *under_way), batch.counts)
    # The index of open shards may lag behind and show one that has ended.
    completed = min(found.completed, total)
    return Counts(total=total, completed=completed, failed=min(found.failed, total - completed))


def read_errors(batch: Batch, reader: Reader) -> bytes | None:
    """The stored list of a failed batch's errors."""
    if batch.errors_key is None:
        return None
    try:
        return reader.read(batch.errors_key)
    except NotFound:
        return None
