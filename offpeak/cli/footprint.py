"""`offpeak footprint BATCH`: what a batch took: energy, carbon, GPU cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from offpeak.cli.client import Api
from offpeak.cli.ids import path_segment
from offpeak.cli.settings import ApiKey, BaseUrl, read_settings
from offpeak.cli.show import AsJson, plain, say, show_json
from offpeak.core.ledger import dollars


def footprint(
    batch_id: Annotated[str, typer.Argument(metavar="BATCH", help="The batch's id.")],
    as_json: AsJson = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show the energy, carbon and GPU cost of a batch, and what they rest on."""
    with Api(read_settings(base_url, api_key)) as api:
        found = api.get(f"/v1/batches/{path_segment(batch_id)}/footprint")
    if as_json:
        show_json(found)
        return
    for name, value in _fields(found):
        print(f"{name:<12} {plain(value)}")
    for sentence in ("carbon", "energy", "cost", "at_once"):
        say(found["method"][sentence])
    for sentence in found["method"]["left_out"]:
        say(f"Left out: {sentence}")


def _fields(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "batch", found["batch_id"]
    yield "status", found["status"] if found["is_final"] else f"{found['status']}: so far"
    figures = found["figures"]
    if figures is None:
        yield "footprint", "nothing was measured"
        return
    yield "instances", f"{figures['instance_seconds']:,.1f} s"
    yield "energy", f"{figures['energy']:,.4g} kWh{_lacks(figures, 'power')}"
    yield "carbon", f"{figures['carbon']:,.4g} g CO2eq"
    yield "at once", f"{figures['carbon_at_once']:,.4g} g CO2eq"
    yield "saved", f"{figures['carbon_saved']:,.4g} g CO2eq"
    yield "gpu cost", f"{dollars(figures['gpu_cost']['microdollars'])}{_lacks(figures, 'price')}"
    for region, sources in found["method"]["signals"].items():
        yield "signals", f"{region}: {'; '.join(sources)}"


def _lacks(figures: Mapping[str, Any], what: str) -> str:
    seconds = figures[f"instance_seconds_without_{what}"]
    return f" (without {seconds:,.1f} s of a type whose {what} isn't known)" if seconds else ""
