"""What becomes of a shard whose attempt is over without its results."""

from __future__ import annotations

from offpeak.core.run import Run, RunStatus
from offpeak.core.shard import Shard

RETRY_SECONDS = 30
RETRY_SECONDS_MAX = 900


def after_lost_attempt(
    shard: Shard, run: Run, now: int, *, failed: bool, attempts_max: int
) -> Shard:
    """A dispatched or claimed shard: waiting to be tried again, or closed because it won't be.

    With `failed` the attempt counts as the shard's own failure: it waits longer each time, and no attempt follows the
    `attempts_max`-th failure. Otherwise (never delivered, interrupted) it is due at once and may be tried without end.
    """
    if run.status is RunStatus.CLOSING:
        return shard.closed()
    pause = min(RETRY_SECONDS * 2**shard.failures, RETRY_SECONDS_MAX) if failed else 0
    waiting = shard.waiting(retry_at=now + pause, failed=failed)
    if failed and waiting.failures >= attempts_max:
        return waiting.closed(engine_failed=True)
    return waiting
