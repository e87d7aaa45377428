"""What a batch's work would have emitted, had nobody waited or gone elsewhere: the same instances' seconds at home, on
as many instances as the pool may have, from the batch's creation on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from offpeak.core.batch import Batch
from offpeak.core.catalogue import Catalogue
from offpeak.core.footprint import Footprint, Metered
from offpeak.core.ledger import ModelUsage
from offpeak.core.ports import Reader
from offpeak.steps.grid_hours import hours_of, mean_grams


def with_counterfactual(
    models: Sequence[ModelUsage], batch: Batch, *, reader: Reader, region: str,
    catalogue: Catalogue | None,
) -> tuple[ModelUsage, ...]:  # fmt: skip
    """Each with its `carbon_at_once_mg`, where it was measured."""
    return tuple(
        each
        if each.metered is None
        else replace(
            each,
            carbon_at_once_mg=carbon_at_once_mg(
                each.metered, batch.created_at, _instances(each.model, catalogue), reader, region
            ),
        )
        for each in models
    )


def carbon_at_once_mg(
    metered: Metered, created_at: int, instances: int, reader: Reader, region: str
) -> int:
    """The energy is what was really drawn: another region's instances are taken to draw as much as home's."""
    seconds = max(1, metered.instance_ms // 1_000 // max(1, instances))
    hours = hours_of(region, created_at, created_at + seconds, reader)
    grams = mean_grams(hours, created_at, created_at + seconds)
    return round(metered.energy_mwh * grams / 1_000)


def _instances(name: str, catalogue: Catalogue | None) -> int:
    model = catalogue.known(name) if catalogue else None
    return model.instances_max if model else 1


def footprint_of(models: Iterable[ModelUsage]) -> Footprint | None:
    """None where nothing was measured."""
    measured = [each for each in models if each.metered is not None]
    if not measured:
        return None
    return Footprint(
        metered=Metered.sum(each.metered for each in measured),
        carbon_at_once_mg=sum(each.carbon_at_once_mg for each in measured),
    )
