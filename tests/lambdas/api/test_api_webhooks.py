"""`/v1/webhook_endpoints`, by hand and by OpenAI's newest SDK."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx2 as httpx
import openai
import pytest

from offpeak.core.batch import BatchStatus
from offpeak.core.errors import Unavailable
from offpeak.core.ports import Answer, Save
from offpeak.core.webhook import ENDPOINTS_MAX, EVENT_TYPES
from offpeak.steps.deliver_callbacks import deliver_callbacks
from offpeak.steps.queue_deliveries import queue_deliveries
from tests.lambdas.api.client import Client, World
from tests.lambdas.api.test_api_sdk import Gateway

PATH = "/v1/webhook_endpoints"
URL = "https://hooks.example.com/offpeak"
NEW = {"name": "ops", "url": URL, "event_types": ["batch.completed"]}


def create(client: Client, **fields: Any) -> Any:
    answer = client.post(PATH, {**NEW, **fields})
    assert answer.status == 200, answer.text
    return answer.json


def deliver(world: World) -> list[str]:
    asks = [ask for ask, _ in world.callbacks.asks]
    world.callbacks.asks.clear()
    done = deliver_callbacks(
        asks, clock=world.clock, webhooks=world.webhooks, deliveries=world.deliveries,
        changes=world.changes, callbacks=world.callbacks, secrets=world.secrets,
        destinations=world.destinations, requests=world.requests, reader=world.reader,
    )  # fmt: skip
    return [str(outcome) for outcome in done]


def end_a_batch(client: Client) -> str:
    """A batch that has ended, its event queued."""
    world = client.world
    batch_id: str = client.create_batch(client.upload()["id"]).json["id"]
    batch = world.batches.get("acct_alice", batch_id)
    ended = replace(batch, status=BatchStatus.COMPLETED, completed_at=int(world.clock.now()))
    world.changes.commit(Save(ended))
    queue_deliveries(
        "acct_alice", batch_id, clock=world.clock, batches=world.batches, webhooks=world.webhooks,
        changes=world.changes, callbacks=world.callbacks,
    )  # fmt: skip
    return batch_id


def test_openais_sdk_manages_endpoints(world: World) -> None:
    http_client = httpx.Client(transport=Gateway(world))
    with openai.OpenAI(
        base_url="https://api.test/v1", api_key="sk-alice", http_client=http_client, max_retries=0
    ) as sdk:
        made = sdk.webhooks.create(event_types=["batch.completed"], name="ops", url=URL)
        assert made.object == "webhook_endpoint"
        assert made.signing_secret.startswith("whsec_")
        shown = sdk.webhooks.retrieve(made.id)
        assert "signing_secret" not in shown.to_dict()
        assert shown.signing_secret_hint == f"whsec_…{made.signing_secret[-5:]}"
        changed = sdk.webhooks.update(made.id, event_types=["batch.failed"], name="night")
        assert (changed.name, changed.event_types, changed.url) == ("night", ["batch.failed"], URL)
        rotated = sdk.webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True)
        assert rotated.signing_secret != made.signing_secret
        assert sdk.webhooks.rotate_secret(made.id).id == made.id
        tested = sdk.webhooks.test(made.id, event_type="batch.expired")
        assert (tested.status_code, tested.success) == (200, True)
        others = []
        for n in range(3):
            world.clock.advance(1)
            other = sdk.webhooks.create(event_types=["batch.failed"], name=f"n{n}", url=URL)
            others.append(other.id)
        assert [each.id for each in sdk.webhooks.list(limit=2)] == [*reversed(others), made.id]
        assert sdk.webhooks.event_types.list().data == list(EVENT_TYPES)
        assert sdk.webhooks.delete(made.id).deleted is True
        with pytest.raises(openai.NotFoundError):
            sdk.webhooks.retrieve(made.id)


def test_the_sample_is_signed_with_the_secret_that_create_answered(client: Client) -> None:
    made = create(client)
    answer = client.post(f"{PATH}/{made['id']}/test", {"event_type": "batch.failed"}).json
    assert answer == {
        "object": "webhook_endpoint.test", "webhook_endpoint_id": made["id"],
        "event_type": "batch.failed", "status_code": 200, "success": True,
    }  # fmt: skip
    (post,) = client.world.destinations.posts
    later = {**post.headers}
    # The memory's clock stands still in another year, so the SDK's tolerance is of no use here.
    openai.OpenAI(api_key="none").webhooks.verify_signature(
        post.body, later, secret=made["signing_secret"], tolerance=10**10
    )
    assert client.get(f"{PATH}/{made['id']}/deliveries").json["data"] == []


def test_a_receiver_that_is_not_there_is_said_to_be_unreachable(client: Client) -> None:
    made = create(client)
    client.world.destinations.answers[URL] = [Unavailable("The connection was refused.")]
    answer = client.post(f"{PATH}/{made['id']}/test", {"event_type": "batch.failed"})
    assert "refused" in answer.error(400, "webhook_unreachable")["message"]


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"url": "http://hooks.example.com"}, "invalid_url", "url"),
        ({"url": "https://127.0.0.1/"}, "invalid_url", "url"),
        ({"url": "https://inside.example.com/"}, "destination_refused", "url"),
        ({"url": "https://x.nowhere/"}, "destination_unknown", "url"),
        ({"url": "x" * 3_000}, "string_above_max_length", "url"),
        ({"event_types": []}, "invalid_value", "event_types"),
        ({"event_types": ["video.completed"]}, "invalid_event_type", "event_types"),
        ({"event_types": "batch.completed"}, "invalid_type", "event_types"),
        ({"name": ""}, "invalid_value", "name"),
        ({"name": "a\nb"}, "invalid_value", "name"),
        ({"colour": "blue"}, "unknown_parameter", "colour"),
    ],
)
def test_what_will_not_do_is_refused_at_create_and_at_change(
    client: Client, fields: dict[str, Any], code: str, param: str
) -> None:
    client.world.destinations.addresses["inside.example.com"] = ["10.1.2.3"]
    assert client.post(PATH, {**NEW, **fields}).error(400, code)["param"] == param
    made = create(client)
    assert client.post(f"{PATH}/{made['id']}", fields).error(400, code)["param"] == param
    assert client.get(f"{PATH}/{made['id']}").json["url"] == URL


def test_an_account_has_twenty_endpoints_at_most(client: Client) -> None:
    for _ in range(ENDPOINTS_MAX):
        create(client)
    error = client.post(PATH, NEW).error(429, "webhook_endpoints_limit")
    assert str(ENDPOINTS_MAX) in error["message"]
    create(client.as_("bob"))


def test_a_create_that_is_repeated_makes_one_endpoint(client: Client) -> None:
    first = client.post(PATH, NEW, Idempotency_Key="k").json
    assert client.post(PATH, NEW, Idempotency_Key="k").json == first
    other = {**NEW, "name": "other"}
    client.post(PATH, other, Idempotency_Key="k").error(409, "idempotency_key_reused")
    assert len(client.get(PATH).json["data"]) == 1


def test_the_log_tells_what_became_of_each_event_and_sends_one_again(client: Client) -> None:
    made = create(client)
    client.world.destinations.answers[URL] = [Answer(status_code=500), Answer(status_code=200)]
    batch_id = end_a_batch(client)
    path = f"{PATH}/{made['id']}/deliveries"
    (waiting,) = client.get(path).json["data"]
    assert (waiting["status"], waiting["attempts"]) == ("delivering", [])
    assert deliver(client.world) == ["retrying"]
    (retrying,) = client.get(path).json["data"]
    assert retrying["attempts"][0]["status_code"] == 500
    assert retrying["next_attempt_at"] > client.world.clock.now()
    whole = client.get(f"{path}/{waiting['id']}").json
    assert whole["event"]["data"] == {"id": batch_id}
    assert whole["event"]["id"] == waiting["id"]
    client.world.clock.advance(5)
    assert deliver(client.world) == ["delivered"]
    again = client.post(f"{path}/{waiting['id']}/redeliver").json
    assert (again["status"], again["ended_at"]) == ("delivering", None)
    assert deliver(client.world) == ["delivered"]
    (done,) = client.get(path).json["data"]
    assert [attempt["status_code"] for attempt in done["attempts"]] == [500, 200, 200]
    assert (done["status"], done["next_attempt_at"]) == ("delivered", None)


def test_the_log_comes_in_pages_newest_first(client: Client) -> None:
    made = create(client)
    batches = []
    for _ in range(3):
        batches.append(end_a_batch(client))
        client.world.clock.advance(60)
    path = f"{PATH}/{made['id']}/deliveries"
    first = client.get(path, limit="2").json
    rest = client.get(path, limit="2", after=first["last_id"]).json
    assert (first["has_more"], rest["has_more"]) == (True, False)
    ids = [each["id"] for each in (*first["data"], *rest["data"])]
    events = [client.get(f"{path}/{each}").json["event"]["data"]["id"] for each in ids]
    assert events == batches[::-1]


def test_an_endpoint_that_answered_410_is_off_until_it_is_enabled(client: Client) -> None:
    made = create(client)
    client.world.destinations.answers[URL] = [Answer(status_code=410), Answer(status_code=200)]
    end_a_batch(client)
    assert deliver(client.world) == ["failed"]
    shown = client.get(f"{PATH}/{made['id']}").json
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "gone")
    end_a_batch(client)
    assert client.world.callbacks.asks == []
    assert client.post(f"{PATH}/{made['id']}", {"enabled": True}).json["enabled"] is True
    end_a_batch(client)
    assert deliver(client.world) == ["delivered"]


def test_a_foreign_endpoint_is_as_unknown_as_a_made_up_one(client: Client) -> None:
    foreign = create(client.as_("bob"))["id"]
    for unknown in (foreign, foreign[:-4] + "0000", "x" * 3_000, "%00"):
        for method, rest, body in (
            ("GET", "", b""), ("POST", "", b"{}"), ("DELETE", "", b""),
            ("POST", "/rotate_secret", b""), ("POST", "/test", b'{"event_type": "batch.failed"}'),
            ("GET", "/deliveries", b""), ("GET", "/deliveries/evt_1", b""),
            ("POST", "/deliveries/evt_1/redeliver", b""),
        ):  # fmt: skip
            client.send(method, f"{PATH}/{unknown}{rest}", body).error(404, "not_found")
    assert client.get(PATH).json["data"] == []
    assert client.as_("bob").get(f"{PATH}/{foreign}").status == 200


def test_a_foreign_delivery_is_not_found_under_its_own_endpoint(client: Client) -> None:
    made = create(client)
    end_a_batch(client)
    (row,) = client.get(f"{PATH}/{made['id']}/deliveries").json["data"]
    path = f"{PATH}/{made['id']}/deliveries/{row['id']}"
    client.as_("bob").get(path).error(404, "not_found")
    client.as_("bob").post(f"{path}/redeliver").error(404, "not_found")


def test_callbacks_without_an_endpoint_have_the_accounts_secret(client: Client) -> None:
    mine = client.get("/v1/callback_secret").json
    assert mine["signing_secret"].startswith("whsec_")
    assert mine == client.get("/v1/callback_secret").json
    assert mine != client.as_("bob").get("/v1/callback_secret").json


def test_the_accounts_secret_is_rotated_and_the_account_alone_sees_which_it_is(
    client: Client,
) -> None:
    secrets = [client.get("/v1/callback_secret").json["signing_secret"]]
    for body in (None, {"keep_old_secret_active_for_24_hours": False}):
        secrets.append(client.post("/v1/callback_secret/rotate", body).json["signing_secret"])
        assert client.get("/v1/callback_secret").json["signing_secret"] == secrets[-1]
    assert len(set(secrets)) == 3
    hers = client.as_("bob").get("/v1/callback_secret").json["signing_secret"]
    assert hers not in secrets
    assert client.get("/v1/webhook_endpoints").json["data"] == []
    client.get("/v1/webhook_endpoints/callback_secret").error(404, "not_found")
