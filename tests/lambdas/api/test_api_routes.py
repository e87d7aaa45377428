"""What holds for every route: unknown places, other accounts' ids, faults, models."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from logging import StreamHandler
from typing import Any

import pytest

from lambdas.api.app import build_app, logger
from offpeak.core.catalogue import Catalogue
from offpeak.core.errors import StateConflict, Unavailable
from offpeak.core.pricing import Prices
from tests.lambdas.api.client import Client, Field, World


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/nothing", "/v1/files/a/b/c", "/v2/files", "/v1/batches/x/nothing",
     "/v1/uploads/x/y/z", "/" + "x" * 5_000],
)  # fmt: skip
def test_an_unknown_route_is_404(client: Client, path: str) -> None:
    client.get(path).error(404, "unknown_url")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/files", "GET, POST"),
        ("POST", "/v1/files/file-1", "DELETE, GET"),
        ("DELETE", "/v1/batches/batch_1", "GET"),
        ("GET", "/v1/uploads", "POST"),
        ("PATCH", "/v1/models/", "GET"),
    ],
)
def test_a_wrong_method_is_405_and_says_which_are_right(
    client: Client, method: str, path: str, allow: str
) -> None:
    answer = client.send(method, path)
    answer.error(405, "method_not_allowed")
    assert answer.headers["allow"] == allow


def test_a_trailing_slash_changes_nothing(client: Client) -> None:
    file = client.upload()
    assert client.get(f"/v1/files/{file['id']}/").ok("OpenAIFile") == file
    assert client.get("/v1/batches/").status == 200


def test_head_is_get_without_the_body(client: Client) -> None:
    file = client.upload()
    answer = client.send("HEAD", f"/v1/files/{file['id']}")
    assert (answer.status, answer.text) == (200, "")
    assert client.send("HEAD", "/v1/files/file-nowhere").status == 404


def _routes_with_an_id(kind: str) -> Iterator[tuple[str, str, Any]]:
    if kind == "file":
        yield "GET", "/v1/files/{}", None
        yield "GET", "/v1/files/{}/content", None
        yield "POST", "/v1/files/{}/complete", {"parts": [{"part_number": 1, "etag": "e"}]}
        yield "DELETE", "/v1/files/{}", None
    elif kind == "upload":
        yield "POST", "/v1/uploads/{}/complete", {"part_ids": []}
        yield "POST", "/v1/uploads/{}/cancel", None
    else:
        yield "GET", "/v1/batches/{}", None
        yield "POST", "/v1/batches/{}/cancel", None


def _make(client: Client, kind: str) -> str:
    if kind == "file":
        body = client.upload()
    elif kind == "upload":
        upload = {"filename": "f", "purpose": "batch", "bytes": 0, "mime_type": "t"}
        body = client.post("/v1/uploads", upload).json
    else:
        body = client.create_batch(client.upload()["id"]).json
    made: str = body["id"]
    return made


@pytest.mark.parametrize("kind", ["file", "upload", "batch"])
def test_a_foreign_id_is_as_unknown_as_a_made_up_one(client: Client, kind: str) -> None:
    foreign = _make(client.as_("bob"), kind)
    made_up = foreign[:-4] + "0000"
    for method, path, body in _routes_with_an_id(kind):
        raw = b"" if body is None else json.dumps(body).encode()
        for unknown in (foreign, made_up, "x" * 3_000, "file-", "%00", "..%2f.."):
            answer = client.send(method, path.format(unknown), raw, content_type="application/json")
            answer.error(404, "not_found")
    assert client.as_("bob").get(f"/v1/{'files' if kind == 'file' else 'batches'}").json[
        "data"
    ] or (kind == "upload")


def test_a_part_can_not_be_added_to_a_foreign_upload(client: Client) -> None:
    foreign = _make(client.as_("bob"), "upload")
    answer = client.post_form(f"/v1/uploads/{foreign}/parts", Field("data", b"", "x"))
    answer.error(404, "not_found")


def test_lists_show_the_callers_own_only(client: Client) -> None:
    client.create_batch(client.upload()["id"])
    assert client.as_("bob").get("/v1/files").json["data"] == []
    assert client.as_("bob").get("/v1/batches").json["data"] == []


# ── models ──


def test_models_are_the_catalogues(client: Client) -> None:
    listed = client.get("/v1/models").json
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["acme/chat-8b", "embed"]
    assert {model["object"] for model in listed["data"]} == {"model"}


@pytest.mark.parametrize("name", ["acme/chat-8b", "acme%2Fchat-8b", "chat"])
def test_a_model_is_found_by_id_and_alias(client: Client, name: str) -> None:
    model = client.get(f"/v1/models/{name}").json
    assert (model["id"], model["object"], model["owned_by"]) == ("acme/chat-8b", "model", "offpeak")
    assert isinstance(model["created"], int)


def test_a_model_says_what_one_chooses_it_by(client: Client) -> None:
    chat = client.world.catalogue.models[0]
    priced = replace(
        chat,
        modality="vision",
        prices=Prices(
            input=300_000, output=500_000, cached_input_write=300_000, cached_input_read=60_000,
            basis="batch",
        ),
    )  # fmt: skip
    others = client.world.catalogue.models[1:]
    client.world.catalogue = Catalogue((*others, priced), frozenset({chat.pool}))
    listed = Client(client.world).get("/v1/models").json["data"]
    assert [(model["id"], model["availability"]) for model in listed] == [
        ("acme/chat-8b", "deployed"),
        ("embed", "not_deployed"),
    ]
    model = listed[0]
    assert model["aliases"] == ["chat"]
    assert model["input_modalities"] == ["text", "image"]
    assert model["output_modalities"] == ["text"]
    assert model["context_length"] == chat.context_tokens
    assert model["max_completion_tokens"] == chat.completion_tokens_max
    assert model["default_completion_tokens"] == chat.completion_tokens_default
    assert model["endpoints"] == list(chat.endpoints)
    assert model["pricing"] == {
        "unit": "usd_per_million_tokens", "basis": "batch", "input": 0.30, "output": 0.50,
        "cached_input_write": 0.30, "cached_input_read": 0.06,
        "batch": {
            "input": 0.30, "output": 0.50, "cached_input_write": 0.30, "cached_input_read": 0.06,
        },
    }  # fmt: skip


def test_a_base_price_is_shown_with_what_a_batch_pays_each_rounded_up_to_the_cent(
    client: Client,
) -> None:
    """Nebius's page (`nebius-batch-api.txt`), its worked example."""
    prices = Prices(
        input=130_000, output=400_000, cached_input_write=130_000, cached_input_read=130_000
    )
    priced = tuple(replace(model, prices=prices) for model in client.world.catalogue.models)
    client.world.catalogue = Catalogue(priced)
    shown = Client(client.world).get("/v1/models/chat").json["pricing"]
    assert (shown["basis"], shown["input"], shown["output"]) == ("base", 0.13, 0.40)
    assert (shown["batch"]["input"], shown["batch"]["output"]) == (0.07, 0.20)


def test_an_unknown_model_is_not_found(client: Client) -> None:
    client.get("/v1/models/gpt-5").error(404, "model_not_found")


# ── faults ──


@pytest.fixture
def log() -> Iterator[StringIO]:
    """What the function logs."""
    handler = logger.registered_handler
    assert isinstance(handler, StreamHandler)
    stream = StringIO()
    before = handler.setStream(stream)
    yield stream
    handler.setStream(before or sys.stdout)


class _Failing:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def get(self, account_id: str, batch_id: str) -> Any:
        raise self._error

    list = get


def _broken(world: World, error: Exception) -> Client:
    world.batches = _Failing(error)  # type: ignore[assignment]
    return Client(world)


def test_a_fault_is_500_with_the_requests_id_and_no_internals(world: World, log: StringIO) -> None:
    answer = _broken(world, KeyError("secret-table")).get("/v1/batches/batch_1")
    message = answer.error(500, "internal_error")["message"]
    assert "request-1" in message
    assert "secret-table" not in answer.text
    assert "secret-table" in log.getvalue()


def test_an_outage_is_503_and_says_when_to_try_again(world: World) -> None:
    answer = _broken(world, Unavailable("DynamoDB: table offpeak-x")).get("/v1/batches/batch_1")
    error = answer.error(503, "unavailable")
    assert error["type"] == "server_error"
    assert "DynamoDB" not in answer.text
    assert int(answer.headers["retry-after"]) <= 120
    assert "x-should-retry" not in answer.headers


def test_a_write_that_keeps_losing_may_be_tried_again(world: World) -> None:
    answer = _broken(world, StateConflict("lost", code="write_conflict")).get("/v1/batches/batch_1")
    answer.error(503, "unavailable")
    assert "x-should-retry" not in answer.headers


def test_the_log_holds_ids_and_neither_keys_nor_contents(client: Client, log: StringIO) -> None:
    client.upload(b'{"prompt": "my secret prompt"}')
    client.send("GET", "/v1/files", authorization="Bearer sk-wrong-secret")
    logged = log.getvalue()
    lines = [json.loads(line) for line in logged.splitlines()]
    assert [(line["status"], line.get("account_id")) for line in lines] == [
        (200, "acct_alice"), (401, None),
    ]  # fmt: skip
    assert "secret" not in logged
    assert "sk-" not in logged


def test_a_body_that_is_not_encoded_is_read_as_text(world: World) -> None:
    event = {
        "path": "/v1/files", "httpMethod": "POST", "isBase64Encoded": False,
        "headers": {"X-API-KEY": "sk-alice", "Content-Type": "application/json; charset=utf-8"},
        "queryStringParameters": None, "requestContext": {"requestId": "r"},
        "body": json.dumps({"filename": "ü", "purpose": "batch", "bytes": 1}, ensure_ascii=False),
    }  # fmt: skip
    answer = build_app(world)(event, None)
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["filename"] == "ü"
    broken = {**event, "isBase64Encoded": True, "body": base64.b64encode(b"{}").decode()[:-1]}
    assert json.loads(build_app(world)(broken, None)["body"])["error"]["code"] == "invalid_body"
