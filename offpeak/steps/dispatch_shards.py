"""Fills a pool: shards that wait to be tried again, then the next shards of the most urgent runs.

A shard's row is `dispatched` before it is invoked. One dispatcher at a time serves a pool (the queue's message group);
two of them would do no harm, for a cursor and a row are each moved by one. What is lost between row and worker is found
by the row's claim deadline.

A call reads the pool's open shards, and of the queue the first few runs of each account: as many as there are slots.
How many runs wait behind them doesn't matter, nor how many shards they have. Some slots are kept free for express runs
(`Model.ordinary_in_flight_max`), so that one finds a slot at once.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Sequence

from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.errors import NotFound, OffpeakError, StateConflict
from offpeak.core.gathering import is_gathering
from offpeak.core.invocation import ShardOrder
from offpeak.core.layout import cancelled_prefix, shard_prefix
from offpeak.core.ports import (
    Accounts,
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
from offpeak.core.queued_run import QueuedRun
from offpeak.core.run import Run, RunStatus
from offpeak.core.shard import PlannedShard, Shard, ShardStatus
from offpeak.planner.choose_runs import choose_runs
from offpeak.steps.move_shard import move_shard
from offpeak.steps.remembered_weights import RememberedWeights
from offpeak.wire.invocation import encode_order
from offpeak.wire.manifest import MANIFEST_LINE_BYTES_MAX, decode_shard, first_shard

logger = logging.getLogger(__name__)
SHARDS_MAX = 50
"""What one call dispatches. If there is room for more, it asks for another."""
MANIFEST_READ_BYTES = 2 * MANIFEST_LINE_BYTES_MAX
ENDPOINT_PAUSE_SECONDS = 30


def dispatch_shards(
    pool: str, *, clock: Clock, catalogue: Catalogue, reader: Reader, accounts: Accounts, runs: Runs,
    shards: Shards, changes: Changes, dispatches: Dispatches, endpoints: Endpoints,
    weights: RememberedWeights | None = None,
) -> int:  # fmt: skip
    """How many shards were invoked. A pool that left the catalogue gets none; its runs expire."""
    model = next((model for model in catalogue.models if model.pool == pool), None)
    if model is None:
        logger.warning("pool %s is not in the catalogue", pool)
        return 0
    now = clock.now()
    open_shards = shards.open(pool)
    slots = _Slots(model, open_shards)
    if not slots.free:
        return 0
    dispatcher = _Dispatcher(model, int(now), slots, reader, runs, shards, changes, endpoints)
    for shard in _due(open_shards, now):
        dispatcher.dispatch_again(shard)
    remembered = weights or RememberedWeights()
    while slots.free and not dispatcher.endpoint_is_down:
        before = slots.filled
        waiting = _waiting(pool, slots, runs, dispatcher.passed_over)
        chosen = choose_runs(
            waiting, in_flight=slots.held, slots=slots.ordinary, express_slots=slots.express,
            weights=remembered.of(_contending(waiting, slots), now=now, accounts=accounts),
            shards_at_once=model.ordinary_in_flight_max, seed=f"{pool} {now} {slots.filled}",
        )  # fmt: skip
        for run in chosen:
            dispatcher.dispatch_next(run)
        if slots.filled == before + len(chosen):
            break  # nobody was passed over: every slot is taken, or all of the queue went
    if slots.filled == SHARDS_MAX:
        dispatches.ask(pool)
    return slots.filled


class _Slots:
    """The pool's slots in one call: what is free, and what each account holds. One call fills `SHARDS_MAX`."""

    def __init__(self, model: Model, open_shards: Sequence[Shard]) -> None:
        at_work = [shard for shard in open_shards if shard.status is not ShardStatus.WAITING]
        self._all = model.in_flight_max - len(at_work)
        self._ordinary = model.ordinary_in_flight_max - sum(not each.express for each in at_work)
        self.filled = 0
        self.held = Counter(shard.account_id for shard in at_work)

    @property
    def free(self) -> int:
        return max(0, min(self._all, SHARDS_MAX - self.filled))

    @property
    def ordinary(self) -> int:
        """Those that any run may have."""
        return max(0, min(self.free, self._ordinary))

    @property
    def express(self) -> int:
        """Those that only express runs may have."""
        return self.free - self.ordinary

    def have_room_for(self, shard: Shard) -> bool:
        return bool(self.free if shard.express else self.ordinary)

    def fill(self, shard: Shard) -> None:
        self.filled += 1
        self.held[shard.account_id] += 1
        self._all -= 1
        self._ordinary -= not shard.express


def _due(open_shards: Sequence[Shard], now: float) -> Sequence[Shard]:
    """Shards that wait and may be tried again, the longest due first."""
    waiting = (shard for shard in open_shards if shard.status is ShardStatus.WAITING)
    return sorted((s for s in waiting if s.due_at <= now), key=lambda s: (s.due_at, s.id))


def _waiting(
    pool: str, slots: _Slots, runs: Runs, passed_over: Collection[str]
) -> Sequence[QueuedRun]:
    """Of each account as many runs as there are slots: whoever gets them all has enough."""
    each = slots.free + len(passed_over)
    found = list(runs.queued(pool, express=True, each=each))
    if slots.ordinary:
        found += runs.queued(pool, each=each)
    return [run for run in found if run.id not in passed_over]


def _contending(waiting: Sequence[QueuedRun], slots: _Slots) -> Collection[str]:
    """Accounts that want slots or hold some. One alone has no need of a weight."""
    found = {run.account_id for run in waiting} | set(slots.held)
    return found if len(found) > 1 else ()


class _Dispatcher:
    """One call's work at one pool."""

    def __init__(
        self, model: Model, now: int, slots: _Slots, reader: Reader, runs: Runs, shards: Shards,
        changes: Changes, endpoints: Endpoints,
    ) -> None:  # fmt: skip
        self._model = model
        self._now = now
        self._slots = slots
        self._reader = reader
        self._runs = runs
        self._shards = shards
        self._changes = changes
        self._endpoints = endpoints
        self._read: dict[str, tuple[int, bytes]] = {}
        self.passed_over: set[str] = set()
        """Runs that gave no shard when asked: at their end, closed, or broken. The next choice is without them."""
        self.endpoint_is_down = False

    def dispatch_again(self, shard: Shard) -> None:
        """A waiting shard, unless it or its run has moved on."""
        if self.endpoint_is_down or not self._slots.have_room_for(shard):
            return
        try:
            run = self._runs.get(shard.batch_id, shard.run)
            if run.status is RunStatus.CLOSING:
                return  # the sweep closes it
            line = self._reader.read(run.manifest_key, shard.manifest_start, shard.manifest_stop)
            sent = shard.redispatched(self._claim_until(), self._now)
            order = _order(run, sent, decode_shard(line))
        except (NotFound, ValueError) as error:
            logger.error("shard %s can't be dispatched: %s", shard.id, error)
            return
        if self._commit(Save(sent)):
            self._invoke(sent, order)

    def dispatch_next(self, chosen: QueuedRun) -> None:
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
                dispatched_at=self._now,
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
        self._slots.fill(shard)

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
            express=shard.express,
        )
    )  # fmt: skip
