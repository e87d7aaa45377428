"""When a run must be dispatched to end in its window, and whether that moment has come."""

from __future__ import annotations

from collections.abc import Iterable

from offpeak.core.queued_run import QueuedRun
from offpeak.core.run import Run

SHARD_SECONDS = 900
"""What a shard may take where nothing was measured: shards are cut for 5 to 15 minutes. Too high only means that a run
goes first earlier."""
TIMED_MIN = 3
START_MARGIN_SECONDS = 1_800
"""An instance's cold start, and a shard's second try."""


def measured_shard_seconds(runs: Iterable[Run]) -> float:
    """Seconds from a shard's dispatch to its end, the mean over these runs; `SHARD_SECONDS` before a few were timed."""
    seconds = timed = 0
    for run in runs:
        seconds += run.shard_seconds
        timed += run.shards_timed
    return seconds / timed if timed >= TIMED_MIN else SHARD_SECONDS


def latest_start(
    run: QueuedRun, shards_at_once: int, shard_seconds: float = SHARD_SECONDS
) -> float:
    """When the rest of the run must begin to end in its window, if it had the whole pool to itself."""
    return run.deadline - _seconds_left(run, shards_at_once, shard_seconds) - START_MARGIN_SECONDS


def is_late(
    run: QueuedRun, now: float, *, shards_at_once: int, shard_seconds: float = SHARD_SECONDS
) -> bool:
    """Whether it must go before others, and can still be saved: a run that would miss its deadline at twice the pace
    and with the whole pool is left to its place, so that nobody gets more for asking what can't be."""
    if latest_start(run, shards_at_once, shard_seconds) > now:
        return False
    return now + _seconds_left(run, shards_at_once, shard_seconds) / 2 <= run.deadline


def _seconds_left(run: QueuedRun, shards_at_once: int, shard_seconds: float) -> float:
    return -(-run.shards_left // max(1, shards_at_once)) * shard_seconds
