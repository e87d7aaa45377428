"""A pool in simulated time, under the real choice of runs: batches arrive, shards take their time, slots are filled.

What is real: `choose_runs`, the slots of `Model`, `is_late` once a minute, and a queue that shows of each account the
first few runs, as the index does. What is simulated: the clock, and how long a shard takes. Dispatching is asked for
when a batch arrives and when a shard ends, `LAG_SECONDS` before it happens; what comes within `GRAIN_SECONDS` shares a
call, as records of one queue do.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random

from offpeak.core.model import Model
from offpeak.core.queued_run import QueuedRun
from offpeak.core.run import Run, RunStatus, Tier
from offpeak.planner.at_risk import Pace, outlooks
from offpeak.planner.choose_runs import choose_runs

LAG_SECONDS = 1
GRAIN_SECONDS = 10
SWEEP_SECONDS = 60
CALL_SLOTS_MAX = 50


@dataclass(slots=True, eq=False)
class SimulatedRun:
    """A batch's run, and when what happened to it."""

    run: Run
    queued: QueuedRun
    left: int
    open: int = 0
    begun_at: float | None = None
    ended_at: float | None = None

    @property
    def delay(self) -> float:
        """From its release to the dispatch of its first shard."""
        assert self.begun_at is not None
        return self.begun_at - self.run.created_at


def new_run(
    id: str, account_id: str, *, shards: int, lines: int, now: int, deadline: int
) -> SimulatedRun:
    run = Run(
        batch_id=id, account_id=account_id, number=0, model="m", pool="p", endpoint="/e",
        manifest_key="k", manifest_bytes=1, shards=shards, lines=lines, deadline=deadline,
        created_at=now, status=RunStatus.READY,
    )  # fmt: skip
    queued = QueuedRun(
        batch_id=id, number=0, account_id=account_id, tier=run.tier, deadline=deadline,
        created_at=now, shards=shards, shards_left=shards, lines=lines,
    )  # fmt: skip
    return SimulatedRun(run=run, queued=queued, left=shards)


class Queue:
    """The index: by account, in the order of urgency."""

    def __init__(self) -> None:
        self._of: dict[bool, dict[str, list[tuple[tuple[int, int, str], str]]]] = {
            True: defaultdict(list),
            False: defaultdict(list),
        }
        self.runs: dict[str, SimulatedRun] = {}
        self.shards = 0

    def add(self, run: SimulatedRun) -> None:
        self.runs[run.queued.id] = run
        self.shards += run.left
        self._insert(run.queued)

    def changed(self, run: SimulatedRun, queued: QueuedRun) -> None:
        if queued.urgency != run.queued.urgency:
            self._remove(run.queued)
            self._insert(queued)
        run.queued = queued

    def took(self, run: SimulatedRun) -> None:
        run.left -= 1
        self.shards -= 1
        if run.left == 0:
            self._remove(run.queued)
            return
        left = replace(run.run, cursor=run.run.shards - run.left).shards_left
        if left != run.queued.shards_left:
            run.queued = replace(run.queued, shards_left=left)

    def first(self, each: int, *, express: bool) -> list[QueuedRun]:
        lines = self._of[express].values()
        return [self.runs[run_id].queued for line in lines for _, run_id in line[:each]]

    def has(self, *, express: bool) -> bool:
        return any(self._of[express].values())

    def _insert(self, queued: QueuedRun) -> None:
        line = self._of[queued.tier is Tier.EXPRESS][queued.account_id]
        insort(line, (queued.urgency, queued.id))

    def _remove(self, queued: QueuedRun) -> None:
        line = self._of[queued.tier is Tier.EXPRESS][queued.account_id]
        del line[bisect_left(line, (queued.urgency, queued.id))]


@dataclass(slots=True)
class Seen:
    """What happened: calls and choices, slot-seconds held by account, and slots that stood empty beside work."""

    calls: int = 0
    shards: int = 0
    slot_seconds: Counter[str] = field(default_factory=Counter)
    empty_beside_work: int = 0


class SimulatedPool:
    """`weights` by account; `shard_seconds` draws how long a shard of a run takes."""

    def __init__(
        self, model: Model, *, shard_seconds: Callable[[SimulatedRun, Random], float],
        weights: Mapping[str, float] | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        self.model = model
        self.queue = Queue()
        self.seen = Seen()
        self.held: Counter[str] = Counter()
        self._large = 0
        self._weights = dict(weights or {})
        self._shard_seconds = shard_seconds
        self._random = Random(seed)
        self._arrivals: list[tuple[int, str, SimulatedRun]] = []
        self._ends: list[tuple[float, int, SimulatedRun]] = []
        self._swept_at = 0.0

    def submit(self, run: SimulatedRun) -> None:
        heapq.heappush(self._arrivals, (run.run.created_at, run.queued.id, run))

    def run(self, until: float = float("inf")) -> None:
        """Until nothing is left to do, or that moment."""
        while self._arrivals or self._ends:
            now = min(heap[0][0] for heap in (self._arrivals, self._ends) if heap)
            if now > until:
                return
            self._take_in(now + GRAIN_SECONDS)
            if self.queue.shards:
                if now - self._swept_at >= SWEEP_SECONDS:
                    self._sweep(now)
                self._dispatch(now)

    def _take_in(self, before: float) -> None:
        while self._arrivals and self._arrivals[0][0] < before:
            self.queue.add(heapq.heappop(self._arrivals)[2])
        while self._ends and self._ends[0][0] < before:
            at, _, run = heapq.heappop(self._ends)
            run.open -= 1
            self.held[run.run.account_id] -= 1
            self._large -= run.queued.tier is not Tier.EXPRESS
            if not run.open and not run.left:
                run.ended_at = at

    def _sweep(self, now: float) -> None:
        self._swept_at = now
        left = {
            run.queued.id: run
            for run in self.queue.runs.values()
            if run.left and run.queued.tier is not Tier.EXPRESS
        }
        for outlook in outlooks(
            [run.queued for run in left.values()], now=now, pace=Pace(), in_flight=self._large,
            shards_at_once=self.model.ordinary_in_flight_max,
        ):  # fmt: skip
            run = left[outlook.run.id]
            tier = replace(run.run, late=outlook.late).tier
            if tier is not run.queued.tier:
                self.queue.changed(run, replace(run.queued, tier=tier))

    def _dispatch(self, now: float) -> None:
        while True:
            room = min(CALL_SLOTS_MAX, self.model.in_flight_max - self.held.total())
            ordinary = min(room, max(0, self.model.ordinary_in_flight_max - self._large))
            waiting = self.queue.first(room, express=True) if room else []
            if ordinary:
                waiting += self.queue.first(room, express=False)
            chosen = choose_runs(
                waiting, in_flight=self.held, weights=self._weights, slots=ordinary,
                express_slots=room - ordinary, shards_at_once=self.model.ordinary_in_flight_max,
                seed=f"{now} {self.seen.shards}",
            )  # fmt: skip
            self.seen.calls += 1
            begun = sum(self._begin(self.queue.runs[each.id], now) for each in chosen)
            if begun == len(chosen) < CALL_SLOTS_MAX:
                self._look_for_empty_slots(room - begun, ordinary)
                return

    def _begin(self, run: SimulatedRun, now: float) -> bool:
        """Not when the run has no shard left: the queue tells how many there are at most."""
        if not run.left:
            return False
        at = max(now, run.run.created_at) + LAG_SECONDS
        seconds = self._shard_seconds(run, self._random)
        run.begun_at = at if run.begun_at is None else run.begun_at
        run.open += 1
        self.queue.took(run)
        self.held[run.run.account_id] += 1
        self._large += run.queued.tier is not Tier.EXPRESS
        self.seen.shards += 1
        self.seen.slot_seconds[run.run.account_id] += round(seconds)
        heapq.heappush(self._ends, (at + seconds, self.seen.shards, run))
        return True

    def _look_for_empty_slots(self, empty: int, ordinary: int) -> None:
        idle = self.model.ordinary_in_flight_max - self._large
        ordinary_waits = idle > 0 < ordinary and self.queue.has(express=False)
        if empty > 0 and (ordinary_waits or self.queue.has(express=True)):
            self.seen.empty_beside_work += 1


def large_model(instances: int, concurrency: int = 2) -> Model:
    return Model(
        id="m", pool="p", source="s", endpoints=("/e",), context_tokens=1, instances_max=instances,
        concurrency=concurrency,
    )  # fmt: skip


def mixed_sizes(random: Random, shards_max: int) -> tuple[int, int]:
    """Shards and lines of a batch: as many small ones as large, on a logarithmic scale, from ten lines up."""
    lines = round(10 * (shards_max * 200) ** random.random())
    return max(1, -(-lines // 2_000)), lines
