"""Marks the runs of a pool that must go first now to end in their window, and takes the mark back where it is over.

The dispatcher doesn't reckon this itself: it would have to look at every run for each shard. A latest start lies hours
ahead and has a margin of half an hour, so a look each minute is enough, and a run is written when its mark changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from offpeak.core.catalogue import Model
from offpeak.core.errors import NotFound, StateConflict
from offpeak.core.ports import Changes, Clock, Runs, Save
from offpeak.core.queued_run import QueuedRun
from offpeak.core.run import Run, Tier
from offpeak.planner.latest_start import is_late, measured_shard_seconds

TIMED_RUNS_MAX = 8
"""Runs that are read to see how long shards take."""


def mark_late_runs(
    model: Model, waiting: Sequence[QueuedRun], *, clock: Clock, runs: Runs, changes: Changes
) -> int:
    """How many marks were changed. `waiting` are the pool's queued runs, without express ones: those don't wait."""
    if not waiting:
        return 0
    now = clock.now()
    begun = (run for run in waiting if run.begun)
    timed = [_read(run, runs) for run in islice(begun, TIMED_RUNS_MAX)]
    shard_seconds = measured_shard_seconds(run for run in timed if run is not None)
    marked = 0
    for run in waiting:
        late = is_late(
            run, now, shards_at_once=model.ordinary_in_flight_max, shard_seconds=shard_seconds
        )
        if late != (run.tier is Tier.LATE):
            marked += _mark(run, late, runs, changes)
    return marked


def _read(queued: QueuedRun, runs: Runs) -> Run | None:
    try:
        return runs.get(queued.batch_id, queued.number)
    except NotFound:
        return None


def _mark(queued: QueuedRun, late: bool, runs: Runs, changes: Changes) -> bool:
    """A run that changes meanwhile is left to the next look."""
    run = _read(queued, runs)
    if run is None or not run.has_more or run.late is late:
        return False
    try:
        changes.commit(Save(run.marked_late(late)))
    except StateConflict:
        return False
    return True
