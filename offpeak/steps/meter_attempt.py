"""What an attempt took of its instance, with what that drew, emitted and cost: in the region where it ran, by the
average kWh of the hour in which its middle lay."""

from __future__ import annotations

from offpeak.core.footprint import Metered
from offpeak.core.invocation import ShardReport
from offpeak.core.model import Model
from offpeak.core.ports import Reader
from offpeak.core.shard import Shard
from offpeak.steps.grid_hours import GridHours


def meter_attempt(
    report: ShardReport, shard: Shard, model: Model | None, *, now: int, region: str,
    grid_hours: GridHours, reader: Reader,
) -> Metered | None:  # fmt: skip
    """None where its worker did not measure. `region` is home; nothing takes longer than it has been dispatched. Of the
    types that a pool may have, its preferred one is assumed."""
    if report.instance_seconds is None:
        return None
    longest = now - shard.dispatched_at if shard.dispatched_at else report.seconds
    seconds = min(max(0.0, report.instance_seconds), max(0.0, longest))
    hour = grid_hours.at(shard.region or region, now - report.seconds / 2, now=now, reader=reader)
    return Metered.of(seconds, _instance_type(model, shard.region), hour.grams)


def _instance_type(model: Model | None, region: str | None) -> str | None:
    if model is None:
        return None
    there = model.in_region(region) if region in model.regions and region else model
    return there.instance_types[0] if there.instance_types else None
