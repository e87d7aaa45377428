"""How many requests a second an account may send, and a key that has a limit of its own, in all processes together.

    the bucket, shared ──lease of a tenth of a second's tokens──► this process ──a token each──► requests
        │                                                             ▲
        └── less than half full: one token, for the request that is there (or a hundredth of a second's)

A process takes tokens from the shared bucket before it needs them, so that most requests cost no call: one write for
ten requests at 100 a second. Two things follow, whatever the processes do, for tokens are taken before they are spent:

    - since any bucket was first used, no more requests have passed than it held and what has flowed in;
    - who sends no more than its rate, with bursts of no more than half a bucket (a second's worth), is never refused:
      leases leave half of the bucket alone, and from there on each token taken is for a request that was sent. At more
      than 100 a second, what processes hold of those hundredths of a second comes off the burst.

What was leased and not spent is void after a minute; that much, and no more, may come late, as a burst. A clock that is
ahead by a moment takes that moment's tokens from the others, once.

A flood costs few writes: who was refused is refused from memory for half a second, and may then lease from the lower
half, too, where there is a whole lease: about 100 writes a second for an account at the most, and a few a process.

If the shared buckets can't be asked, each process goes by a bucket of its own, and says so in its log and by a metric.
The limit is for fairness; what costs money has limits of its own, kept exactly. An API that refuses everybody because a
counter is out of reach would be the worse failure.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from offpeak.core.account import Caller
from offpeak.core.errors import TooManyRequests, Unavailable
from offpeak.core.ports import Clock, Throttles, WorkMetrics
from offpeak.core.throttle import SECOND_US, Bucket

LEASE_SECONDS = 60
ASK_AGAIN_US = SECOND_US // 2
GREEDY_US = SECOND_US
"""For so long after a refusal a process leases from the lower half, and takes no single tokens."""
ALONE_SECONDS = 5
"""For so long the shared buckets aren't asked again after a failure: a flood must not wait for each answer."""
TRIES_MAX = 3
REMEMBERED_MAX = 10_000

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Pocket:
    """What this process knows of one bucket, and has of it: `tokens`, good until `void_at`. `seen` is what the bucket
    was spent until; `alone` the same of this process's own, for when nothing else can be asked."""

    tokens: int = 0
    void_at: float = 0.0
    seen: int | None = None
    refused_at: int | None = None
    refused_until: int = 0
    alone: int | None = None


class Throttle:
    def __init__(
        self, *, clock: Clock, throttles: Throttles, work_metrics: WorkMetrics | None = None
    ) -> None:
        self._clock = clock
        self._throttles = throttles
        self._metrics = work_metrics
        self._pockets: dict[str, _Pocket] = {}
        self._alone_until = 0.0

    def take(self, caller: Caller) -> None:
        """Counts one request. Raises TooManyRequests when the key or the account has sent too many."""
        for bucket_id, rate, who in _limits(caller):
            waits_us = self._wait_us(bucket_id, Bucket(rate))
            if waits_us:
                raise TooManyRequests(
                    f"{who} sends more than {rate:,} requests a second. Send fewer, put several into one batch, or "
                    "ask the operators of this service to lift the limit.",
                    retry_seconds=ceil(waits_us / SECOND_US),
                )

    def _wait_us(self, bucket_id: str, bucket: Bucket) -> int:
        """0 when a token was taken, or how long it takes until there is one."""
        seconds = self._clock.now()
        now = int(seconds * SECOND_US)
        pocket = self._pocket(bucket_id)
        if not (pocket.tokens and seconds < pocket.void_at):
            pocket.tokens = self._leased(bucket_id, bucket, pocket, now, seconds)
            pocket.void_at = seconds + LEASE_SECONDS
        if pocket.tokens:
            pocket.tokens -= 1
            return 0
        return max(1, pocket.refused_until - now)

    def _pocket(self, bucket_id: str) -> _Pocket:
        pocket = self._pockets.pop(bucket_id, None) or _Pocket()
        self._pockets[bucket_id] = pocket
        if len(self._pockets) > REMEMBERED_MAX:
            del self._pockets[next(iter(self._pockets))]  # whoever has been quiet for the longest
        return pocket

    def _leased(
        self, bucket_id: str, bucket: Bucket, pocket: _Pocket, now: int, seconds: float
    ) -> int:
        """How many tokens could be taken."""
        if seconds < self._alone_until:
            return _taken_alone(bucket, pocket, now)
        if pocket.refused_at is not None and pocket.refused_at <= now < pocket.refused_until:
            return 0
        try:
            return self._asked(bucket_id, bucket, pocket, now)
        except Unavailable as error:
            self._alone_until = seconds + ALONE_SECONDS
            logger.warning("Throttles are out of reach; each process goes by its own: %s", error)
            if self._metrics is not None:
                self._metrics.publish_unshared_throttles(int(seconds))
            return _taken_alone(bucket, pocket, now)

    def _asked(self, bucket_id: str, bucket: Bucket, pocket: _Pocket, now: int) -> int:
        """Others take from the bucket meanwhile: what was seen of it is the most that can be in it."""
        is_greedy = pocket.refused_at is not None and now - pocket.refused_at < GREEDY_US
        for _ in range(TRIES_MAX):
            level = bucket.level(pocket.seen, now)
            tokens, left = _lease(bucket, level, is_greedy=is_greedy)
            if level < tokens:
                break
            cost_us = tokens * bucket.token_us
            taken = self._throttles.take(
                bucket_id, cost_us, floor=bucket.floor(now),
                latest=now - cost_us - left * bucket.token_us, seen=pocket.seen,
            )  # fmt: skip
            pocket.seen = taken.spent_until
            if taken.is_taken:
                return tokens
        _refuse(bucket, pocket, pocket.seen, now)
        return 0


def _limits(caller: Caller) -> Iterator[tuple[str, int, str]]:
    """The bucket's id, the rate, and whose it is."""
    if caller.requests_per_second is not None:
        yield caller.key_id, caller.requests_per_second, "This API key"
    yield caller.account.id, caller.account.limits.requests_per_second, "This account"


def _lease(bucket: Bucket, level: int, *, is_greedy: bool) -> tuple[int, int]:
    """How many tokens to take of a bucket with so many in it, and how many must be left."""
    if level >= bucket.lease + bucket.reserve:
        return bucket.lease, bucket.reserve
    return (bucket.lease if is_greedy else max(1, min(bucket.pinch, level))), 0


def _taken_alone(bucket: Bucket, pocket: _Pocket, now: int) -> int:
    """A token of this process's own bucket, if there is one."""
    if bucket.level(pocket.alone, now) < 1:
        _refuse(bucket, pocket, pocket.alone, now)
        return 0
    pocket.alone = max(pocket.alone or 0, bucket.floor(now)) + bucket.token_us
    return 1


def _refuse(bucket: Bucket, pocket: _Pocket, spent_until: int | None, now: int) -> None:
    next_token = max(spent_until or 0, bucket.floor(now)) + bucket.token_us
    pocket.refused_at = now
    pocket.refused_until = max(next_token, now + ASK_AGAIN_US)
