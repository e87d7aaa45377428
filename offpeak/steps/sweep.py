"""Looks every minute for what got lost, by time alone, and sets it going again.

What may be lost, and what finds it:
    an execution never started          a batch that was not planned minutes after its creation, a gathering's that
                                        nobody released
    an execution that failed for good   Step Functions' own list of them, whatever has become of its batch
    the end of a completion window      a batch past `expires_at`
    a cancel that died half way         a batch that is cancelling, its runs not closing
    a worker that doesn't flush         a closing run past `close_by`
    an invocation, a worker, a notice   a dispatched or claimed shard past `due_at`
    a request for dispatch              a pool with work and a free slot; it is asked for every minute
    the latest start of a run           a queued run whose rest fills what is left of its window
    a deadline that will be missed      a batch whose runs are expected to end after `expires_at`
    an answer to RunShards              a batch whose runs have all ended
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice

from offpeak.core.batch import Batch
from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.errors import OffpeakError
from offpeak.core.gathering import is_gathering
from offpeak.core.ports import (
    Announcements,
    Batches,
    Changes,
    Clock,
    Dispatches,
    Runs,
    Shards,
    Workflows,
    WorkMetrics,
)
from offpeak.core.run import Run
from offpeak.core.shard import Shard, ShardStatus
from offpeak.planner.byte_ranges import workflow_input
from offpeak.planner.next_try import after_lost_attempt
from offpeak.steps.check_ending import check_ending
from offpeak.steps.close_runs import close_runs, reason_to_close
from offpeak.steps.mark_at_risk import at_risk, mark_at_risk, wants_mark
from offpeak.steps.mark_late_runs import mark_late_runs
from offpeak.steps.move_shard import move_shard

logger = logging.getLogger(__name__)
SWEEP_SECONDS = 60
BATCHES_MAX = 500
SHARDS_MAX = 500
"""What one sweep looks at, of batches that run and lack nothing, and of lost shards. Where there is more, the next one
goes on. Batches for which something is due come first, whatever their number."""
REDRIVE_SECONDS = 900
"""How long a failed execution is left alone: its cause may take time to mend."""
REDRIVE_SECONDS_MAX = 14 * 86_400
"""How long after its end Step Functions redrives an execution."""
REDRIVES_MAX = 200
"""In one sweep: each takes two calls. What is redriven leaves the list, so that others have their turn in the next."""
START_SECONDS = 120
"""How long a batch may take to be planned before its execution is started again, which does nothing where it runs."""

_AT_WORK = (ShardStatus.DISPATCHED, ShardStatus.CLAIMED)


@dataclass(slots=True)
class Swept:
    """What one sweep did: batches looked at, executions started and redriven, runs that were closing, endings answered
    (again), shards taken back, runs marked late or no longer, batches marked at risk or no longer, pools asked for,
    failures."""

    batches: int = 0
    started: int = 0
    redriven: int = 0
    closing: int = 0
    ended: int = 0
    lost_shards: int = 0
    marked: int = 0
    at_risk: int = 0
    asked: int = 0
    errors: int = 0


def sweep(
    *, clock: Clock, catalogue: Catalogue, batches: Batches, runs: Runs, shards: Shards,
    changes: Changes, workflows: Workflows, dispatches: Dispatches,
    announcements: Announcements | None = None, work_metrics: WorkMetrics | None = None,
) -> Swept:  # fmt: skip
    """One look at every pool and at the open batches. What fails for one is left to the next sweep."""
    sweeper = _Sweeper(
        clock, catalogue, batches, runs, shards, changes, workflows, dispatches, announcements
    )
    for model in catalogue.models:
        with sweeper.guarded(f"pool {model.pool}"):
            sweeper.sweep_pool(model)
    due: list[Batch] = []
    others: list[Batch] = []
    for batch in batches.open():
        sweeper.count(batch)
        (due if sweeper.is_due(batch) else others).append(batch)
    if work_metrics is not None:
        for pool, at_risk_batches in sweeper.at_risk.items():
            work_metrics.publish_at_risk(pool, sweeper.now, at_risk_batches)
    sweeper.sweep_batches(chain(due, _turn(others, sweeper.now)))
    sweeper.redrive_failed()
    return sweeper.swept


def _turn(found: Sequence[Batch], now: int) -> Sequence[Batch]:
    """Whose turn it is: with more than one sweep's worth, another stretch of them each minute."""
    if len(found) <= BATCHES_MAX:
        return found
    start = now // SWEEP_SECONDS * BATCHES_MAX % len(found)
    return list(islice(chain(found[start:], found[:start]), BATCHES_MAX))


class _Sweeper:
    """The rows it is given may be a moment old. They say where to look; what is there is read again before it moves."""

    def __init__(
        self, clock: Clock, catalogue: Catalogue, batches: Batches, runs: Runs, shards: Shards,
        changes: Changes, workflows: Workflows, dispatches: Dispatches,
        announcements: Announcements | None,
    ) -> None:  # fmt: skip
        self._clock = clock
        self._catalogue = catalogue
        self._batches = batches
        self._runs = runs
        self._shards = shards
        self._changes = changes
        self._workflows = workflows
        self._dispatches = dispatches
        self._announcements = announcements
        self._finishes_at: dict[str, dict[str, float]] = {}
        self.at_risk: Counter[str] = Counter()
        self.now = int(clock.now())
        self.swept = Swept()

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        try:
            yield
        except OffpeakError as error:
            self.swept.errors += 1
            logger.error("%s: %s", what, error)

    def sweep_pool(self, model: Model) -> None:
        """Takes lost shards back, and asks for dispatch where there is something to dispatch."""
        open_shards = sorted(self._shards.open(model.pool), key=lambda shard: shard.due_at)
        due = [shard for shard in open_shards if shard.due_at <= self.now]
        lost = [shard for shard in due if shard.status in _AT_WORK]
        for shard in lost[:SHARDS_MAX]:
            with self.guarded(f"shard {shard.id}"):
                self._take_back(shard, model)
        waiting = self._runs.queued(model.pool)
        marked = mark_late_runs(
            model, waiting, open_shards, clock=self._clock, runs=self._runs, changes=self._changes
        )
        self.swept.marked += marked.marks
        self._finishes_at[model.pool] = marked.finishes_at
        full = sum(shard.status in _AT_WORK for shard in open_shards) >= model.in_flight_max
        if due or (not full and (waiting or self._runs.queued(model.pool, express=True, each=1))):
            self._dispatches.ask(model.pool)
            self.swept.asked += 1

    def finishes_at(self, batch: Batch) -> float | None:
        """When it is expected to end; None where nothing of it waits for a pool or is worked by one."""
        found = (ends.get(batch.id) for ends in self._finishes_at.values())
        return max((at for at in found if at is not None), default=None)

    def count(self, batch: Batch) -> None:
        """Whether it is at risk, for every pool that has work of it."""
        if at_risk(batch, self.finishes_at(batch), self.now):
            self.at_risk.update(p for p, ends in self._finishes_at.items() if batch.id in ends)

    def is_due(self, batch: Batch) -> bool:
        """Whether it is time for something that its row shows: what is left is to look whether its runs have ended."""
        if self._lacks_start(batch):
            return True
        if wants_mark(batch, self.finishes_at(batch), self.now):
            return True
        runs = batch.in_progress_at is not None and batch.finalizing_at is None
        return runs and reason_to_close(batch, self.now) is not None

    def redrive_failed(self) -> None:
        """Executions that failed for good a while ago go on where they stood. Step Functions is asked, not our rows: a
        batch may have ended, and nobody was told of it."""
        before = self.now - REDRIVE_SECONDS
        names: list[str] = []
        with self.guarded("failed executions"):
            failed = self._workflows.failed(
                ended_after=self.now - REDRIVE_SECONDS_MAX, ended_before=before
            )
            names = list(islice(failed, REDRIVES_MAX))
        for name in names:
            with self.guarded(f"execution {name}"):
                if self._workflows.redrive(name, ended_before=before):
                    logger.warning("execution %s had failed and was redriven", name)
                    self.swept.redriven += 1

    def sweep_batches(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            with self.guarded(f"batch {batch.id}"):
                self._sweep_batch(batch)

    def _sweep_batch(self, batch: Batch) -> None:
        self.swept.batches += 1
        if self._lacks_start(batch):
            self._workflows.start(batch.id, workflow_input(batch))
            self.swept.started += 1
        if batch.in_progress_at is None or batch.finalizing_at is not None:
            return  # its execution is at it
        self.swept.at_risk += mark_at_risk(
            batch, self.finishes_at(batch), clock=self._clock, changes=self._changes,
            announcements=self._announcements,
        )  # fmt: skip
        reason = reason_to_close(batch, self.now)
        if reason is not None:
            closing = close_runs(
                batch.id, reason, clock=self._clock, runs=self._runs, shards=self._shards,
                changes=self._changes,
            )  # fmt: skip
            self.swept.closing += len(closing)
        self._check_ending(batch.account_id, batch.id)

    def _lacks_start(self, batch: Batch) -> bool:
        waits = batch.in_progress_at is None or (
            is_gathering(batch.id) and not batch.task_tokens and batch.finalizing_at is None
        )
        return waits and batch.created_at + START_SECONDS <= self.now

    def _take_back(self, found: Shard, model: Model) -> None:
        """A worker that held the shard has failed it. One that was never claimed was not the shard's fault: lost on
        its way, or no instance there to take it."""

        def decide(shard: Shard, run: Run) -> Shard | None:
            if shard.status not in _AT_WORK or shard.due_at > self.now:
                return None
            return after_lost_attempt(
                shard, run, self.now, failed=shard.status is ShardStatus.CLAIMED,
                attempts_max=model.attempts_max,
            )  # fmt: skip

        moved = move_shard(
            found.batch_id, found.run, found.number, decide, runs=self._runs, shards=self._shards,
            changes=self._changes,
        )  # fmt: skip
        if moved is not None:
            logger.warning("shard %s: attempt %d is lost", moved.id, moved.attempt)
            self.swept.lost_shards += 1
            if not moved.is_open:
                self._check_ending(moved.account_id, moved.batch_id)

    def _check_ending(self, account_id: str, batch_id: str) -> None:
        self.swept.ended += check_ending(
            account_id, batch_id, batches=self._batches, runs=self._runs,
            workflows=self._workflows,
        )  # fmt: skip
