"""`GET /v1/batches/{id}/footprint`, and the same figures in `/v1/usage`: what they are, and how they come about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from typing_extensions import TypedDict

from offpeak.core.footprint import Footprint
from offpeak.core.instance_power import GPU_LOAD, PRICES_OF, PUE
from offpeak.wire.money import render_amount
from offpeak.wire.money_answers import Amount

MILLI = 1_000


class FootprintFigures(TypedDict):
    """Energy in kWh, carbon in grams of CO2eq. `carbon_at_once` is what the same instance seconds would have emitted in
    the home region from the batch's creation on; less what was emitted, it is `carbon_saved`, which may be negative.
    Instance seconds of types whose power or price isn't known are counted, and missing in what would follow from it."""

    instance_seconds: float
    energy: float
    carbon: float
    carbon_at_once: float
    carbon_saved: float
    gpu_cost: Amount
    instance_seconds_without_power: float
    instance_seconds_without_price: float


class FootprintMethod(TypedDict):
    """`signals`, by region: which sources' averages were gone by. The rest are sentences."""

    carbon: str
    signals: Mapping[str, Sequence[str]]
    energy: str
    cost: str
    at_once: str
    left_out: Sequence[str]


class FootprintObject(TypedDict):
    """`figures` is null until an attempt was measured. `is_final` once the batch has ended."""

    object: Literal["batch.footprint"]
    batch_id: str
    status: str
    is_final: bool
    figures: FootprintFigures | None
    method: FootprintMethod


LEFT_OUT = (
    "The minutes in which an instance starts, loads its weights, or waits for work: they are no batch's own.",
    "Attempts that died without a report.",
    "The control plane, storage and network.",
    "What making the hardware emitted.",
)


def render_figures(footprint: Footprint) -> FootprintFigures:
    metered = footprint.metered
    saved = footprint.carbon_at_once_mg - metered.carbon_mg
    return {
        "instance_seconds": metered.instance_ms / MILLI,
        "energy": metered.energy_mwh / 1e6,
        "carbon": metered.carbon_mg / MILLI,
        "carbon_at_once": footprint.carbon_at_once_mg / MILLI,
        "carbon_saved": saved / MILLI,
        "gpu_cost": render_amount(metered.microdollars),
        "instance_seconds_without_power": metered.unknown_ms / MILLI,
        "instance_seconds_without_price": metered.unpriced_ms / MILLI,
    }


def render_footprint(
    batch_id: str, status: str, is_final: bool, footprint: Footprint | None, *, home: str,
    sources: Mapping[str, Sequence[str]], instance_types: Sequence[str],
) -> FootprintObject:  # fmt: skip
    types = ", ".join(instance_types) or "an unknown type"
    return {
        "object": "batch.footprint",
        "batch_id": batch_id,
        "status": status,
        "is_final": is_final,
        "figures": None if footprint is None else render_figures(footprint),
        "method": {
            "carbon": "Location-based: the energy of each attempt, times what the average kWh of its region's grid "
            "emitted in that hour.",
            "signals": {region: list(each) for region, each in sources.items()},
            "energy": "Measured instance seconds, shared between the shards on an instance by their requests in "
            f"flight, times a modelled draw of {types}: GPUs at {GPU_LOAD:.0%} of their rated power, and their hosts; "
            f"times {PUE} for the data centre.",
            "cost": f"Measured instance seconds times the hour's price ({PRICES_OF}), without discounts.",
            "at_once": f"The same energy in {home or 'the home region'}, from the batch's creation on, on as many "
            "instances as its pool may have.",
            "left_out": list(LEFT_OUT),
        },
    }  # fmt: skip
