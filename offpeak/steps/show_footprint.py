"""What a batch took so far, or in the end: of instances, and so of energy, carbon and money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from offpeak.core.batch import Batch
from offpeak.core.catalogue import Catalogue
from offpeak.core.footprint import Footprint, Metered
from offpeak.core.ports import Batches, Clock, Reader, Runs
from offpeak.core.run import Run
from offpeak.steps.grid_hours import hours_of, sources_of
from offpeak.steps.run_at_once import carbon_at_once_mg


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFootprint:
    """`footprint` is None where no attempt was measured. `sources`, by region, are the signals of the hours from the
    batch's creation to its end, or to now, the most used first: home's, and of regions where its models have pools."""

    batch: Batch
    footprint: Footprint | None
    home: str
    sources: Mapping[str, Sequence[str]]
    instance_types: Sequence[str]


def show_footprint(
    account_id: str, batch_id: str, *, clock: Clock, reader: Reader, batches: Batches, runs: Runs,
    catalogue: Catalogue, region: str,
) -> ShownFootprint:  # fmt: skip
    """Of a batch that runs, what its ended shards took. Raises NotFound."""
    batch = batches.get(account_id, batch_id)
    of_batch = runs.of_batch(batch_id)
    found = batch.footprint
    if found is None and not batch.is_terminal:
        found = _so_far(batch, of_batch, reader, catalogue, region)
    models = [model for run in of_batch if (model := catalogue.known(run.model))]
    regions = dict.fromkeys((region, *(each for model in models for each in model.regions)))
    stop = _ended_at(batch) or int(clock.now()) + 1
    types = {model.instance_types[0] for model in models if model.instance_types}
    return ShownFootprint(
        batch=batch, footprint=found, home=region, instance_types=sorted(types),
        sources={
            each: sources_of(hours_of(each, batch.created_at, stop, reader).values())
            for each in regions
        },
    )  # fmt: skip


def _so_far(
    batch: Batch, of_batch: Sequence[Run], reader: Reader, catalogue: Catalogue, region: str
) -> Footprint | None:
    measured = [(run.model, run.metered) for run in of_batch if run.metered is not None]
    if not measured:
        return None
    at_once = 0
    for name, metered in measured:
        model = catalogue.known(name)
        instances = model.instances_max if model else 1
        at_once += carbon_at_once_mg(metered, batch.created_at, instances, reader, region)
    return Footprint(
        metered=Metered.sum(metered for _, metered in measured), carbon_at_once_mg=at_once
    )


def _ended_at(batch: Batch) -> int | None:
    ends = (batch.completed_at, batch.expired_at, batch.cancelled_at, batch.failed_at)
    return next((at for at in ends if at is not None), None)
