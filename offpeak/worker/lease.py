"""A worker's hold on one attempt of a shard: claimed once, renewed while it works, lost when anybody else moves it on.

Both calls may be repeated after Unavailable: whether the earlier one went through is read from the row.
"""

from __future__ import annotations

import math
from dataclasses import replace

from offpeak.core.errors import NotFound, StateConflict
from offpeak.core.invocation import ShardOrder
from offpeak.core.ports import Changes, Clock, Save, Shards
from offpeak.core.shard import Shard, ShardStatus
from offpeak.core.usage import Counts

_CONFLICTS_MAX = 5


class Lease:
    """`worker` names this invocation among all that ever were: two deliveries of one order are two workers."""

    def __init__(
        self, order: ShardOrder, worker: str, seconds: float, *, clock: Clock, changes: Changes, shards: Shards,
    ) -> None:  # fmt: skip
        self._order = order
        self._worker = worker
        self._seconds = seconds
        self._clock = clock
        self._changes = changes
        self._shards = shards
        self._held: Shard | None = None  # as it is stored, if nobody has moved it since

    def claim(self) -> None:
        """Raises StateConflict when the attempt is stale, taken, or its shard is closed or unknown."""
        for _ in range(_CONFLICTS_MAX):
            shard = self._read()
            if self._is_held(shard):
                return
            claimed = shard.claimed(self._order.attempt, self._worker, self._until())
            if self._save(claimed):
                return
        raise self._lost()

    def renew(self, progress: Counts, progress_tokens: int = 0) -> None:
        """Raises StateConflict when the shard is no longer ours: then nothing more may be written for it."""
        for _ in range(_CONFLICTS_MAX):
            shard = self._held or self._read()
            if not self._is_held(shard):
                raise self._lost()
            if self._save(shard.renewed(self._until(), progress, progress_tokens)):
                return
        raise self._lost()

    def _save(self, shard: Shard) -> bool:
        """False when the row has moved meanwhile: then what it says now decides."""
        self._held = None
        try:
            self._changes.commit(Save(shard))
        except StateConflict:
            return False
        self._held = replace(shard, version=shard.version + 1)
        return True

    def _read(self) -> Shard:
        try:
            return self._shards.get(self._order.batch_id, self._order.run, self._order.number)
        except NotFound:
            raise self._lost() from None

    def _is_held(self, shard: Shard) -> bool:
        return (
            shard.status is ShardStatus.CLAIMED
            and shard.attempt == self._order.attempt
            and shard.worker == self._worker
        )

    def _until(self) -> int:
        return math.ceil(self._clock.now() + self._seconds)

    def _lost(self) -> StateConflict:
        return StateConflict(
            f"Attempt {self._order.attempt} of shard {self._order.shard_id} is not held by {self._worker}.",
            code="superseded",
        )
