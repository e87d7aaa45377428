"""What each pool of a model may take now: by the plan, or, without one, everything at home.

Work that waits for no hour goes at once, whatever was planned: to the pools that are awake, and else to the one at
home, which is woken for it. Work that waits for the plan's hours goes to the pools that the plan names for its run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from offpeak.core.model import Model
from offpeak.core.plan import CapacityPlan
from offpeak.core.pool import ModelPools, pools_of, split_pool
from offpeak.core.queued_run import QueuedRun
from offpeak.core.run import Run, Tier

Takes = Callable[[QueuedRun | Run], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """So many instances of `pool` may be filled with the runs that it `takes`. `region` is None at home. `is_urgent`:
    it takes none that waits for the plan."""

    pool: str
    region: str | None
    instances: int
    takes: Takes
    is_urgent: bool = False


def allow_pools(model: Model, pools: ModelPools | None, now: float) -> Sequence[Allowance]:
    """In the order in which to fill them. With a stale plan, or none, pools grow by their work as they did without one;
    only the one at home then hears of it (infra/scaling.py)."""
    plan = pools.plan_at(now) if pools is not None else None
    if pools is None or plan is None:
        return [
            Allowance(
                pool=model.pool, region=None, instances=model.instances_max, takes=lambda _: True
            )
        ]
    found = []
    awake = []
    for pool, there in pools_of(model).items():
        state = pools.state(pool)
        ordered = model.instances_max if state.instances is None else state.instances
        if state.draining or ordered == 0:
            continue
        found.append(_allowance(pool, ordered, _planned(plan, pool)))
        awake.append((pool, ordered, there.instances_max))
    for pool, ordered, most in awake or [(model.pool, 0, model.instances_max)]:
        if ordered < most:
            found.append(_allowance(pool, most, _waits_for_nothing, is_urgent=True))
    return found


def _allowance(pool: str, instances: int, takes: Takes, *, is_urgent: bool = False) -> Allowance:
    return Allowance(
        pool=pool, region=split_pool(pool)[1], instances=instances, takes=takes,
        is_urgent=is_urgent,
    )  # fmt: skip


def _planned(plan: CapacityPlan, pool: str) -> Takes:
    return lambda run: _waits_for_nothing(run) or plan.may_take(pool, run.id, run.deadline)


def _waits_for_nothing(run: QueuedRun | Run) -> bool:
    return run.tier is not Tier.OFFPEAK
