"""Webhooks on the local cloud: events that really travel, read by OpenAI's SDK."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, Final

import openai
import pytest

from tests.e2e.caller import Caller
from tests.e2e.follow import until_ended
from tests.e2e.lines import chat_lines, jsonl
from tests.e2e.receiver import Received, Receiver, receiving, until

pytestmark = [pytest.mark.cloud]
ENDPOINT: Final = "/v1/chat/completions"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


def _fail_a_batch(client: openai.OpenAI) -> str:
    """A batch whose input isn't there: it ends at once, and announces it."""
    batch = client.batches.create(
        input_file_id="file-none", endpoint=ENDPOINT, completion_window="24h"
    )
    assert batch.status == "failed"
    return batch.id


def _log(caller: Caller, webhook_id: str) -> list[dict[str, Any]]:
    answer = caller.call("GET", f"/webhook_endpoints/{webhook_id}/deliveries")
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


def _unwrap(client: openai.OpenAI, received: Received, secret: str) -> Any:
    return client.webhooks.unwrap(received.body, received.headers, secret=secret)


def test_a_completed_batch_arrives_as_an_event_that_openais_sdk_unwraps(
    caller: Caller, receiver: Receiver
) -> None:
    client = caller.sdk()
    made = client.webhooks.create(
        name="e2e", url=receiver.url("/done"), event_types=["batch.completed"]
    )
    file = client.files.create(file=("lines.jsonl", jsonl(chat_lines(3))), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h")
    assert until_ended(client, batch.id).status == "completed"
    (received,) = receiver.wait_for("/done")
    event = _unwrap(client, received, made.signing_secret)
    assert (event.type, event.data.id) == ("batch.completed", batch.id)
    until(lambda: _log(caller, made.id)[0]["status"] == "delivered", "the log says so")
    (row,) = _log(caller, made.id)
    assert row["id"] == event.id

    path = f"/webhook_endpoints/{made.id}/deliveries/{row['id']}/redeliver"
    rotated = client.webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True)
    assert caller.call("POST", path).status_code == 200
    again = receiver.wait_for("/done", 2)[1]
    for secret in (made.signing_secret, rotated.signing_secret):
        assert _unwrap(client, again, secret).id == event.id


@pytest.fixture
def nobody() -> Iterator[str]:
    """A URL whose port is taken, so that nobody else gets it, and refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"


def test_410_disables_an_endpoint_and_a_dead_one_delays_no_other(
    caller: Caller, receiver: Receiver, nobody: str
) -> None:
    client = caller.sdk()
    receiver.statuses["/gone"] = [410]
    receiver.statuses["/flaky"] = [503, 200]
    gone, flaky, live = (
        client.webhooks.create(
            name=name, url=receiver.url(f"/{name}"), event_types=["batch.failed"]
        )
        for name in ("gone", "flaky", "live")
    )
    dead = client.webhooks.create(name="dead", url=nobody, event_types=["batch.failed"])
    batch_id = _fail_a_batch(client)
    (received,) = receiver.wait_for("/live")
    assert _unwrap(client, received, live.signing_secret).data.id == batch_id
    until(lambda: client.webhooks.retrieve(gone.id).to_dict()["enabled"] is False, "410 disables")
    first, second = receiver.wait_for("/flaky", 2)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    until(lambda: _log(caller, flaky.id)[0]["status"] == "delivered", "the second try is logged")
    until(lambda: bool(_log(caller, dead.id)[0]["attempts"]), "the dead one was tried")
    (row,) = _log(caller, dead.id)
    assert row["status"] == "delivering"
    assert "refused" in row["attempts"][0]["error"]
    assert row["attempts"][0]["status_code"] is None


def test_a_sample_is_sent_while_the_caller_waits(caller: Caller, receiver: Receiver) -> None:
    client = caller.sdk()
    receiver.statuses["/sample"] = [204]
    made = client.webhooks.create(
        name="sample", url=receiver.url("/sample"), event_types=["batch.failed"]
    )
    assert client.webhooks.test(made.id, event_type="batch.failed").status_code == 204
    (received,) = receiver.at("/sample")
    assert _unwrap(client, received, made.signing_secret).type == "batch.failed"
    with pytest.raises(openai.BadRequestError, match="not a public internet address"):
        client.webhooks.create(
            name="inside", url="https://169.254.169.254/", event_types=["batch.failed"]
        )
