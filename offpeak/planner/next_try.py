"""What becomes of a shard whose attempt is over without its results."""

from __future__ import annotations

from offpeak.core.run import Run, RunStatus
from offpeak.core.shard import Shard
from offpeak.planner.bisect_shard import FAILURES_MAX, after_failure, first_probes

RETRY_SECONDS = 30
RETRY_SECONDS_MAX = 900
PROBE_SECONDS_MAX = 300
"""Between the failures of a bisected shard, of which some are to be expected."""


def after_lost_attempt(
    shard: Shard, run: Run, now: int, *, failed: bool, attempts_max: int
) -> Shard:
    """A dispatched or claimed shard: waiting to be tried again, or closed because it won't be.

    With `failed` the attempt counts as the shard's own failure: it waits longer each time, and from the
    `attempts_max`-th failure on it is bisected, until the lines to blame are known or `FAILURES_MAX` more have failed.
    With an `attempts_max` of zero (its model is gone) it is closed at once. Otherwise (never delivered, interrupted)
    it is due at once and may be tried without end.
    """
    if run.status is RunStatus.CLOSING:
        return shard.closed()
    if not failed:
        return shard.waiting(retry_at=now, failed=False)
    waiting = shard.waiting(retry_at=now + _pause(shard), failed=True)
    if waiting.failures < attempts_max:
        return waiting
    probes = after_failure(shard.probes) if shard.probes else first_probes(shard.lines)
    if not probes or attempts_max == 0 or waiting.failures >= attempts_max + FAILURES_MAX:
        return waiting.closed(engine_failed=True)
    return waiting.probing(probes)


def after_probe(shard: Shard, run: Run, now: int) -> Shard:
    """A bisected shard whose probe was worked: due at once for the next one, or closed when that was the last. Its
    lines that have no result are to blame, then."""
    if run.status is RunStatus.CLOSING:
        return shard.closed()
    waiting = shard.waiting(retry_at=now, failed=False).probing(shard.probes[1:])
    return waiting if waiting.probes else waiting.closed(engine_failed=True)


def _pause(shard: Shard) -> int:
    doubled: int = RETRY_SECONDS * 2 ** min(shard.failures, 10)
    return min(doubled, PROBE_SECONDS_MAX if shard.probes else RETRY_SECONDS_MAX)
