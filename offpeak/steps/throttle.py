"""A token bucket for each account, in this process's memory.

It costs no call, and so it knows of no other process: where the API runs in several, an account has a bucket in each,
and what holds for all of them together is the stage's own limit (API Gateway's). What it is for is that one account's
flood is turned away at the door of each process, before it reads or writes anything that others wait for.
"""

from __future__ import annotations

from math import ceil

from offpeak.core.account import Account
from offpeak.core.errors import TooManyRequests
from offpeak.core.ports import Clock

BURST_SECONDS = 2
"""A bucket holds as much as flows in in this time."""
REMEMBERED_MAX = 10_000


class Throttle:
    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, account: Account) -> None:
        """Counts one request of this account. Raises TooManyRequests when it has sent too many."""
        rate = account.limits.requests_per_second
        now = self._clock.now()
        full = float(rate * BURST_SECONDS)
        tokens, seen = self._buckets.pop(account.id, (full, now))
        tokens = min(full, tokens + rate * max(0.0, now - seen))
        self._buckets[account.id] = (tokens - 1 if tokens >= 1 else tokens, now)
        if len(self._buckets) > REMEMBERED_MAX:
            del self._buckets[next(iter(self._buckets))]  # whoever has been quiet for the longest
        if tokens < 1:
            raise TooManyRequests(
                f"This account sends more than {rate:,} requests a second. Send fewer, put several into one batch, or "
                "ask the operators of this service to lift the limit.",
                retry_seconds=ceil((1 - tokens) / rate),
            )
