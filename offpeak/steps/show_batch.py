"""A batch as it is now: its row, and while it runs what its runs and open shards have done so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.catalogue import Catalogue
from offpeak.core.completion import Completion
from offpeak.core.errors import NotFound
from offpeak.core.ports import Clock, Pools, Reader, Runs, Shards
from offpeak.core.run import Run
from offpeak.core.shard import Shard
from offpeak.core.usage import Counts, Usage
from offpeak.steps.estimate_completion import estimate_completion

RUNNING = frozenset({BatchStatus.IN_PROGRESS, BatchStatus.FINALIZING, BatchStatus.CANCELLING})


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownBatch:
    """`errors` is the stored list of a failed batch, JSON; None when there is none."""

    batch: Batch
    counts: Counts
    usage: Usage | None
    errors: bytes | None
    completion: Completion | None = None


def show_batch(
    batch: Batch, *, reader: Reader, runs: Runs, shards: Shards, clock: Clock | None = None,
    catalogue: Catalogue | None = None, pools: Pools | None = None,
) -> ShownBatch:  # fmt: skip
    """Counts never exceed the total, nor usage what ended shards reported. With a clock and a catalogue it is told when
    a batch in progress will be done, as the pools' plans have it, where there are any."""
    counts, usage, completion = batch.counts, batch.usage, None
    if batch.status in RUNNING:
        # Runs before shards: what ends between the two reads is missed once, not counted twice.
        of_batch = runs.of_batch(batch.id)
        open_shards = _open_shards(batch, of_batch, shards)
        counts = _counts_so_far(batch, of_batch, open_shards)
        if batch.status is BatchStatus.IN_PROGRESS and clock is not None and catalogue is not None:
            completion = estimate_completion(
                of_batch, open_shards, now=clock.now(), catalogue=catalogue, pools=pools
            )
        usage = sum((run.usage for run in of_batch), Usage()) if of_batch else None
    errors = read_errors(batch, reader)
    return ShownBatch(batch=batch, counts=counts, usage=usage, errors=errors, completion=completion)


def _open_shards(batch: Batch, of_batch: Sequence[Run], shards: Shards) -> Sequence[Shard]:
    return [
        shard
        for pool in {run.pool for run in of_batch if run.open}
        for shard in shards.open(pool, batch.id)
    ]


def _counts_so_far(batch: Batch, of_batch: Sequence[Run], open_shards: Sequence[Shard]) -> Counts:
    ended = [run.counts for run in of_batch]
    under_way = [shard.progress for shard in open_shards]
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
