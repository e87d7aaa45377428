"""Measures every minute how much work each pool has, from the two indexes that dispatching reads too.

A pool that can't be measured is left out of what is published: no datum is better than a zero, on which it would be
put to sleep with its work undone.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from offpeak.core.errors import NotFound, Unavailable
from offpeak.core.pool import split_pool
from offpeak.core.ports import Clock, Metrics, PoolMeasure, Runs, Shards
from offpeak.core.run import Run, RunStatus
from offpeak.core.shard import Shard, ShardStatus

logger = logging.getLogger(__name__)
RUNS_READ_MAX = 100
"""Runs read one by one for a pool's open shards, beside those that come by the index. With more of them in flight the
rest is not looked at for waits and slacks; the counts are always whole."""


def measure_pools(
    pools: Collection[str], *, clock: Clock, runs: Runs, shards: Shards, metrics: Metrics
) -> Sequence[PoolMeasure]:
    """What was published. Raises Unavailable when it could not be published, or no pool be measured."""
    measures = list(_measured(pools, int(clock.now()), runs, shards))
    if pools and not measures:
        raise Unavailable("No pool could be measured.")
    metrics.publish(*measures)
    return measures


def _measured(
    pools: Collection[str], now: int, runs: Runs, shards: Shards
) -> Iterator[PoolMeasure]:
    for pool in pools:
        try:
            yield _measure(pool, now, runs, shards)
        except Unavailable as error:
            logger.error("pool %s is not measured: %s", pool, error)


def _measure(id: str, now: int, runs: Runs, shards: Shards) -> PoolMeasure:
    """What waits counts at home; a further region's pool has what it was given."""
    pool, region = split_pool(id)
    if region is None:
        return _measure_home(pool, now, runs, shards)
    held = [shard for shard in shards.open(pool) if _is_held_in(region, shard)]
    return PoolMeasure(
        pool=id, measured_at=now, waiting_shards=len(held),
        failed_shards=sum(shard.failures for shard in held),
    )  # fmt: skip


def _is_held_in(region: str, shard: Shard) -> bool:
    return shard.region == region and shard.status is not ShardStatus.WAITING


def _measure_home(pool: str, now: int, runs: Runs, shards: Shards) -> PoolMeasure:
    """The queue is read first: a shard that is dispatched between the two reads is counted twice. Indexes lag, so one
    may still be in neither for a moment; who scales in on zeros waits for many."""
    waiting = [*runs.queued(pool), *runs.queued(pool, express=True)]
    open_shards = shards.open(pool)
    at_home = [s for s in open_shards if s.region is None or s.status is ShardStatus.WAITING]
    at_work = list(_runs_of(open_shards, {run.id for run in waiting}, runs))
    unclaimed = {_run_id(s) for s in open_shards if s.status is not ShardStatus.CLAIMED}
    idle_since = [run.created_at for run in waiting]
    idle_since += [run.created_at for run in at_work if run.id in unclaimed]
    deadlines = [run.deadline for run in waiting]
    deadlines += [run.deadline for run in at_work if run.status is not RunStatus.CLOSING]
    return PoolMeasure(
        pool=pool,
        measured_at=now,
        waiting_shards=sum(run.shards_left for run in waiting) + len(at_home),
        oldest_wait_seconds=max(0, now - min(idle_since)) if idle_since else 0,
        least_slack_seconds=min(deadlines) - now if deadlines else None,
        failed_shards=sum(shard.failures for shard in open_shards),
    )


def _runs_of(open_shards: Sequence[Shard], known: set[str], runs: Runs) -> Iterator[Run]:
    """The runs of these shards that aren't known, each once."""
    places = {(s.batch_id, s.run) for s in open_shards if _run_id(s) not in known}
    for batch_id, number in islice(sorted(places), RUNS_READ_MAX):
        try:
            yield runs.get(batch_id, number)
        except NotFound:
            logger.warning("run %s.%d of an open shard is not there", batch_id, number)


def _run_id(shard: Shard) -> str:
    return f"{shard.batch_id}.{shard.run}"
