"""When a batch that runs will be done: its runs, what their workers told last, and the pools' plans."""

from __future__ import annotations

from collections.abc import Sequence

from offpeak.core.catalogue import Catalogue
from offpeak.core.completion import Completion
from offpeak.core.errors import NotFound
from offpeak.core.plan import CapacityPlan
from offpeak.core.ports import Pools
from offpeak.core.run import Run
from offpeak.core.shard import Shard
from offpeak.planner.estimate_completion import completion, work_left

PLANS_MAX = 10
"""Models of one batch whose plans are read."""


def estimate_completion(
    of_batch: Sequence[Run], open_shards: Sequence[Shard], *, now: float, catalogue: Catalogue,
    pools: Pools | None = None,
) -> Completion | None:  # fmt: skip
    """None where nobody can tell: a model left the catalogue, or its size isn't known and nothing was measured yet."""
    works = []
    for run in of_batch:
        if run.ended:
            continue
        model = catalogue.known(run.model)
        left = work_left(run, open_shards, model) if model else None
        if model is None or left is None:
            return None
        works.append((run, model, left))
    named = list(dict.fromkeys(run.pool for run, *_ in works))[:PLANS_MAX]
    plans = [_plan(pool, now, pools) for pool in named] if pools else []
    return completion(works, now, plans)


def _plan(pool: str, now: float, pools: Pools) -> CapacityPlan | None:
    try:
        return pools.glance(pool).plan_at(now)
    except NotFound:
        return None
