"""Marks the runs of a pool that must go first now to end in their window, and takes the mark back where it is over.

The dispatcher doesn't reckon this itself: it would have to look at every run for each shard. A latest start lies hours
ahead and has a margin of half an hour, so a look each minute is enough, and a run is written when its mark changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from offpeak.core.catalogue import Model
from offpeak.core.errors import NotFound, StateConflict
from offpeak.core.ports import Changes, Clock, Runs, Save
from offpeak.core.queued_run import QueuedRun
from offpeak.core.run import Run, Tier
from offpeak.core.shard import Shard, ShardStatus
from offpeak.planner.at_risk import Outlook, Pace, measured_pace, outlooks
from offpeak.planner.estimate_seconds import COLD_START_SECONDS

TIMED_RUNS_MAX = 8
"""Runs that are read to see how long shards take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """`finishes_at`: by batch, when what it has in this pool is expected to end. `marks` of runs were changed."""

    finishes_at: dict[str, float]
    marks: int


def mark_late_runs(
    model: Model, waiting: Sequence[QueuedRun], open_shards: Sequence[Shard], *, clock: Clock,
    runs: Runs, changes: Changes,
) -> Marked:  # fmt: skip
    """`waiting` are the pool's queued runs without express ones, which don't wait while the pool works."""
    if not waiting and not open_shards:
        return Marked(finishes_at={}, marks=0)
    now = clock.now()
    pace = _pace(waiting, runs)
    works = any(shard.status is ShardStatus.CLAIMED for shard in open_shards)
    starts_in = 0 if works else COLD_START_SECONDS
    found = outlooks(
        waiting, now=now, shards_at_once=model.ordinary_in_flight_max, starts_in=starts_in,
        in_flight=sum(shard.status is not ShardStatus.WAITING for shard in open_shards), pace=pace,
    )  # fmt: skip
    finishes = [(shard.batch_id, _end_of(shard, now, starts_in, pace)) for shard in open_shards]
    finishes += [(outlook.run.batch_id, outlook.finishes_at) for outlook in found]
    if not works:
        express = runs.queued(model.pool, express=True)
        finishes += [(run.batch_id, now + starts_in + pace.expected) for run in express]
    latest: dict[str, float] = {}
    for batch_id, at in finishes:
        latest[batch_id] = max(at, latest.get(batch_id, 0))
    return Marked(finishes_at=latest, marks=sum(_mark(each, runs, changes) for each in found))


def _pace(waiting: Sequence[QueuedRun], runs: Runs) -> Pace:
    begun = (run for run in waiting if run.begun)
    timed = [_read(run, runs) for run in islice(begun, TIMED_RUNS_MAX)]
    return measured_pace(run for run in timed if run is not None)


def _end_of(shard: Shard, now: float, starts_in: float, pace: Pace) -> float:
    """When an open shard is expected to end. One that takes longer than others may end any moment."""
    if shard.status is ShardStatus.CLAIMED:
        return max(now, shard.dispatched_at + pace.expected)
    begins = max(now, shard.due_at) if shard.status is ShardStatus.WAITING else now
    return begins + starts_in + pace.expected


def _read(queued: QueuedRun, runs: Runs) -> Run | None:
    try:
        return runs.get(queued.batch_id, queued.number)
    except NotFound:
        return None


def _mark(outlook: Outlook, runs: Runs, changes: Changes) -> bool:
    """A run that changes meanwhile is left to the next look."""
    if outlook.late is (outlook.run.tier is Tier.LATE):
        return False
    run = _read(outlook.run, runs)
    if run is None or not run.has_more or run.late is outlook.late:
        return False
    try:
        changes.commit(Save(run.marked_late(outlook.late)))
    except StateConflict:
        return False
    return True
