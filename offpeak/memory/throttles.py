"""Token buckets, in memory."""

from __future__ import annotations

from threading import RLock

from offpeak.core.throttle import Taken


class MemoryThrottles:
    def __init__(self, lock: RLock) -> None:
        self._lock = lock
        self.spent_until: dict[str, int] = {}

    def take(
        self, bucket_id: str, cost_us: int, *, floor: int, latest: int, seen: int | None = None
    ) -> Taken:
        del seen
        with self._lock:
            spent = max(floor, self.spent_until.get(bucket_id, floor))
            if spent > latest:
                return Taken(is_taken=False, spent_until=self.spent_until.get(bucket_id))
            self.spent_until[bucket_id] = spent + cost_us
            return Taken(is_taken=True, spent_until=spent + cost_us)
