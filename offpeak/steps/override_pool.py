"""An operator's word on a pool: hold, release or boost it for a while, or leave it to the plan again."""

from __future__ import annotations

from offpeak.core.catalogue import Catalogue
from offpeak.core.errors import InvalidRequest, NotFound, StateConflict, Unavailable
from offpeak.core.model import Model
from offpeak.core.plan import Override, OverrideKind
from offpeak.core.pool import ModelPools, pools_of, split_pool
from offpeak.core.ports import Add, Changes, Pools, Save

OVERRIDE_SECONDS_MAX = 7 * 86_400
CONFLICTS_MAX = 5


def override_pool(
    pool: str, override: Override | None, *, now: float, catalogue: Catalogue, pools: Pools,
    changes: Changes,
) -> ModelPools:  # fmt: skip
    """None takes an earlier word back. It counts within a minute, at the next look of `plan_capacity`.

    Raises NotFound for a pool that no model of the catalogue has, InvalidRequest for a word that ends too late or for
    instances that the pool may not have.
    """
    check_override(pool, override, now, catalogue)
    model_pool, _ = split_pool(pool)
    for _ in range(CONFLICTS_MAX):
        change: Add | Save
        try:
            change = Save(pools.get(model_pool).overridden(pool, override))
        except NotFound:
            change = Add(ModelPools(id=model_pool).overridden(pool, override))
        try:
            changes.commit(change)
        except StateConflict:
            continue
        return pools.get(model_pool)
    raise Unavailable(f"The row of pool {pool} changed {CONFLICTS_MAX} times meanwhile.")


def check_override(pool: str, override: Override | None, now: float, catalogue: Catalogue) -> None:
    """Raises NotFound for a pool that no model has, InvalidRequest for a word that can't be kept."""
    known: dict[str, Model] = {}
    for model in catalogue.models:
        known |= pools_of(model)
    if pool not in known:
        raise NotFound(f"There is no pool {pool!r}; there are {', '.join(sorted(known))}.")
    if override is None:
        return
    if not now < override.until <= now + OVERRIDE_SECONDS_MAX:
        raise InvalidRequest("An override is good for up to seven days.")
    most = known[pool].instances_max
    if override.kind is OverrideKind.BOOST and not 1 <= override.instances <= most:
        raise InvalidRequest(f"A boost of {pool} takes 1 to {most} instances.")
