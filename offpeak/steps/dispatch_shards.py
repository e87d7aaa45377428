"""Fills a pool: shards that wait to be tried again, then the next shards of the most urgent runs.

A shard's row is `dispatched` before it is invoked. One dispatcher at a time serves a pool (the queue's message group);
two of them would do no harm, for a cursor and a row are each moved by one. What is lost between row and worker is found
by the row's claim deadline.

What each of the model's pools may take is the plan's to say (planner/allow_pools.py); without a plan that is
everything, at home. The lines of an account that has to stay in some regions go to no other.

A call reads the model's open shards, and of the queue the first few runs of each account: as many as there are slots.
How many runs wait behind them doesn't matter, nor how many shards they have. Some slots are kept free for express runs
(`Model.ordinary_in_flight_max`), so that one finds a slot at once.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial

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
    Pools,
    Reader,
    Runs,
    Save,
    Shards,
)
from offpeak.core.queued_run import QueuedRun
from offpeak.core.run import Run, RunStatus
from offpeak.core.shard import PlannedShard, Shard, ShardStatus
from offpeak.planner.allow_pools import Allowance, allow_pools
from offpeak.planner.choose_runs import choose_runs
from offpeak.steps.move_shard import move_shard
from offpeak.steps.pool_slots import PoolSlots
from offpeak.steps.remembered_accounts import RememberedAccounts
from offpeak.steps.remembered_pools import RememberedPools
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
    pools: Pools | None = None, remembered_accounts: RememberedAccounts | None = None,
    remembered_pools: RememberedPools | None = None,
) -> int:  # fmt: skip
    """How many shards were invoked, in all pools of the model whose `pool` this is. One that left the catalogue gets
    none; its runs expire."""
    model = next((model for model in catalogue.models if model.pool == pool), None)
    if model is None:
        logger.warning("pool %s is not in the catalogue", pool)
        return 0
    now = clock.now()
    known = remembered_accounts or RememberedAccounts()
    planned = None
    if pools is not None:
        planned = (remembered_pools or RememberedPools()).of(pool, now=now, pools=pools)
    open_shards = shards.open(pool)
    dispatcher = _Dispatcher(model, int(now), reader, runs, shards, changes, endpoints)
    queue = _Queue(pool, runs)
    for allowance in allow_pools(model, planned, now):
        may_work = partial(known.may_work_in, allowance.region, now=now, accounts=accounts)
        room = SHARDS_MAX - len(dispatcher.sent)
        slots = PoolSlots(model, allowance, open_shards, dispatcher.sent, room)
        dispatcher.serve(allowance, slots)
        for shard in _due(open_shards, now):
            if may_work(shard.account_id):
                dispatcher.dispatch_again(shard)
        for waiting in queue.looks(slots, dispatcher):
            taken = [run for run in waiting if allowance.takes(run) and may_work(run.account_id)]
            chosen = choose_runs(
                taken, in_flight=slots.held, slots=slots.ordinary, express_slots=slots.express,
                weights=known.weights(_contending(taken, slots), now=now, accounts=accounts),
                shards_at_once=model.ordinary_in_flight(allowance.instances),
                seed=f"{allowance.pool} {now} {slots.filled}",
            )  # fmt: skip
            for run in chosen:
                dispatcher.dispatch_next(run)
            queue.took(chosen)
    if len(dispatcher.sent) == SHARDS_MAX:
        dispatches.ask(pool)
    return len(dispatcher.sent)


class _Queue:
    """The runs that wait for the model. What was read for one pool is good for the next, less what it took."""

    def __init__(self, pool: str, runs: Runs) -> None:
        self._pool = pool
        self._runs = runs
        self._found: Sequence[QueuedRun] = ()
        self._each = 0
        self._has_any = False

    def looks(self, slots: PoolSlots, dispatcher: _Dispatcher) -> Iterator[Sequence[QueuedRun]]:
        """The waiting runs, again and again while slots are free and runs were passed over: whoever comes behind those
        may have them."""
        again = False
        while slots.free and not dispatcher.endpoint_is_down:
            passed_over = len(dispatcher.passed_over)
            self._read(slots, passed_over, again=again)
            yield [run for run in self._found if run.id not in dispatcher.passed_over]
            if len(dispatcher.passed_over) == passed_over:
                return  # every slot is taken, or all of the queue went
            again = True

    def took(self, chosen: Sequence[QueuedRun]) -> None:
        """A run comes in it once for each of its shards."""
        taken = Counter(run.id for run in chosen)
        left = (replace(run, shards_left=run.shards_left - taken[run.id]) for run in self._found)
        self._found = [run for run in left if run.shards_left > 0]

    def _read(self, slots: PoolSlots, passed_over: int, *, again: bool) -> None:
        """Of each account as many runs as there are slots: whoever gets them all has enough."""
        each, wants_any = slots.free + passed_over, bool(slots.ordinary)
        if not again and each <= self._each and wants_any <= self._has_any:
            return
        found = list(self._runs.queued(self._pool, express=True, each=each))
        if wants_any:
            found += self._runs.queued(self._pool, each=each)
        self._found, self._each, self._has_any = found, each, wants_any


def _due(open_shards: Sequence[Shard], now: float) -> Sequence[Shard]:
    """Shards that wait and may be tried again, the longest due first."""
    waiting = (shard for shard in open_shards if shard.status is ShardStatus.WAITING)
    return sorted((s for s in waiting if s.due_at <= now), key=lambda s: (s.due_at, s.id))


def _contending(waiting: Sequence[QueuedRun], slots: PoolSlots) -> Collection[str]:
    """Accounts that want slots or hold some. One alone has no need of a weight."""
    found = {run.account_id for run in waiting} | set(slots.held)
    return found if len(found) > 1 else ()


class _Dispatcher:
    """One call's work, at one pool after the other. `sent` are the shards that were invoked, by their ids."""

    _allowance: Allowance
    _slots: PoolSlots

    def __init__(
        self, model: Model, now: int, reader: Reader, runs: Runs, shards: Shards,
        changes: Changes, endpoints: Endpoints,
    ) -> None:  # fmt: skip
        self._model = model
        self._now = now
        self.sent: dict[str, Shard] = {}
        self._reader = reader
        self._runs = runs
        self._shards = shards
        self._changes = changes
        self._endpoints = endpoints
        self._read: dict[str, tuple[int, bytes]] = {}
        self.passed_over: set[str] = set()
        """Runs that gave no shard when asked: at their end, closed, or broken. The next choice is without them."""
        self.endpoint_is_down = False

    def serve(self, allowance: Allowance, slots: PoolSlots) -> None:
        """From now on, this pool."""
        self._allowance = allowance
        self._slots = slots

    def dispatch_again(self, shard: Shard) -> None:
        """A waiting shard, unless it or its run has moved on, or has to wait for the plan."""
        if self.endpoint_is_down or not self._slots.have_room_for(shard) or shard.id in self.sent:
            return
        try:
            run = self._runs.get(shard.batch_id, shard.run)
            if run.status is RunStatus.CLOSING:
                return  # the sweep closes it
            if not self._allowance.takes(run):
                return
            line = self._reader.read(run.manifest_key, shard.manifest_start, shard.manifest_stop)
            sent = shard.redispatched(self._claim_until(), self._now, self._allowance.region)
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
                dispatched_at=self._now, region=self._allowance.region,
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
            self._endpoints.invoke(self._allowance.pool, shard.invocation_id, order)
        except Exception as error:
            logger.warning("shard %s was not invoked: %s", shard.id, error)
            self.endpoint_is_down = True
            self._take_back(shard)
            if not isinstance(error, OffpeakError):
                raise  # no passing trouble: somebody has to look
            return
        self._slots.fill(shard)
        self.sent[shard.id] = shard

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
            express=shard.express, probe=shard.probe,
        )
    )  # fmt: skip
