"""Every URL that a caller may give the API is looked at by the guard when it is given, whatever it is called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lambdas.api.app import routes_of
from lambdas.api.openapi import describe
from tests.lambdas.api.client import Client, World
from tests.lambdas.api.neighbours import HOOK
from tests.lambdas.api.test_api_requests import send

CHAT = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
INSIDE = [
    "https://169.254.169.254/latest/meta-data", "https://10.0.0.1/", "https://[::1]/", "https://2130706433/",
    "https://localhost/", "http://hooks.example.com/", "https://inside.example.com/", "https://u:p@a.example.com/",
    "https://a.example.com:22/", "https://\u2460\u2461\u2466.0.0.1/", "file:///etc/passwd", "gopher://a.example.com/",
]  # fmt: skip
"""`inside.example.com` is a name of 10.0.0.8."""


def _hook(client: Client) -> str:
    return f"/v1/webhook_endpoints/{client.post('/v1/webhook_endpoints', HOOK).json['id']}"


GIVEN: dict[str, Any] = {
    "CreateWebhookBody.url": lambda client, url: client.post("/v1/webhook_endpoints", {**HOOK, "url": url}),
    "ChangeWebhookBody.url": lambda client, url: client.post(_hook(client), {"url": url}),
    "CreateRequestBody.webhook": lambda client, url: client.post(
        "/v1/requests", {"request_body": CHAT, "webhook": url}
    ),
    "CreateGroupBody.webhook": lambda client, url: client.post(
        "/v1/batches", {"requests_ids": [send(client).json["id"]], "webhook": url}
    ),
    "TaskBody.callback_url": lambda client, url: client.post(
        "/api/v1/task/async", {"text_data": "hi", "callback_url": url}
    ),
}  # fmt: skip


def _taken() -> Iterator[str]:
    """The fields of all bodies whose names say that they hold a URL."""
    schemas = describe(routes_of(World()))["components"]["schemas"]
    for name, schema in schemas.items():
        for field in schema.get("properties", {}):
            is_url = any(word in field for word in ("url", "uri", "webhook", "callback", "href"))
            if name.endswith(("Body", "Form", "Fields", "Options")) and is_url:
                yield f"{name}.{field}"


def test_every_field_for_a_url_is_tried_here() -> None:
    assert set(_taken()) == set(GIVEN)


@pytest.mark.parametrize("field", GIVEN)
@pytest.mark.parametrize("url", INSIDE)
def test_a_url_that_leads_inside_is_refused_and_nothing_is_kept(field: str, url: str) -> None:
    client = Client(World())
    client.world.destinations.addresses["inside.example.com"] = ["10.0.0.8"]
    answer = GIVEN[field](client, url)
    assert answer.status == 400, answer.text
    assert answer.json["error"]["param"] == field.partition(".")[2]
    assert answer.json["error"]["code"] in {"invalid_url", "destination_refused"}
    assert url not in repr(client.world.changes._tables.rows)
    assert client.world.destinations.posts == []
