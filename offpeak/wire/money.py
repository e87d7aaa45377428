"""`/v1/usage` and `/v1/credits`: what they are asked, and what they answer, in the shape of OpenAI's usage API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from offpeak.core.account import Account
from offpeak.core.errors import InvalidRequest
from offpeak.core.footprint import Metered
from offpeak.core.ledger import EVER, MICRODOLLARS, Balance
from offpeak.wire.money_answers import (
    Amount,
    CreditsObject,
    UsageBucket,
    UsageFootprint,
    UsagePageObject,
    UsageResult,
)

CURSOR_CHARACTERS_MAX = 256
GROUPS = ("model", "batch")


def parse_groups(query: Mapping[str, str]) -> frozenset[str]:
    """`group_by=model,batch`; OpenAI's SDKs write `group_by[]`. Raises InvalidRequest."""
    text = query.get("group_by") or query.get("group_by[]") or ""
    named = frozenset(name.strip() for name in text.split(",") if name.strip())
    if not named <= set(GROUPS):
        raise _invalid("group_by", f"Expected any of {', '.join(GROUPS)}")
    return named


def parse_time(query: Mapping[str, str], name: str, default: int) -> int:
    """Seconds since the epoch. Raises InvalidRequest."""
    return parse_whole(query, name, default, EVER)


def parse_whole(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 13 and 1 <= int(text) <= most):
        raise _invalid(name, f"Expected a whole number from 1 to {most}")
    return int(text)


def parse_cursor(query: Mapping[str, str]) -> str | None:
    cursor = query.get("page") or None
    if cursor is not None and (len(cursor) > CURSOR_CHARACTERS_MAX or not cursor.isascii()):
        raise _invalid("page", "Expected the last page's 'next_page'")
    return cursor


def render_usage(
    days: Mapping[int, Sequence[UsageResult]], day_seconds: int, next_page: str | None
) -> UsagePageObject:
    """Buckets of a day each; days without usage are left out."""
    buckets: list[UsageBucket] = [
        {
            "object": "bucket",
            "start_time": day,
            "end_time": day + day_seconds,
            "results": list(results),
        }
        for day, results in days.items()
    ]
    return {
        "object": "page", "data": buckets, "has_more": next_page is not None,
        "next_page": next_page,
    }  # fmt: skip


def render_amount(microdollars: int) -> Amount:
    """`value` is for reading, `microdollars` for adding up."""
    value = microdollars / MICRODOLLARS
    return {"value": value, "currency": "usd", "microdollars": microdollars}


def render_usage_footprint(
    metered: Metered | None, carbon_at_once_mg: int
) -> UsageFootprint | None:
    if metered is None:
        return None
    return {
        "instance_seconds": metered.instance_ms / 1_000, "energy": metered.energy_mwh / 1e6,
        "carbon": metered.carbon_mg / 1_000, "carbon_at_once": carbon_at_once_mg / 1_000,
        "gpu_cost": render_amount(metered.microdollars),
    }  # fmt: skip


def render_credits(account: Account, balance: Balance) -> CreditsObject:
    return {
        "object": "credits",
        "billing": account.billing,
        "free": render_amount(balance.microdollars),
        "held": render_amount(balance.held_microdollars),
    }


def _invalid(param: str, expected: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid value for '{param}'. {expected}.", param=param, code="invalid_value"
    )
