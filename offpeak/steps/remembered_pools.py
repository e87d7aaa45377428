"""What is planned for a model's pools, remembered for a minute: dispatchers ask for it with every shard."""

from __future__ import annotations

from offpeak.core.errors import NotFound
from offpeak.core.plan import SLOT_SECONDS
from offpeak.core.pool import REMEMBERED_SECONDS, ModelPools
from offpeak.core.ports import Pools


class RememberedPools:
    """One a process. Where the clock is compressed, so is this minute."""

    def __init__(self) -> None:
        self._remembered: dict[str, tuple[float, ModelPools | None]] = {}

    def of(self, pool: str, *, now: float, pools: Pools) -> ModelPools | None:
        """None before anything was planned."""
        until, found = self._remembered.get(pool, (0.0, None))
        if now >= until:
            found = _read(pool, pools)
            plan = found.plan if found is not None else None
            seconds = SLOT_SECONDS if plan is None else plan.slot_seconds
            self._remembered[pool] = now + REMEMBERED_SECONDS * seconds / SLOT_SECONDS, found
        return found


def _read(pool: str, pools: Pools) -> ModelPools | None:
    try:
        return pools.glance(pool)
    except NotFound:
        return None
