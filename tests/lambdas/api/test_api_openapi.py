"""The API's description of itself, and that no route is without one."""

from __future__ import annotations

import json

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from lambdas.api.app import routes_of
from lambdas.api.call import Route
from tests.described import Described
from tests.lambdas.api.api_table import routes_table, written_table
from tests.lambdas.api.client import Client, World


def test_the_description_is_served_without_a_key(client: Client) -> None:
    answer = client.send("GET", "/openapi.json", authorization="")
    assert answer.status == 200
    assert answer.json["openapi"].startswith("3.1")


def test_the_description_is_valid_openapi(client: Client) -> None:
    problems = OpenAPIV31SpecValidator(client.get("/openapi.json").json).iter_errors()
    assert [str(problem) for problem in problems] == []


def test_every_route_is_described_and_nothing_else(client: Client) -> None:
    paths = client.get("/openapi.json").json["paths"]
    described = {
        (method.upper(), path) for path, operations in paths.items() for method in operations
    }
    routes = {
        (route.method, route.rule.replace("<", "{").replace(">", "}"))
        for route in routes_of(World())
    }
    assert described == routes


@pytest.mark.parametrize("route", routes_of(World()), ids=lambda route: route.method + route.rule)
def test_a_summary_is_one_sentence(route: Route) -> None:
    assert route.summary[:1].isupper(), f"{route.method} {route.rule}: write a summary"
    assert route.summary.endswith("."), f"{route.method} {route.rule}: write a sentence"
    assert len(route.summary) <= 100
    assert route.accents


def test_the_table_in_the_docs_has_every_route() -> None:
    lacking = set(routes_table().splitlines()) - set(written_table().splitlines())
    assert not lacking, "docs/api.md lacks these rows; run `make api-table`:\n" + "\n".join(lacking)
    assert written_table() == routes_table(), "docs/api.md has rows too many; run `make api-table`"


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (200, "application/json", {"id": "file-1", "object": "file", "deleted": True, "more": 1}),
        (200, "application/json", {"id": "file-1", "object": "file"}),
        (200, "application/json", {"id": 1, "object": "file", "deleted": True}),
        (200, "text/plain", {"id": "file-1", "object": "file", "deleted": True}),
        (201, "application/json", {"id": "file-1", "object": "file", "deleted": True}),
        (400, "application/json", {"message": "no envelope"}),
    ],
)
def test_an_answer_that_is_not_as_described_is_found(
    client: Client, status: int, content_type: str, body: object
) -> None:
    described = Described(client.get("/openapi.json").json)
    with pytest.raises(AssertionError, match="not as it is described"):
        described.check("DELETE", "/v1/files/file-1", status, content_type, json.dumps(body))
    with pytest.raises(AssertionError, match="isn't described"):
        described.check("PUT", "/v1/files/file-1", status, content_type, json.dumps(body))
