"""Whether a pool's runs will end in their windows: each one's expected end, were the earliest deadline served first.

    work before a run   of all runs with an earlier deadline that can still be saved, and half of what is in flight
    finishes_at         now + until the pool works + ⌈work up to and with its own ÷ shards at once⌉ × a shard's seconds

Earliest deadline first is optimal here: if it misses a deadline, every order misses one (Liu and Layland, 1973; Horn,
1974). So whoever would miss its deadline even so is at risk whatever the dispatcher does, and it is seen as soon as the
work is there, not when the time is up: a batch of 30 hours' work in a window of 24 is at risk once it is planned.

A run is *late* when it must go first now: with the whole pool for its account, whose own runs go before it by their
deadlines, it would end less than `START_MARGIN_SECONDS` before its own. Other accounts' work doesn't count here, for a
late run is worth a larger share of the pool (planner/choose_runs.py): in a pool that has too much to do some accounts
would get it for what others ask. One that would miss its deadline at twice the pace is left to its place, so that
nobody gets more for asking what can't be, and isn't counted in the way of others.

Both marks are taken back only a while after their reason is gone (`LATE_HYSTERESIS_SECONDS`, `RECOVERY_SECONDS`): an
estimate that wavers must not make them waver.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from offpeak.core.queued_run import QueuedRun
from offpeak.core.run import Run, Tier

SHARD_SECONDS = 900
"""What a shard may take where nothing was measured: shards are cut for 5 to 15 minutes. Too high only means that a run
goes first earlier."""
EXPECTED_SHARD_SECONDS = 600
"""What it takes in all likelihood, where nothing was measured: what is said to users must not be too high."""
TIMED_MIN = 3
START_MARGIN_SECONDS = 1_800
"""An instance's cold start, and a shard's second try."""
LATE_HYSTERESIS_SECONDS = 600
RECOVERY_SECONDS = 900
"""By how much a batch at risk must be expected before its deadline to be so no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds of a shard from its dispatch to its end: as expected, and as it is to be reckoned with."""

    expected: float = EXPECTED_SHARD_SECONDS
    cautious: float = SHARD_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Of one run: when it is expected to end (seconds since the epoch), and whether it must go first now."""

    run: QueuedRun
    finishes_at: float
    late: bool


@dataclass(slots=True)
class _Queue:
    """Work that goes before a run: `before` shards, of which a pool takes so many at once."""

    shards_at_once: int
    before: float = 0

    def seconds(self, run: QueuedRun, shard_seconds: float) -> float:
        """Until the run's last shard has ended."""
        return math.ceil((self.before + run.shards_left) / self.shards_at_once) * shard_seconds


def measured_pace(runs: Iterable[Run]) -> Pace:
    """The mean over these runs' shards; the prior before a few were timed."""
    seconds = timed = 0
    for run in runs:
        seconds += run.shard_seconds
        timed += run.shards_timed
    if timed < TIMED_MIN:
        return Pace()
    return Pace(expected=seconds / timed, cautious=seconds / timed)


def outlooks(
    waiting: Iterable[QueuedRun], *, now: float, shards_at_once: int, in_flight: int = 0,
    starts_in: float = 0.0, pace: Pace,
) -> list[Outlook]:  # fmt: skip
    """Of a pool's runs with shards never dispatched, the earliest deadline first. `in_flight` of its shards are at work
    or sent; `starts_in` is how many seconds pass until the pool works."""
    of_pool = _Queue(max(1, shards_at_once), before=in_flight / 2)
    of_account: dict[str, _Queue] = defaultdict(lambda: _Queue(of_pool.shards_at_once))
    found = []
    for run in sorted(waiting, key=lambda run: (run.deadline, run.id)):
        expected = of_pool.seconds(run, pace.expected)
        own = of_account[run.account_id]
        alone = own.seconds(run, pace.cautious)
        savable = now + alone / 2 <= run.deadline
        late = savable and now + alone + _late_before(run) >= run.deadline
        found.append(Outlook(run=run, finishes_at=now + starts_in + expected, late=late))
        if savable:
            own.before += run.shards_left
        if now + expected / 2 <= run.deadline:
            of_pool.before += run.shards_left
    return found


def is_at_risk(finishes_at: float | None, deadline: int, *, was: bool) -> bool:
    """Whether a batch is expected to miss its deadline; `was`: it was expected to until now. None: nobody can tell."""
    if finishes_at is None:
        return was
    return finishes_at + (RECOVERY_SECONDS if was else 0) > deadline


def _late_before(run: QueuedRun) -> int:
    was = run.tier is Tier.LATE
    return START_MARGIN_SECONDS + (LATE_HYSTERESIS_SECONDS if was else 0)
