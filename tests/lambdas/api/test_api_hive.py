"""`/api/v1/task`: what Hive's clients send, and the callback that they get."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import openai
import pytest

from offpeak.core.account import Billing
from offpeak.core.catalogue import Catalogue
from offpeak.core.errors import Unavailable
from offpeak.core.ports import Answer as Answered
from offpeak.core.ports import Save
from offpeak.core.request import RequestEnding, RequestStatus, ResultRange
from offpeak.steps.tell_ending import tell_request
from offpeak.wire.request_records import RequestRecord, decode_record
from tests.lambdas.api.client import CATALOGUE, Answer, Client, World
from tests.lambdas.api.test_api_requests import bill
from tests.lambdas.api.test_api_webhooks import deliver

CALLBACK = "https://hooks.example.com/hive"
TASK: dict[str, Any] = {"text_data": "Why?", "callback_url": CALLBACK}


@pytest.fixture
def hive(world: World) -> Client:
    return Client(world)


def send(client: Client, version: str = "v1", **fields: Any) -> Answer:
    token = f"Token {client.secret}"
    return client.post(f"/api/{version}/task/async", {**TASK, **fields}, Authorization=token)


def sent(client: Client, **fields: Any) -> str:
    answer = send(client, **fields)
    assert answer.status == 200, answer.text
    task_id: str = answer.json["id"]
    return task_id


def queued_bodies(world: World) -> list[Any]:
    records = [decode_record(text) for text, _ in world.request_queue.records]
    return [json.loads(bytes(r.body)) for r in records if isinstance(r, RequestRecord)]


def end(world: World, task_id: str, line: dict[str, Any] | None, status: str = "completed") -> None:
    """As `route_results` ends a request."""
    where = None
    if line is not None:
        content = json.dumps(line).encode()
        world.writer.put("work/results", b"junk\n" + content + b"\n", "application/jsonl")
        where = ResultRange("work/results", 5, 5 + len(content))
    ending = RequestEnding(
        request_id=task_id, status=RequestStatus(status), at=int(world.clock.now()), result=where,
        error_code=None if status == "completed" else "http_400",
    )  # fmt: skip
    (moved,) = world.requests.end([ending])
    assert moved.request is not None
    tell_request(moved.request, clock=world.clock, changes=world.changes, callbacks=world.callbacks)


def answered(text: str) -> dict[str, Any]:
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    body = {"choices": [choice], "usage": usage}
    return {"response": {"status_code": 200, "body": body}, "error": None}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_task_is_received_and_queued_as_a_chat_completion(hive: Client, version: str) -> None:
    answer = send(hive, version, options={"system_prompt": "Be brief.", "max_tokens": 9})
    task_id = answer.json["id"]
    assert answer.json == {
        "id": task_id, "task_id": task_id, "message": "We received your task.",
        "project_id": "acct_alice",
    }  # fmt: skip
    assert queued_bodies(hive.world) == [
        {
            "model": "acme/chat-8b",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Why?"},
            ],
            "max_tokens": 9,
        }
    ]


def test_its_callback_is_signed_and_carries_text_usage_input_and_metadata(hive: Client) -> None:
    world = hive.world
    task_id = sent(hive, metadata={"mine": 7}, options={"temperature": 0.5})
    end(world, task_id, answered("Because."))
    assert deliver(world) == ["delivered"]
    (post,) = world.destinations.posts
    assert post.url == CALLBACK
    secret = hive.get("/v1/callback_secret").json["signing_secret"]
    openai.OpenAI(api_key="none").webhooks.verify_signature(
        post.body, {**post.headers}, secret=secret, tolerance=10**10
    )
    told = json.loads(post.body)
    assert (told["id"], told["project_id"]) == (task_id, "acct_alice")
    assert told["metadata"] == {"mine": 7}
    (status,) = told["status"]
    assert status["status"] == {"code": "0", "message": "SUCCESS"}
    assert status["response"]["output"] == [{"text": "Because.", "finish_reason": "stop"}]
    assert status["response"]["usage"]["total_tokens"] == 8
    task = status["response"]["input"]
    assert (task["text_data"], task["options"]) == ("Why?", {"temperature": 0.5})


def test_a_result_larger_than_a_row_is_sent_whole(hive: Client) -> None:
    world, text = hive.world, "words " * 100_000
    end(world, task_id := sent(hive), answered(text))
    assert deliver(world) == ["delivered"]
    (status,) = json.loads(world.destinations.posts[0].body)["status"]
    assert status["response"]["output"][0]["text"] == text
    assert hive.get(f"/api/v1/task/{task_id}").json["status"] == "completed"


def test_a_failure_is_called_back_with_its_message(hive: Client) -> None:
    world, task_id = hive.world, sent(hive)
    body = {"error": {"message": "The context is full."}}
    end(world, task_id, {"response": {"status_code": 400, "body": body}, "error": None}, "failed")
    assert deliver(world) == ["delivered"]
    (status,) = json.loads(world.destinations.posts[0].body)["status"]
    assert status["status"] == {"code": "400", "message": "The context is full."}
    assert status["response"]["output"] == []


def test_a_callback_is_retried_and_can_be_triggered_again(hive: Client) -> None:
    world, task_id = hive.world, sent(hive)
    path = f"/api/v1/task/{task_id}/callback"
    hive.post(path).error(409, "results_not_ready")
    world.destinations.answers[CALLBACK] = [Unavailable("Refused."), Answered(status_code=200)]
    end(world, task_id, answered("Because."))
    assert deliver(world) == ["retrying"]
    world.clock.advance(10)
    assert deliver(world) == ["delivered"]
    assert hive.post(path).json == {
        "id": task_id, "task_id": task_id, "message": "The callback is on its way.",
    }  # fmt: skip
    world.destinations.answers.clear()
    assert deliver(world) == ["delivered"]
    first, *again = world.destinations.posts
    for post in again:
        assert (post.headers["webhook-id"], post.body) == (first.headers["webhook-id"], first.body)


def test_a_task_that_was_lost_is_called_back_on_demand(hive: Client) -> None:
    world, task_id = hive.world, sent(hive)
    world.clock.advance(3 * 86_400)
    assert hive.get(f"/api/v1/task/{task_id}").json["error"] == {"code": "request_expired"}
    assert hive.post(f"/api/v1/task/{task_id}/callback").status == 200
    assert deliver(world) == ["delivered"]
    (status,) = json.loads(world.destinations.posts[0].body)["status"]
    assert (status["status"]["code"], "window" in status["status"]["message"]) == ("1", True)


def test_a_result_that_is_gone_is_sent_to_nobody(hive: Client) -> None:
    world, task_id = hive.world, sent(hive)
    end(world, task_id, answered("Because."))
    row = world.requests.get("acct_alice", task_id)
    world.changes.commit(Save(replace(row, result=ResultRange("work/gone", 0, 1))))
    assert deliver(world) == ["failed"]
    assert not world.destinations.posts


def test_another_accounts_task_is_as_unknown_as_a_made_up_one(hive: Client) -> None:
    task_id, bob = sent(hive), hive.as_("bob")
    end(hive.world, task_id, answered("Because."))
    for path in (f"/api/v1/task/{task_id}", "/api/v1/task/req_none"):
        bob.get(path).error(404, "not_found")
        bob.post(f"{path}/callback").error(404, "not_found")
    assert hive.get(f"/api/v2/task/{task_id}").status == 200
    body = {"model": "chat", "messages": [{"role": "user", "content": "Hi"}]}
    other = hive.post("/v1/requests", {"request_body": body}).json["id"]
    hive.get(f"/api/v1/task/{other}").error(404, "not_found")


def test_the_same_idempotency_key_is_the_same_task(hive: Client) -> None:
    first, again = (
        hive.post("/api/v1/task/async", TASK, Idempotency_Key="k").json["id"] for _ in range(2)
    )
    assert first == again
    other = hive.post("/api/v1/task/async", {**TASK, "metadata": "x"}, Idempotency_Key="k")
    other.error(409, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"callback_url": None}, "missing_required_parameter", "callback_url"),
        ({"callback_url": "http://hooks.example.com"}, "invalid_url", "callback_url"),
        ({"callback_url": "https://inside.example.com/"}, "destination_refused", "callback_url"),
        ({"text_data": ""}, "invalid_value", "text_data"),
        ({"text_date": "x"}, "unknown_parameter", "text_date"),
        ({"options": {"max_tokens": 40_000}}, "too_many_tokens", "options.max_tokens"),
        ({"options": {"max_tokens": 20_000}}, "invalid_request", "options.max_tokens"),
        ({"options": {"prompt_history": "Hi"}}, "invalid_value", "options.prompt_history"),
    ],
)
def test_what_cannot_run_is_refused_by_name(
    hive: Client, fields: dict[str, Any], code: str, param: str
) -> None:
    hive.world.destinations.addresses["inside.example.com"] = ["10.1.2.3"]
    assert send(hive, **fields).error(400, code)["param"] == param
    assert queued_bodies(hive.world) == []


def test_an_unknown_model_is_refused(hive: Client) -> None:
    answer = send(hive, options={"model": "nobody's"})
    assert answer.json["error"]["param"] == "options.model"
    assert answer.json["error"]["code"] == "model_not_found"


class TwoModels(World):
    catalogue = Catalogue(
        (*CATALOGUE.models, replace(CATALOGUE.models[0], id="other", pool="other", aliases=()))
    )


def test_among_several_models_the_accounts_default_is_taken_or_one_must_be_named() -> None:
    world = TwoModels()
    client = Client(world)
    refused = send(client).error(400, "model_required")
    assert "offpeak accounts model" in refused["message"]
    account = world.accounts.get("acct_bob")
    world.changes.commit(Save(replace(account, default_model="other")))
    sent(client.as_("bob"))
    sent(client, options={"model": "chat"})
    assert [body["model"] for body in queued_bodies(world)] == ["other", "chat"]


def test_an_account_without_credits_is_refused_and_nothing_is_queued(hive: Client) -> None:
    bill(hive.world, Billing.ENFORCE)
    send(hive).error(402, "insufficient_credits")
    assert queued_bodies(hive.world) == []
