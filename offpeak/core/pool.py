"""The pools of a model: the instances that serve it, region by region, and what was planned and ordered for them.

                ┌────────────── the plan wants instances ─────────────┐
                ▼                                                     │
    asleep (0) ─┴─► working (n) ──the plan wants none──► draining ──no shard of it is at work──► asleep

A draining pool keeps its instances and is given no shard, so that none is lost with its instance. In the home region,
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
    """`instances` is what was ordered last, None before anything was; `bounded_at` when that reached Application Auto
    Scaling, 0 while it hasn't. `asleep_since` is when it went to zero, None while it has instances. `override` is the
    operator's word."""

    instances: int | None = None
    draining: bool = False
    bounded_at: int = 0
    asleep_since: int | None = None
    override: Override | None = None

    def override_at(self, now: float) -> Override | None:
        """The operator's word, while it is good."""
        return self.override if self.override is not None and now < self.override.until else None

    def wanting(self, wanted: int, *, at_work: int, now: int) -> PoolState:
        """On the way to `wanted` instances, with so many shards dispatched to the pool and not ended."""
        if wanted == 0 and at_work and self.instances != 0:
            return replace(self, draining=True)
        if self.instances == wanted and not self.draining:
            return self
        asleep_since = None if wanted else now
        return replace(
            self, instances=wanted, draining=False, bounded_at=0, asleep_since=asleep_since
        )

    def bounded(self, now: int) -> PoolState:
        return replace(self, bounded_at=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPools:
    """The row of one model's pools, under the model's `pool`. `states` are by the pools' ids."""

    id: str
    plan: CapacityPlan | None = None
    states: Mapping[str, PoolState] = field(default_factory=dict)
    version: int = 0

    def state(self, pool: str) -> PoolState:
        return self.states.get(pool, PoolState())

    def plan_at(self, now: float) -> CapacityPlan | None:
        """None for one that is stale."""
        if self.plan is None or now >= self.plan.made_at + PLAN_SECONDS_MAX:
            return None
        return self.plan

    def planned(self, plan: CapacityPlan) -> ModelPools:
        return replace(self, plan=plan)

    def with_state(self, pool: str, state: PoolState) -> ModelPools:
        return replace(self, states={**self.states, pool: state})

    def overridden(self, pool: str, override: Override | None) -> ModelPools:
        """What the operator says counts at the next look, which makes a new plan of it."""
        changed = self.with_state(pool, replace(self.state(pool), override=override))
        return replace(changed, plan=None if self.plan is None else replace(self.plan, made_at=0))
