"""Token buckets: how many requests a second somebody may send, a token each.

A bucket is one number, `spent_until`: when all that was taken from it will have flowed in again, in microseconds since
the epoch. What lies in the past of that is there to be taken, as far back as the bucket is deep. So nobody has to fill
it, and to take is to add. It is the generic cell rate algorithm's "theoretical arrival time" (ITU-T I.371, annex A).

    │◄──────────── depth_us ─────────────►│
    floor ······ spent_until ─── level ──►now        level = (now - spent_until) / token_us
"""

from __future__ import annotations

from dataclasses import dataclass

SECOND_US = 1_000_000
BURST_SECONDS = 2
"""A bucket holds as much as flows in in this time."""
LEASES_A_SECOND, PINCHES_A_SECOND = 10, 100
"""A process takes so much at once that it would ask so often if it served the whole rate."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Somebody's, who may send `rate` requests a second. All times in microseconds."""

    rate: int

    @property
    def token_us(self) -> int:
        """How long a token takes to flow in; rounded so that it is never too short."""
        return -(-SECOND_US // self.rate)

    @property
    def depth(self) -> int:
        """Tokens in a full bucket."""
        return self.rate * BURST_SECONDS

    @property
    def reserve(self) -> int:
        """Tokens that are for requests that are there, and not for those that may come."""
        return self.depth // 2

    @property
    def lease(self) -> int:
        """Tokens that a process takes at once, while there are plenty."""
        return max(1, self.rate // LEASES_A_SECOND)

    @property
    def pinch(self) -> int:
        """Tokens that a process takes at once while there are few: one, up to 100 a second. A row takes no more than
        1,000 writes a second."""
        return max(1, self.rate // PINCHES_A_SECOND)

    def floor(self, now: int) -> int:
        """What is spent no later than this leaves a full bucket."""
        return now - self.depth * self.token_us

    def level(self, spent_until: int | None, now: int) -> int:
        """Tokens in it; None is a bucket that nobody took from yet. Below zero where another's clock is ahead."""
        floor = self.floor(now)
        spent = floor if spent_until is None else max(floor, spent_until)
        return (now - spent) // self.token_us


@dataclass(frozen=True, slots=True)
class Taken:
    """`spent_until` of a bucket: after it was taken from, or as it is, where too little was in it. None: untouched."""

    is_taken: bool
    spent_until: int | None
