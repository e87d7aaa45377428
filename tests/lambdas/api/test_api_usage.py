"""`/v1/usage`, `/v1/credits`, and who is refused for want of credits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from offpeak.core.account import Billing
from offpeak.core.footprint import Metered
from offpeak.core.ledger import Entry, EntryKind, ModelUsage
from offpeak.core.ports import Save
from offpeak.core.usage import Usage
from offpeak.steps import show_usage
from offpeak.steps.post_entries import post_entry
from tests.lambdas.api.client import Client

DAY = 86_400


def post(client: Client, entry_id: str, kind: EntryKind, **fields: Any) -> None:
    defaults: dict[str, Any] = {"microdollars": 0, "at": int(client.world.clock.now())}
    entry = Entry(account_id="acct_alice", id=entry_id, kind=kind, **{**defaults, **fields})
    post_entry(entry, ledger=client.world.ledger, changes=client.world.changes)


def settle(client: Client, batch_id: str, at: int, *models: str) -> None:
    used = tuple(
        ModelUsage(
            model=model, requests=2, input_bytes=80,
            usage=Usage(input_tokens=10, cached_tokens=4, output_tokens=6), cost_microdollars=3,
        )
        for model in models
    )  # fmt: skip
    post(
        client, f"settle:{batch_id}", EntryKind.SETTLE, at=at, source=batch_id, models=used,
        microdollars=-3 * len(models),
    )  # fmt: skip


def set_billing(client: Client, billing: Billing) -> None:
    account = client.world.accounts.get("acct_alice")
    client.world.changes.commit(Save(replace(account, billing=billing)))


def usage(client: Client, **query: str) -> Any:
    answer = client.get("/v1/usage", **query)
    assert answer.status == 200, answer.text
    return answer.json


def test_usage_is_added_up_by_day(client: Client) -> None:
    today = int(client.world.clock.now()) // DAY * DAY
    settle(client, "batch_1", today - 2 * DAY, "red", "blue")
    settle(client, "batch_2", today - DAY - 1, "red")
    settle(client, "batch_3", today, "red")
    page = usage(client)
    assert [bucket["start_time"] for bucket in page["data"]] == [today - 2 * DAY, today]
    assert [bucket["end_time"] for bucket in page["data"]] == [today - DAY, today + DAY]
    assert page["data"][0]["results"] == [
        {
            "object": "usage.result",
            "input_tokens": 30,
            "input_cached_tokens": 12,
            "output_tokens": 18,
            "num_model_requests": 6,
            "model": None,
            "batch_id": None,
            "amount": {"value": 9e-06, "currency": "usd", "microdollars": 9},
            "footprint": None,
            "estimate_error": {"at_10": None, "at_50": None},
        }
    ]
    assert (page["has_more"], page["next_page"]) == (False, None)


def test_usage_is_told_apart_by_model_and_by_batch(client: Client) -> None:
    now = int(client.world.clock.now())
    settle(client, "batch_1", now, "red", "blue")
    settle(client, "batch_2", now, "red")

    def groups(by: str) -> list[tuple[str | None, str | None, int]]:
        results = usage(client, group_by=by)["data"][0]["results"]
        return [(r["model"], r["batch_id"], r["num_model_requests"]) for r in results]

    assert groups("model") == [("blue", None, 2), ("red", None, 4)]
    assert groups("batch") == [(None, "batch_1", 4), (None, "batch_2", 2)]
    assert groups("model, batch") == [
        ("blue", "batch_1", 2), ("red", "batch_1", 2), ("red", "batch_2", 2),
    ]  # fmt: skip


def test_usage_is_asked_for_by_time_and_a_foreign_one_is_not_shown(client: Client) -> None:
    now = int(client.world.clock.now())
    settle(client, "batch_1", now - 90, "red")
    settle(client, "batch_2", now - 50, "red")
    times = {"start_time": str(now - 60), "end_time": str(now)}
    (bucket,) = usage(client, group_by="batch", **times)["data"]
    assert [result["batch_id"] for result in bucket["results"]] == ["batch_2"]
    assert usage(client.as_("bob"))["data"] == []


@pytest.mark.parametrize("entries_max", [1, 2, 3, 1_000])
def test_pages_hold_whole_days_and_together_everything(
    client: Client, monkeypatch: pytest.MonkeyPatch, entries_max: int
) -> None:
    monkeypatch.setattr(show_usage, "ENTRIES_MAX", entries_max)
    now = int(client.world.clock.now())
    post(client, "credit:1", EntryKind.CREDIT, microdollars=5, at=now - 9 * DAY)
    for number in range(6):
        settle(client, f"batch_{number}", now - (6 - number // 2) * DAY, "red")
    requests: dict[int, int] = {}
    query: dict[str, str] = {"limit": "2"}
    for _ in range(20):
        page = usage(client, **query)
        assert len(page["data"]) <= 2
        for bucket in page["data"]:
            # A day that alone is over the limit comes in pieces.
            assert entries_max < 3 or bucket["start_time"] not in requests
            found = sum(result["num_model_requests"] for result in bucket["results"])
            requests[bucket["start_time"]] = requests.get(bucket["start_time"], 0) + found
        if not page["has_more"]:
            break
        query["page"] = page["next_page"]
    assert list(requests.values()) == [4, 4, 4]


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("start_time", "yesterday"), ("end_time", "-1"), ("limit", "0"), ("limit", "32"),
        ("group_by", "mood"), ("page", "x" * 300), ("start_time", "99999999999"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(client: Client, param: str, value: str) -> None:
    assert client.get("/v1/usage", **{param: value}).error(400, "invalid_value")["param"] == param


def test_credits_say_what_is_free_and_what_is_held(client: Client) -> None:
    post(client, "credit:1", EntryKind.CREDIT, microdollars=1_000_000)
    post(client, "hold:batch_1", EntryKind.HOLD, microdollars=-250_000)
    assert client.get("/v1/credits").json == {
        "object": "credits",
        "billing": "off",
        "free": {"value": 0.75, "currency": "usd", "microdollars": 750_000},
        "held": {"value": 0.25, "currency": "usd", "microdollars": 250_000},
    }


@pytest.mark.parametrize("billing", [Billing.OFF, Billing.METER])
def test_without_enforcement_no_credits_are_needed(client: Client, billing: Billing) -> None:
    set_billing(client, billing)
    assert client.create_batch(client.upload()["id"]).status == 200


def test_an_account_under_the_minimum_is_refused_with_the_figures_and_not_told_to_repeat(
    client: Client,
) -> None:
    set_billing(client, Billing.ENFORCE)
    post(client, "credit:1", EntryKind.CREDIT, microdollars=199_999)
    file_id = client.upload()["id"]  # an upload is no work
    answer = client.create_batch(file_id)
    error = answer.error(402, "insufficient_credits")
    assert error["type"] == "insufficient_quota"
    assert "$0.199999" in error["message"]
    assert "$0.20" in error["message"]
    assert answer.headers["x-should-retry"] == "false"
    post(client, "credit:2", EntryKind.CREDIT, microdollars=1)
    assert client.create_batch(file_id).status == 200


def test_usage_has_what_batches_took_of_instances(client: Client) -> None:
    now = int(client.world.clock.now())
    metered = Metered(
        instance_ms=1_500, energy_mwh=2_000_000, carbon_mg=700_000, microdollars=4_000
    )
    measured, unmeasured = (
        ModelUsage(
            model="red", requests=1, input_bytes=40, usage=Usage(), cost_microdollars=0,
            metered=each, carbon_at_once_mg=900_000 if each else 0,
        )
        for each in (metered, None)
    )  # fmt: skip
    for name, used in (("batch_1", measured), ("batch_2", unmeasured), ("batch_3", measured)):
        post(client, f"settle:{name}", EntryKind.SETTLE, at=now, source=name, models=(used,))
    (result,) = usage(client)["data"][0]["results"]
    assert result["footprint"] == {
        "instance_seconds": 3.0, "energy": 4.0, "carbon": 1_400.0, "carbon_at_once": 1_800.0,
        "gpu_cost": {"value": 0.008, "currency": "usd", "microdollars": 8_000},
    }  # fmt: skip


def test_usage_has_how_far_off_ends_were_foretold(client: Client) -> None:
    """Too early counts like too late; who was not foretold counts for nothing."""
    now = int(client.world.clock.now())
    for name, off in (("a", (-250, 100)), ("b", (350, None)), ("c", ()), ("d", (None, -20))):
        used = ModelUsage(
            model="red", requests=1, input_bytes=40, usage=Usage(), cost_microdollars=0,
            foretold_off=off,
        )  # fmt: skip
        post(client, f"settle:{name}", EntryKind.SETTLE, at=now, source=name, models=(used,))
    (result,) = usage(client)["data"][0]["results"]
    assert result["estimate_error"] == {"at_10": 30.0, "at_50": 6.0}
    by_batch = usage(client, group_by="batch")["data"][0]["results"]
    assert [each["estimate_error"]["at_50"] for each in by_batch] == [10.0, None, None, 2.0]
