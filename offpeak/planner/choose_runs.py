"""Which runs of a pool get the slots that are free now.

Between accounts: whoever has the fewest shards in flight comes first. An account with a run near its latest start
counts a quarter of its own, so that it gets four times the share of the others, never all of it.
Within an account, the earliest deadline first in each of three tiers:

    1. near its latest start: later than this it won't end in its window, even with the whole pool
    2. short: it holds the pool up for a moment, and somebody waits for it
    3. the rest; time brings each of them to tier 1

So nothing starves: an account with nothing in flight is always first, and a run behind shorter ones has a latest start.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from offpeak.core.run import Run

SHARD_SECONDS = 900
"""What a shard may take: shards are cut for 5 to 15 minutes. Too high only means that a run comes first earlier."""
START_MARGIN_SECONDS = 1_800
"""An instance's cold start, and a shard's second try."""
URGENT_SHARE = 4
SHORT_SHARDS_MAX = 4

_Urgency = tuple[int, int, int, str]


def choose_runs(
    ready: Iterable[Run], *, in_flight: Mapping[str, int], slots: int, shards_at_once: int, now: int
) -> list[Run]:
    """A run for each slot, in the order in which to dispatch; a run comes once for each of its shards that goes.

    `in_flight` counts an account's shards at work, `shards_at_once` is what the whole pool takes.
    """
    of_account: dict[str, list[Run]] = defaultdict(list)
    for run in ready:
        if run.has_more:
            of_account[run.account_id].append(run)
    contenders = [
        _Contender(runs, in_flight.get(account_id, 0), shards_at_once, now)
        for account_id, runs in sorted(of_account.items())
    ]
    heapq.heapify(contenders)
    chosen: list[Run] = []
    while contenders and len(chosen) < slots:
        first = contenders[0]
        chosen.append(first.take())
        if first.has_more:
            heapq.heapreplace(contenders, first)
        else:
            heapq.heappop(contenders)
    return chosen


def latest_start(run: Run, shards_at_once: int) -> int:
    """When the rest of the run must begin to end in its window, if it had the whole pool to itself."""
    rounds = -(-(run.shards - run.cursor) // max(1, shards_at_once))
    return run.deadline - rounds * SHARD_SECONDS - START_MARGIN_SECONDS


def _urgency(run: Run, shards_at_once: int, now: int) -> _Urgency:
    """Lower is more urgent."""
    remaining = run.shards - run.cursor
    is_late = latest_start(run, shards_at_once) <= now
    tier = 1 if is_late else 2 if remaining <= SHORT_SHARDS_MAX else 3
    return tier, run.deadline, remaining, run.id


class _Contender:
    """An account that wants slots."""

    def __init__(self, runs: list[Run], in_flight: int, shards_at_once: int, now: int) -> None:
        ranked = sorted((_urgency(run, shards_at_once, now), run) for run in runs)
        self._shards = _shards_of(run for _, run in ranked)
        self._next: Run | None = next(self._shards)
        self._best = ranked[0][0]
        self._in_flight = in_flight
        self._share = URGENT_SHARE if self._best[0] == 1 else 1

    @property
    def has_more(self) -> bool:
        return self._next is not None

    def take(self) -> Run:
        """Its most urgent run, for one shard."""
        if self._next is None:
            raise IndexError("This account has no shard left.")
        taken, self._next = self._next, next(self._shards, None)
        self._in_flight += 1
        return taken

    def __lt__(self, other: _Contender) -> bool:
        return self._rank() < other._rank()

    def _rank(self) -> tuple[float, _Urgency]:
        return self._in_flight / self._share, self._best


def _shards_of(runs: Iterable[Run]) -> Iterator[Run]:
    for run in runs:
        for _ in range(run.shards - run.cursor):
            yield run
