"""A pool's slots in one call of the dispatcher: places for shards on the instances that the pool has now.

An instance works some shards at once (`Model.invocations_per_instance`). A few of all slots are kept from ordinary runs
(`Model.ordinary_in_flight`), so that an express run finds one free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from offpeak.core.catalogue import Model
from offpeak.core.shard import Shard, ShardStatus
from offpeak.planner.allow_pools import Allowance


class PoolSlots:
    """What is free, and what each account holds. `sent` is what the call has dispatched before, to any pool, of which
    `open_shards` knows nothing; it may dispatch `room` more."""

    def __init__(
        self, model: Model, allowance: Allowance, open_shards: Sequence[Shard],
        sent: Mapping[str, Shard], room: int,
    ) -> None:  # fmt: skip
        newest = {**{shard.id: shard for shard in open_shards}, **sent}
        at_work = [
            shard
            for shard in newest.values()
            if shard.status is not ShardStatus.WAITING and shard.region == allowance.region
        ]
        instances = allowance.instances
        self._all = instances * model.invocations_per_instance - len(at_work)
        self._ordinary = model.ordinary_in_flight(instances)
        self._ordinary -= sum(not each.express for each in at_work)
        self._room = room
        self.filled = 0
        self.held = Counter(shard.account_id for shard in at_work)

    @property
    def free(self) -> int:
        return max(0, min(self._all, self._room))

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
        self._room -= 1
        self._ordinary -= not shard.express
