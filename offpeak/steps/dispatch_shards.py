"""Fills a pool: shards that wait to be tried again, then the next shards of the most urgent runs.

A shard's row is `dispatched` before it is invoked. One dispatcher at a time serves a pool (the queue's message group);
two of them would do no harm, for a cursor and a row are each moved by one. What is lost between row and worker is found
by the row's claim deadline.
"""

from __future__ import annotations

import logging
from collections import Counter

from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.errors import NotFound, OffpeakError, StateConflict
from offpeak.core.gathering import is_gathering
from offpeak.core.invocation import ShardOrder
from offpeak.core.layout import cancelled_prefix, shard_prefix
from offpeak.core.ports import (
    Add,
    Changes,
    Clock,
    Dispatches,
    Endpoints,
    Reader,
    Runs,
    Save,
    Shards,
)
from offpeak.core.run import Run, RunStatus
from offpeak.core.shard import PlannedShard, Shard, ShardStatus
from offpeak.planner.choose_runs import choose_runs
from offpeak.steps.move_shard import move_shard
from offpeak.wire.invocation import encode_order
from offpeak.wire.manifest import MANIFEST_LINE_BYTES_MAX, decode_shard, first_shard

logger = logging.getLogger(__name__)
SHARDS_MAX = 50
"""What one call dispatches. If there is room for more, it asks for another."""
MANIFEST_READ_BYTES = 2 * MANIFEST_LINE_BYTES_MAX
ENDPOINT_PAUSE_SECONDS = 30


def dispatch_shards(
    pool: str, *, clock: Clock, catalogue: Catalogue, reader: Reader, runs: Runs, shards: Shards,
    changes: Changes, dispatches: Dispatches, endpoints: Endpoints,
) -> int:  # fmt: skip
    """How many shards were invoked. A pool that left the catalogue gets none; its runs expire."""
    model = next((model for model in catalogue.models if model.pool == pool), None)
    if model is None:
        logger.warning("pool %s is not in the catalogue", pool)
        return 0
    now = int(clock.now())
    open_shards = shards.open(pool)
    at_work = [shard for shard in open_shards if shard.status is not ShardStatus.WAITING]
    room = model.in_flight_max - len(at_work)
    slots = min(room, SHARDS_MAX)
    if slots <= 0:
        return 0
    dispatcher = _Dispatcher(model, now, reader, runs, shards, changes, endpoints)
    due = sorted(
        (s for s in open_shards if s.status is ShardStatus.WAITING and s.due_at <= now),
        key=lambda shard: (shard.due_at, shard.id),
    )
    for shard in due[:slots]:
        dispatcher.dispatch_again(shard)
    ready = runs.ready(pool)
    in_flight = Counter(shard.account_id for shard in at_work)
    while not dispatcher.endpoint_is_down and dispatcher.invoked < slots:
        chosen = choose_runs(
            (run for run in ready if run.id not in dispatcher.passed_over),
            in_flight=in_flight + dispatcher.invoked_of, slots=slots - dispatcher.invoked,
            shards_at_once=model.in_flight_max, now=now,
        )  # fmt: skip
        if not chosen:
            break
        for run in chosen:
            dispatcher.dispatch_next(run)
    if dispatcher.invoked == SHARDS_MAX < room:
        dispatches.ask(pool)
    return dispatcher.invoked


class _Dispatcher:
    """One call's work at one pool."""

    def __init__(
        self, model: Model, now: int, reader: Reader, runs: Runs, shards: Shards, changes: Changes,
        endpoints: Endpoints,
    ) -> None:  # fmt: skip
        self._model = model
        self._now = now
        self._reader = reader
        self._runs = runs
        self._shards = shards
        self._changes = changes
        self._endpoints = endpoints
        self._read: dict[str, tuple[int, bytes]] = {}
        self.passed_over: set[str] = set()
        """Runs that gave no shard when asked: at their end, closed, or broken. The next choice is without them."""
        self.endpoint_is_down = False
        self.invoked_of: Counter[str] = Counter()
        """Shards by account."""

    @property
    def invoked(self) -> int:
        return self.invoked_of.total()

    def dispatch_again(self, shard: Shard) -> None:
        """A waiting shard, unless it or its run has moved on."""
        if self.endpoint_is_down:
            return
        try:
            run = self._runs.get(shard.batch_id, shard.run)
            if run.status is RunStatus.CLOSING:
                return  # the sweep closes it
            line = self._reader.read(run.manifest_key, shard.manifest_start, shard.manifest_stop)
            sent = shard.redispatched(self._claim_until())
            order = _order(run, sent, decode_shard(line))
        except (NotFound, ValueError) as error:
            logger.error("shard %s can't be dispatched: %s", shard.id, error)
            return
        if self._commit(Save(sent)):
            self._invoke(sent, order)

    def dispatch_next(self, chosen: Run) -> None:
        """The shard under the run's cursor. A run that can't be read holds up no other."""
        if self.endpoint_is_down or chosen.id in self.passed_over:
            return
        try:
            run = self._runs.get(chosen.batch_id, chosen.number)
            if not run.has_more:
                self.passed_over.add(chosen.id)
                return
            planned, length = self._planned(run)
            stop = run.cursor_byte + length
            shard = run.first_row(
                planned, manifest_start=run.cursor_byte, manifest_stop=stop,
                status=ShardStatus.DISPATCHED, due_at=self._claim_until(),
            )  # fmt: skip
            order = _order(run, shard, planned)
        except (NotFound, ValueError) as error:
            logger.error("run %s can't be dispatched: %s", chosen.id, error)
            self.passed_over.add(chosen.id)
            return
        if self._commit(Add(shard), Save(run.advanced(stop))):
            self._invoke(shard, order)
        else:
            self.passed_over.add(chosen.id)

    def _planned(self, run: Run) -> tuple[PlannedShard, int]:
        """The shard under the cursor and its manifest line's length; one read serves many."""
        start, data = self._read.get(run.id, (0, b""))
        rest = data[run.cursor_byte - start :] if start <= run.cursor_byte else b""
        if b"\n" not in rest:
            stop = min(run.cursor_byte + MANIFEST_READ_BYTES, run.manifest_bytes)
            rest = self._reader.read(run.manifest_key, run.cursor_byte, stop)
            self._read[run.id] = run.cursor_byte, rest
        planned, length = first_shard(rest)
        if planned.number != run.cursor:
            raise ValueError(f"shard {planned.number} lies under the cursor of {run.cursor}")
        return planned, length

    def _commit(self, *changes: Add | Save) -> bool:
        try:
            self._changes.commit(*changes)
        except StateConflict:
            return False  # closed meanwhile, or another dispatcher has it
        return True

    def _invoke(self, shard: Shard, order: bytes) -> None:
        try:
            self._endpoints.invoke(shard.pool, shard.invocation_id, order)
        except Exception as error:
            logger.warning("shard %s was not invoked: %s", shard.id, error)
            self.endpoint_is_down = True
            self._take_back(shard)
            if not isinstance(error, OffpeakError):
                raise  # no passing trouble: somebody has to look
            return
        self.invoked_of[shard.account_id] += 1

    def _take_back(self, sent: Shard) -> None:
        """Waits at once rather than for its claim deadline. If the invocation arrives after all, its claim is refused
        — or was granted already, and then it stands."""

        def decide(shard: Shard, run: Run) -> Shard | None:
            if shard.status is not ShardStatus.DISPATCHED or shard.attempt != sent.attempt:
                return None
            if run.status is RunStatus.CLOSING:
                return shard.closed()
            return shard.waiting(retry_at=self._now + ENDPOINT_PAUSE_SECONDS, failed=False)

        move_shard(
            sent.batch_id, sent.run, sent.number, decide, runs=self._runs, shards=self._shards,
            changes=self._changes,
        )  # fmt: skip

    def _claim_until(self) -> int:
        return self._now + self._model.claim_seconds_max


def _order(run: Run, shard: Shard, planned: PlannedShard) -> bytes:
    return encode_order(
        ShardOrder(
            batch_id=run.batch_id, account_id=run.account_id, run=run.number, number=shard.number,
            attempt=shard.attempt, model=run.model, endpoint=run.endpoint,
            segments=planned.segments,
            work_prefix=shard_prefix(run.batch_id, run.number, shard.number),
            cancelled_prefix=cancelled_prefix(run.pool) if is_gathering(run.batch_id) else None,
        )
    )  # fmt: skip
