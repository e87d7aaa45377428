"""The pools' rows, and the instances themselves (SageMaker, Application Auto Scaling)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from offpeak.core.pool import ModelPools


class Pools(Protocol):
    def get(self, pool: str) -> ModelPools:
        """Of the model with this `pool`. Raises NotFound before anything was planned or overridden."""
        ...

    def glance(self, pool: str) -> ModelPools:
        """As it is, or was a moment ago, at half the price."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """A pool's instances may be `least` to `most`."""

    least: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceCounts:
    """`running` are in service, `ordered` is what is wanted of the pool now: more while instances start."""

    running: int
    ordered: int


class Capacity(Protocol):
    """Pools by their ids (`core/pool.py`): the id says the region too."""

    def counts(self, pool: str) -> InstanceCounts:
        """Raises NotFound for a pool without an endpoint."""
        ...

    def bound(self, pool: str, bounds: Bounds, *, until: int, then: Bounds) -> None:
        """Keeps the pool's instances within `bounds`, at once where they are outside; and from `until` on, in seconds
        since the epoch, within `then`, unless it is called again before: if nobody calls any more, the pool is back in
        the hands of those who scale it by its work. Saying the same twice does no harm.

        Raises NotFound for a pool that nothing scales.
        """
        ...
