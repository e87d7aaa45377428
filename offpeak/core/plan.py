"""The capacity plan of one model: how many instances each of its pools gets, slot by slot, and what may run now.

Times are epoch seconds. Work is in **instance-seconds**: what it would take one instance of speed 1 that is busy the
whole time. Slots are `slot_seconds` long and begin at whole multiples of it, so that plans of different moments can be
laid over each other; the first is the one that `now` is in. What comes after the last slot is not planned.

    Situation  ──plan(…)──►  CapacityPlan
      pools: bounds, what runs, what an hour costs in each slot      pools: instances wanted, slot by slot
      work: what is due when, and where it may run                   runs: when each is to start and end, where
      weights, margins, overrides (data, not code)                   short: what won't be done in time by anything
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

SLOT_SECONDS = 900
SLOTS = 192
"""48 hours."""
MARGIN_SECONDS = 3_600
"""Work is planned to end so long before its deadline: a shard that is lost may be found and tried again."""
SMOOTHING_SLOTS = 4
COLD_START_SECONDS = 600
DRAIN_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What counts, all in dollars: `dollars` for each dollar, `carbon` for each kilogram of CO2eq, `earliness` for each
    instance-hour of work and hour that it waits. Instances' prices don't vary by the hour: between the hours of one
    region carbon decides, at any weight; between regions, and whether a start pays, all of it does."""

    dollars: float = 1.0
    carbon: float = 1.0
    earliness: float = 0.0


class OverrideKind(StrEnum):
    """What an operator orders: `hold`: no instance for work that can wait, while it can (what is asked for now or
    would miss its window runs); `release`: whatever waits may run now; `boost`: at least so many instances."""

    HOLD = "hold"
    RELEASE = "release"
    BOOST = "boost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Of one pool, until a time. `instances` is what a boost asks for, within the pool's bounds."""

    kind: OverrideKind
    until: float
    instances: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOutlook:
    """A pool as it is and what its hours will cost. `dollars` and `carbon` are USD and kilograms of CO2eq for an hour
    of one instance, one value a slot; all pools of a situation have equally many. `running` instances serve,
    `starting` are on their way. `speed` is work-seconds a second and instance. An instance is paid for its cold start
    and its drain, and does nothing for it. `idle_seconds` is how long the pool has had no instance: one that has just
    worked isn't started again for little."""

    pool: str
    region: str
    instances_max: int
    dollars: tuple[float, ...]
    carbon: tuple[float, ...]
    instances_min: int = 0
    running: int = 0
    starting: int = 0
    speed: float = 1.0
    cold_start_seconds: float = COLD_START_SECONDS
    drain_seconds: float = DRAIN_SECONDS
    idle_seconds: float = float("inf")
    override: Override | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.instances_min <= self.instances_max:
            raise ValueError(f"{self.pool}: {self.instances_min} … {self.instances_max} instances")
        if len(self.dollars) != len(self.carbon) or not self.dollars:
            raise ValueError(f"{self.pool}: needs dollars and carbon for each slot")
        if self.speed <= 0:
            raise ValueError(f"{self.pool}: speed {self.speed}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkDue:
    """What is left of a run: instance-seconds that it will take with a chance of one in two, and nine in ten. `pools`
    are those where its account lets it run, None being all. `now` is for work that isn't to wait: asked for so, or at
    risk."""

    run_id: str
    deadline: float
    seconds_p50: float
    seconds_p90: float
    pools: frozenset[str] | None = None
    now: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.seconds_p50 <= self.seconds_p90:
            raise ValueError(f"{self.run_id}: P50 {self.seconds_p50}, P90 {self.seconds_p90}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that a plan is made of. `work` in any order; `margin_seconds` is what is left free before each deadline.
    `smoothing_slots`: values are averaged with those of so many slots before and after, nearer ones counting more. A
    forecast's errors look like opportunities, and the planner would choose those hours that were most underestimated.
    0 takes values as they are."""

    now: float
    pools: tuple[PoolOutlook, ...]
    work: tuple[WorkDue, ...]
    weights: Weights = field(default_factory=Weights)
    slot_seconds: int = SLOT_SECONDS
    margin_seconds: float = MARGIN_SECONDS
    smoothing_slots: int = SMOOTHING_SLOTS

    def __post_init__(self) -> None:
        if len({len(pool.dollars) for pool in self.pools}) > 1:
            raise ValueError("Pools differ in how many slots their values are of.")
        if len({pool.pool for pool in self.pools}) != len(self.pools):
            raise ValueError("Two pools have the same name.")

    @property
    def starts_at(self) -> int:
        return int(self.now // self.slot_seconds) * self.slot_seconds

    @property
    def slots(self) -> int:
        return len(self.pools[0].dollars) if self.pools else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """`instances` that are to serve in each slot, and the work-seconds that are expected to be done in it. An instance
    that serves from a slot's begin on is ordered its cold start earlier: ask `CapacityPlan.wanted`. `why` is a sentence
    for the operator."""

    pool: str
    region: str
    instances: tuple[int, ...]
    seconds: tuple[float, ...]
    cold_start_seconds: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """When the planned work of a run begins and ends, and the pools that may take it now: none while it waits.
    `short_seconds` is how much of its P90 fits nowhere before its deadline."""

    run_id: str
    starts_at: float
    ends_at: float
    takes: tuple[str, ...] = ()
    short_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class CapacityPlan:
    """`due_by` says, for each pool that works now, up to which deadline: for runs that came after the plan was made.
    `cost` is what the plan costs by the situation's weights, starts included; to compare plans by."""

    made_at: float
    starts_at: int
    slot_seconds: int
    pools: tuple[PoolPlan, ...]
    runs: tuple[RunPlan, ...]
    due_by: Mapping[str, float] = field(default_factory=dict)
    cost: float = 0.0

    @cached_property
    def _pools(self) -> Mapping[str, PoolPlan]:
        return {each.pool: each for each in self.pools}

    @cached_property
    def _runs(self) -> Mapping[str, RunPlan]:
        return {each.run_id: each for each in self.runs}

    @property
    def short(self) -> tuple[RunPlan, ...]:
        """Runs that cannot be done in time if they take their P90, with all instances there may be."""
        return tuple(each for each in self.runs if each.short_seconds > 0)

    def run(self, run_id: str) -> RunPlan | None:
        return self._runs.get(run_id)

    def slot(self, when: float) -> int:
        """The slot that this moment is in; past the last, the last."""
        last = len(self.pools[0].instances) - 1 if self.pools else 0
        return min(last, max(0, int((when - self.starts_at) // self.slot_seconds)))

    def wanted(self, pool: str, now: float) -> int:
        """Instances to ask for now: what serves in this slot, or has to be ordered for the slots that begin within a
        cold start. 0 for a pool that isn't planned."""
        plan = self._pools.get(pool)
        if plan is None:
            return 0
        first, last = self.slot(now), self.slot(now + plan.cold_start_seconds)
        return max(plan.instances[first : last + 1])

    def may_take(self, pool: str, run_id: str, deadline: float) -> bool:
        """Whether the pool may take shards of the run now. One that the plan doesn't know, because it came later, goes
        by its deadline."""
        known = self._runs.get(run_id)
        if known is not None:
            return pool in known.takes
        return deadline <= self.due_by.get(pool, float("-inf"))
