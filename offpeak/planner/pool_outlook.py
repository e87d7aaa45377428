"""A pool as the plan sees it: what it is now, and what an hour of an instance costs and emits in each slot."""

from __future__ import annotations

from math import inf
from typing import Literal

from offpeak.core.instance_power import InstancePower, instance_power
from offpeak.core.model import Model
from offpeak.core.plan import COLD_START_SECONDS, DRAIN_SECONDS, PoolOutlook
from offpeak.core.pool import PoolState
from offpeak.core.ports import InstanceCounts
from offpeak.planner.estimate_seconds import prior_speed
from offpeak.planner.forecast import RegionForecast, instance_hour

GRAMS = 1_000  # a kilogram
UNKNOWN = InstancePower(kilowatts=1.0, usd_per_hour=1.0)
"""Of an instance type that nobody has figures for: hours still compare with one another."""
START_SECONDS, START_BYTES_A_SECOND = 300, 40e6
"""A cold start: until an instance is found and its container runs, and how fast weights come. Together they give the
640 s that were seen for 13 GB of weights on g5.2xlarge."""


def cold_start_seconds(model: Model, state: PoolState) -> float:
    """As the operator says, else as measured on the pool, else by the size of its weights."""
    if model.cold_start_seconds is not None:
        return model.cold_start_seconds
    if state.cold_start_seconds is not None:
        return state.cold_start_seconds
    if model.weights is None:
        return COLD_START_SECONDS
    return START_SECONDS + model.weights.bytes / START_BYTES_A_SECOND


def cold_start_basis(model: Model, state: PoolState) -> Literal["given", "measured", "prior"]:
    """What `cold_start_seconds` rests on."""
    if model.cold_start_seconds is not None:
        return "given"
    return "prior" if state.cold_start_seconds is None else "measured"


def pool_outlook(
    pool: str, region: str, *, home: Model, there: Model, state: PoolState, counts: InstanceCounts,
    forecast: RegionForecast, slots: int, now: float, scale: float,
) -> PoolOutlook:  # fmt: skip
    """`home` and `there` are the model as each region has it; `scale` is a slot of this plan over a usual one, by which
    its drain is shorter."""
    known = instance_power(there.instance_types[0]) if there.instance_types else None
    power = known or UNKNOWN
    usd = power.usd_per_hour or UNKNOWN.usd_per_hour or 1.0
    hours = [
        instance_hour(forecast, slot, kilowatts=power.kilowatts, usd_per_hour=usd)
        for slot in range(slots)
    ]
    return PoolOutlook(
        pool=pool, region=region, instances_min=there.instances_min,
        instances_max=there.instances_max, running=counts.running,
        starting=max(0, counts.ordered - counts.running), speed=_speed(home, there),
        dollars=tuple(dollars for _, dollars in hours),
        carbon=tuple(grams / GRAMS for grams, _ in hours),
        cold_start_seconds=cold_start_seconds(there, state), drain_seconds=DRAIN_SECONDS * scale,
        override=state.override_at(now),
        idle_seconds=inf if state.asleep_since is None else max(0.0, now - state.asleep_since),
    )  # fmt: skip


def _speed(home: Model, there: Model) -> float:
    """Of an instance there, where one at home has 1: by the priors of their types."""
    if home.instance_types == there.instance_types:
        return 1.0
    mine, other = prior_speed(home), prior_speed(there)
    if mine is None or other is None:
        return 1.0
    return mine.output_seconds / other.output_seconds
