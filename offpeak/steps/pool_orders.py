"""What a model's pools are ordered to have: from the plan to their row, from the row to Application Auto Scaling."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from offpeak.core.catalogue import Model
from offpeak.core.errors import NotFound, OffpeakError
from offpeak.core.plan import SLOT_SECONDS
from offpeak.core.pool import (
    PLAN_SECONDS_MAX,
    REMEMBERED_SECONDS,
    ModelPools,
    PoolState,
    pools_of,
    split_pool,
)
from offpeak.core.ports import Bounds, Capacity, InstanceCounts
from offpeak.core.shard import Shard, ShardStatus

logger = logging.getLogger(__name__)
LOOK_SECONDS = 60


class PoolOrders:
    """Of one look, at `now`."""

    def __init__(self, now: float, slot_seconds: int, capacity: Capacity) -> None:
        self._now = now
        self._slot_seconds = slot_seconds
        self._capacity = capacity

    def counts(self, pool: str) -> InstanceCounts:
        """A pool without an endpoint has no instances: it is being deployed, or was taken down."""
        try:
            return self._capacity.counts(pool)
        except NotFound:
            return InstanceCounts(running=0, ordered=0)

    def wanted(self, model: Model, row: ModelPools, open_shards: Sequence[Shard]) -> ModelPools:
        """The row with what the plan wants now."""
        if row.plan is None:
            return row
        for pool in pools_of(model):
            region = split_pool(pool)[1]
            at_work = sum(
                shard.region == region and shard.status is not ShardStatus.WAITING
                for shard in open_shards
            )
            # Whatever has to be ordered before the next look.
            wanted = max(
                row.plan.wanted(pool, self._now), row.plan.wanted(pool, self._now + LOOK_SECONDS)
            )
            state = row.state(pool).wanting(
                wanted,
                at_work=at_work,
                now=int(self._now),
                drain_seconds=REMEMBERED_SECONDS * self._slot_seconds / SLOT_SECONDS,
            )
            if state != row.state(pool):
                row = row.with_state(pool, state)
        return row

    def seen(self, model: Model, row: ModelPools) -> ModelPools:
        """Pools that were ordered their first instance are looked at until it serves; how long that took is kept."""
        for pool in pools_of(model):
            state = row.state(pool)
            if state.waking_since is None:
                continue
            try:
                serves = self.counts(pool).running > 0
            except OffpeakError as error:
                logger.warning("whether pool %s serves is not known: %s", pool, error)
                continue
            if serves:
                row = row.with_state(pool, state.awake(int(self._now)))
        return row

    def given(self, model: Model, row: ModelPools) -> ModelPools:
        """Says it to Application Auto Scaling, where the row doesn't know that it was heard; in the row that comes back
        it was."""
        now = int(self._now)
        for pool, there in pools_of(model).items():
            state = row.state(pool)
            if state.instances is None or now < state.bounded_at + PLAN_SECONDS_MAX // 2:
                continue
            if not self._bound(pool, there, state):
                continue
            row = row.with_state(pool, state.bounded(now))
        return row

    def _bound(self, pool: str, there: Model, state: PoolState) -> bool:
        instances = state.instances or 0
        try:
            self._capacity.bound(
                pool, Bounds(instances, instances), until=int(self._now) + PLAN_SECONDS_MAX,
                then=Bounds(there.instances_min, there.instances_max),
            )  # fmt: skip
        except OffpeakError as error:
            logger.warning("pool %s is not set to %d instances: %s", pool, instances, error)
            return False
        return True
