"""How much of an instance each shard on it has had: the instance's seconds, shared out while they pass.

At every moment the shards divide the instance by the requests that each has in flight; while none has any, evenly, for
then it loads or writes for all of them. So what the shards of an instance are told adds up to the time in which it had
a shard. Waking, and waiting for work, are nobody's: see docs/footprint.md.
"""

from __future__ import annotations


class InstanceShares:
    """One an instance. Keeps, per request in flight and per idle shard, the seconds that one of them would have had
    since the start: so a request that comes or goes costs two additions, however many shards there are."""

    def __init__(self) -> None:
        self._shards = 0
        self._requests = 0
        self._at = 0.0
        self.a_request = 0.0
        self.an_idle_shard = 0.0

    def pass_time(self, now: float) -> None:
        seconds = max(0.0, now - self._at)
        self._at = max(now, self._at)
        if self._requests:
            self.a_request += seconds / self._requests
        elif self._shards:
            self.an_idle_shard += seconds / self._shards

    def come(self, now: float, *, shards: int = 0, requests: int = 0) -> None:
        """So many more of either from now on, or fewer."""
        self.pass_time(now)
        self._shards += shards
        self._requests += requests


class ShardShare:
    """One shard's part of an instance, from `begin` to `end`. Times are the event loop's, in seconds."""

    def __init__(self, instance: InstanceShares) -> None:
        self._instance = instance
        self._requests = 0
        self._seconds = 0.0
        self._a_request = 0.0
        self._an_idle_shard = 0.0
        self._is_here = False

    def begin(self, now: float) -> None:
        self._is_here = True
        self._instance.come(now, shards=1)
        self._a_request = self._instance.a_request
        self._an_idle_shard = self._instance.an_idle_shard

    def admitted(self, now: float) -> None:
        self._count(now, 1)

    def landed(self, now: float) -> None:
        self._count(now, -1)

    def seconds(self, now: float) -> float:
        """The instance's seconds that were this shard's so far."""
        self._settle(now)
        return self._seconds

    def end(self, now: float) -> None:
        """Requests that land later, aborted with the shard, are no longer its."""
        self._settle(now)
        self._instance.come(now, shards=-1, requests=-self._requests)
        self._requests = 0
        self._is_here = False

    def _count(self, now: float, requests: int) -> None:
        if not self._is_here:
            return
        self._settle(now)
        self._requests += requests
        self._instance.come(now, requests=requests)

    def _settle(self, now: float) -> None:
        if not self._is_here:
            return
        instance = self._instance
        instance.pass_time(now)
        self._seconds += self._requests * (instance.a_request - self._a_request)
        self._seconds += instance.an_idle_shard - self._an_idle_shard
        self._a_request, self._an_idle_shard = instance.a_request, instance.an_idle_shard
