"""Token buckets that all processes share (DynamoDB): one number each, changed in one conditional write."""

from __future__ import annotations

from typing import Protocol

from offpeak.core.throttle import Taken


class Throttles(Protocol):
    def take(
        self, bucket_id: str, cost_us: int, *, floor: int, latest: int, seen: int | None
    ) -> Taken:
        """Adds `cost_us` to what the bucket is spent until, or to `floor` where that is later; unless either is later
        than `latest`. Of many at once, each finds what those before it have left.

        `seen` is what the caller saw last, or None: a guess that saves a call when it is right, and changes no more.
        A call whose answer was lost may count twice, which gives nobody more.
        """
        ...
