"""`offpeak usage`: what the account used, day by day."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from offpeak.cli.client import Api
from offpeak.cli.errors import UsageError
from offpeak.cli.settings import ApiKey, BaseUrl, read_settings
from offpeak.cli.show import AsJson, show_json, show_rows
from offpeak.core.ledger import dollars

GROUPS = ("model", "batch")
PAGE_DAYS = 31


def usage(
    days: Annotated[int, typer.Option(min=1, max=3_660, help="So many days back, UTC.")] = 30,
    by: Annotated[
        str, typer.Option(metavar="model,batch", help="A row for each of them.")
    ] = "model",
    as_json: AsJson = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show tokens and their cost by day, those of requests that succeeded; and the energy, carbon and GPUs of all; and
    how far off their ends were foretold at 10 and 50 % of their lines, in percent of their times."""
    if not set(filter(None, by.split(","))) <= set(GROUPS):
        raise UsageError(f"--by {by!r} is not made of {', '.join(GROUPS)}.")
    with Api(read_settings(base_url, api_key)) as api:
        buckets = list(_buckets(api, int(time.time()) - days * 86_400, by))
    if as_json:
        show_json(buckets)
        return
    show_rows(
        (
            "day",
            "model",
            "batch",
            "requests",
            "input",
            "cached",
            "output",
            "cost",
            "kWh",
            "g CO2eq",
            "at once",
            "GPUs",
            "off at 10 %",
            "at 50 %",
        ),
        (_row(bucket, result) for bucket in buckets for result in bucket["results"]),
    )


def _buckets(api: Api, start: int, by: str) -> Iterator[dict[str, Any]]:
    query: dict[str, Any] = {"start_time": start, "group_by": by, "limit": PAGE_DAYS}
    while True:
        page = api.get("/v1/usage", query)
        yield from page["data"]
        if not page["has_more"]:
            return
        query["page"] = page["next_page"]


def _row(bucket: Mapping[str, Any], result: Mapping[str, Any]) -> tuple[str, ...]:
    day = datetime.fromtimestamp(bucket["start_time"], UTC).strftime("%Y-%m-%d")
    numbers = (
        result[name]
        for name in ("num_model_requests", "input_tokens", "input_cached_tokens", "output_tokens")
    )
    return (
        day, result["model"] or "", result["batch_id"] or "", *(f"{n:,}" for n in numbers),
        dollars(result["amount"]["microdollars"]), *_footprint(result.get("footprint")),
        *_estimate_error(result.get("estimate_error")),
    )  # fmt: skip


def _footprint(found: Mapping[str, Any] | None) -> tuple[str, ...]:
    """kWh, grams of CO2eq, grams had it run at once, and the GPUs' cost; empty where nothing was measured."""
    if found is None:
        return "", "", "", ""
    grams = (f"{found[name]:,.4g}" for name in ("carbon", "carbon_at_once"))
    return f"{found['energy']:,.4g}", *grams, dollars(found["gpu_cost"]["microdollars"])


def _estimate_error(found: Mapping[str, Any] | None) -> tuple[str, ...]:
    """At 10 and at 50 %; empty where nothing was foretold, and of an API from before it was told."""
    errors = ((found or {}).get(mark) for mark in ("at_10", "at_50"))
    return tuple("" if error is None else f"{error:,.3g} %" for error in errors)
