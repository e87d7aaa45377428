"""Which runs of a pool get the slots that are free now.

Between accounts: fair shares. An account's share of the slots goes by its weight, and what it doesn't want goes to the
others (`fair_shares`); one with a late run counts four times its weight. Slots are what is shared, not shards: whose
shards take longer gets fewer of them. A free slot goes to

    1. whoever lacks whole slots of its share, by lot: the chance goes by how many it lacks
    2. whoever lacks a part of a slot, by lot: the chance goes by the part
    3. whoever has work, so that no slot stays empty

The lot is what makes shares hold over time and not just in flight, where accounts are more than slots: with one slot
and weights of three and one, the slot goes three times of four to the first. Nothing has to be remembered for it, hence
nothing written; it is drawn from `seed`, so that a choice can be repeated.

Within an account: its late runs, then express ones, short ones and the rest, each by the earliest deadline. Express
runs have slots besides, which no other may take: what takes a minute does not wait for what takes a day.

So nothing starves. An account with work has a share above zero, and each free slot is its own with at least the chance
of that share; a run behind more urgent ones of its account has a latest start.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from hashlib import blake2b

from offpeak.core.queued_run import QueuedRun
from offpeak.core.run import Tier
from offpeak.planner.fair_shares import fair_shares

URGENT_SHARE = 4
_ROUNDING = 1e-9

_Rank = tuple[int, float, str]


def choose_runs(
    waiting: Iterable[QueuedRun], *, in_flight: Mapping[str, int], weights: Mapping[str, float],
    slots: int, express_slots: int = 0, shards_at_once: int, seed: str,
) -> list[QueuedRun]:  # fmt: skip
    """A run for each slot, in the order in which to dispatch; a run comes once for each of its shards that goes.

    `slots` take any run, `express_slots` only those of their tier. `in_flight` counts an account's shards at work,
    `shards_at_once` is what the whole pool takes. An account without a weight has 1. O(log n) for each slot, after
    O(n log n) for `n` runs waiting.
    """
    contenders = _contenders(waiting, in_flight, weights, shards_at_once, seed)
    chosen = _fill(express_slots, [each for each in contenders if each.express], express=True)
    return chosen + _fill(slots, [each for each in contenders if each.has_more], express=False)


def _contenders(
    waiting: Iterable[QueuedRun], in_flight: Mapping[str, int], weights: Mapping[str, float],
    shards_at_once: int, seed: str,
) -> list[_Contender]:  # fmt: skip
    of_account: dict[str, list[QueuedRun]] = defaultdict(list)
    for run in waiting:
        if run.shards_left > 0:
            of_account[run.account_id].append(run)
    wanted = Counter(
        {
            each: in_flight.get(each, 0) + sum(run.shards_left for run in of_account[each])
            for each in of_account
        }
    )
    held_by_others = {each: held for each, held in in_flight.items() if each not in wanted and held}
    wanted.update(held_by_others)
    weight = {each: weights.get(each, 1.0) for each in wanted}
    for each, runs in of_account.items():
        if any(run.tier is Tier.LATE for run in runs):
            weight[each] *= URGENT_SHARE
    shares = fair_shares(shards_at_once, wanted, weight)
    return [
        _Contender(each, runs, in_flight.get(each, 0), shares[each], weight[each], seed)
        for each, runs in sorted(of_account.items())
    ]


def _fill(slots: int, contenders: list[_Contender], *, express: bool) -> list[QueuedRun]:
    heapq.heapify(contenders)
    chosen: list[QueuedRun] = []
    while contenders and len(chosen) < slots:
        first = contenders[0]
        chosen.append(first.take(express=express))
        if first.express if express else first.has_more:
            heapq.heapreplace(contenders, first)
        else:
            heapq.heappop(contenders)
    return chosen


class _Contender:
    """An account that wants slots."""

    def __init__(
        self, account_id: str, runs: list[QueuedRun], in_flight: int, share: float, weight: float,
        seed: str,
    ) -> None:  # fmt: skip
        self._account_id = account_id
        self._in_flight = in_flight
        self._share = share
        self._weight = weight
        self._lot = _lot(seed, account_id)
        late = [run for run in runs if run.tier is Tier.LATE]
        express = [run for run in runs if run.tier is Tier.EXPRESS]
        others = [run for run in runs if run.tier > Tier.LATE]
        self.late, self.express, self.others = _Line(late), _Line(express), _Line(others)
        self._rank = self._ranked()

    @property
    def has_more(self) -> bool:
        return bool(self.late or self.express or self.others)

    def take(self, *, express: bool) -> QueuedRun:
        """Its most urgent run, for one shard; its most urgent express run."""
        line = self.express if express else self.late or self.express or self.others
        taken = line.take()
        self._in_flight += 1
        self._rank = self._ranked()
        return taken

    def __lt__(self, other: _Contender) -> bool:
        return self._rank < other._rank

    def _ranked(self) -> _Rank:
        """Lower comes first."""
        lacks = self._share - self._in_flight
        if lacks >= 1 - _ROUNDING:
            return 1, self._lot / lacks, self._account_id
        if lacks > _ROUNDING:
            return 2, self._lot / lacks, self._account_id
        return 3, (self._in_flight + 1) / self._weight, self._account_id


class _Line:
    """Runs in the order of their urgency, each as often as it has shards left."""

    def __init__(self, runs: list[QueuedRun]) -> None:
        self._heap = [(run.urgency, run.shards_left, run) for run in runs]
        heapq.heapify(self._heap)

    def __bool__(self) -> bool:
        return bool(self._heap)

    def take(self) -> QueuedRun:
        urgency, left, run = self._heap[0]
        if left > 1:
            self._heap[0] = urgency, left - 1, run  # the same place: no run has its urgency
        else:
            heapq.heappop(self._heap)
        return run


def _lot(seed: str, account_id: str) -> float:
    """Exponentially distributed: of many such, each divided by its chance, the least is each's with that chance."""
    digest = blake2b(f"{seed}#{account_id}".encode(), digest_size=8).digest()
    return -math.log((int.from_bytes(digest) + 1) / 2**64)
