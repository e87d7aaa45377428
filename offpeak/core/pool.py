"""The pools of a model: the instances that serve it, region by region, and what was planned and ordered for them.

                ┌────────────── the plan wants instances ─────────────┐
                ▼                                                     │
    asleep (0) ─┴─► working (n) ──the plan wants none──► draining ──no shard of it is at work──► asleep

A draining pool keeps its instances and is given no shard, so that none is lost with its instance; and it drains for as
long as dispatchers remember that it was awake. In the home region,
where control plane and data are, a pool is named as its model's `pool`; elsewhere the region's name follows it:

    llama-3-1-8b            llama-3-1-8b@eu-north-1
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from offpeak.core.model import Model
from offpeak.core.plan import CapacityPlan, Override

PLAN_SECONDS_MAX = 900
"""An older plan is nobody's: whoever renews it every few minutes is down, and pools go back to following the work."""
REMEMBERED_SECONDS = 60
"""How long dispatchers go by a row that they have read."""
COLD_START_SECONDS_MIN, COLD_START_SECONDS_MAX = 60, 7_200
"""What is kept of a measured one: looks are a minute apart, and what took longer was a shortage of instances."""
STARTS_MIN, STARTS_KEPT = 3, 9
"""Of a pool's latest cold starts so many are kept, and so many make a measure: by their median, one that was unlucky
counts for little."""
_SEPARATOR = "@"


def pool_id(pool: str, region: str | None) -> str:
    """`region` is None for the home region."""
    return pool if region is None else f"{pool}{_SEPARATOR}{region}"


def split_pool(id: str) -> tuple[str, str | None]:
    """The model's pool, and the region; None is the home region."""
    pool, _, region = id.partition(_SEPARATOR)
    return pool, region or None


def pools_of(model: Model) -> dict[str, Model]:
    """The model's pools, the one at home first: id → the model as that region has it."""
    home = {model.pool: model}
    return home | {pool_id(model.pool, region): model.in_region(region) for region in model.regions}


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """`instances` is what was ordered last, None before anything was; `draining_since` is when it was wanted no more,
    None while it is; `bounded_at` when that reached Application Auto
    Scaling, 0 while it hasn't. `asleep_since` is when it went to zero, None while it has instances. `override` is the
    operator's word. `waking_since` is when a pool without an instance was ordered its first, None once that serves;
    `starts` are the seconds that this took the last times, the newest last."""

    instances: int | None = None
    draining_since: int | None = None
    bounded_at: int = 0
    asleep_since: int | None = None
    override: Override | None = None
    waking_since: int | None = None
    starts: tuple[int, ...] = ()

    @property
    def cold_start_seconds(self) -> int | None:
        """As measured; None until there were enough of them."""
        if len(self.starts) < STARTS_MIN:
            return None
        return sorted(self.starts)[len(self.starts) // 2]

    def override_at(self, now: float) -> Override | None:
        """The operator's word, while it is good."""
        return self.override if self.override is not None and now < self.override.until else None

    @property
    def draining(self) -> bool:
        return self.draining_since is not None

    def wanting(
        self, wanted: int, *, at_work: int, now: int, drain_seconds: float = REMEMBERED_SECONDS
    ) -> PoolState:
        """On the way to `wanted` instances, with so many shards dispatched to the pool and not ended. It drains for
        `drain_seconds` at least."""
        if wanted == 0 and self.instances != 0:
            since = now if self.draining_since is None else self.draining_since
            if at_work or now < since + drain_seconds:
                return replace(self, draining_since=since)
        if self.instances == wanted and not self.draining:
            return self
        waking_since = now if self.instances == 0 else self.waking_since
        return replace(
            self, instances=wanted, draining_since=None, bounded_at=0,
            asleep_since=None if wanted else now, waking_since=waking_since if wanted else None,
        )  # fmt: skip

    def awake(self, now: int) -> PoolState:
        """An instance serves. One that did so when the first was ordered had never gone: that was no start."""
        if self.waking_since is None:
            return self
        took = now - self.waking_since
        if took <= 0:
            return replace(self, waking_since=None)
        took = min(max(took, COLD_START_SECONDS_MIN), COLD_START_SECONDS_MAX)
        return replace(self, waking_since=None, starts=(*self.starts, took)[-STARTS_KEPT:])

    def bounded(self, now: int) -> PoolState:
        return replace(self, bounded_at=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPools:
    """The row of one model's pools, under the model's `pool`. `states` are by the pools' ids. `is_due`: something was
    said that the plan doesn't know."""

    id: str
    plan: CapacityPlan | None = None
    states: Mapping[str, PoolState] = field(default_factory=dict)
    is_due: bool = False
    version: int = 0

    def state(self, pool: str) -> PoolState:
        return self.states.get(pool, PoolState())

    def plan_at(self, now: float) -> CapacityPlan | None:
        """None for one that is stale."""
        if self.plan is None or now >= self.plan.made_at + PLAN_SECONDS_MAX:
            return None
        return self.plan

    def planned(self, plan: CapacityPlan) -> ModelPools:
        return replace(self, plan=plan, is_due=False)

    def with_state(self, pool: str, state: PoolState) -> ModelPools:
        return replace(self, states={**self.states, pool: state})

    def overridden(self, pool: str, override: Override | None) -> ModelPools:
        """What the operator says counts from the next look on, which makes a new plan of it. The last one stands until
        then: without any, all that waits would begin."""
        changed = self.with_state(pool, replace(self.state(pool), override=override))
        return replace(changed, is_due=True)
