"""What each route asks of a key, all in one list; and that a key with less is refused before anything is looked at."""

from __future__ import annotations

import re

import pytest

from lambdas.api.app import routes_of
from offpeak.core.account import Scope
from tests.lambdas.api.client import Client, World

ROUTES = {f"{route.method} {route.rule}": route for route in routes_of(World())}
OPEN = {"GET /openapi.json"}
ADMIN = {
    "GET /v1/callback_secret",
    "POST /v1/callback_secret/rotate",
    "POST /v1/webhook_endpoints",
    "POST /v1/webhook_endpoints/<webhook_id>",
    "DELETE /v1/webhook_endpoints/<webhook_id>",
    "POST /v1/webhook_endpoints/<webhook_id>/rotate_secret",
    "POST /v1/webhook_endpoints/<webhook_id>/test",
    "POST /v1/webhook_endpoints/<webhook_id>/deliveries/<delivery_id>/redeliver",
}
SUBMIT = {
    "POST /api/v1/task/<task_id>/callback",
    "POST /api/v1/task/async",
    "POST /api/v2/task/<task_id>/callback",
    "POST /api/v2/task/async",
    "POST /together/v1/batches",
    "POST /together/v1/batches/<batch_id>/cancel",
    "POST /together/v1/files",
    "DELETE /together/v1/files/<file_id>",
    "POST /together/v1/files/<file_id>/preprocess",
    "POST /together/v1/files/multipart/abort",
    "POST /together/v1/files/multipart/complete",
    "POST /together/v1/files/multipart/initiate",
    "POST /v1/batches",
    "POST /v1/batches/<batch_id>/cancel",
    "POST /v1/batches/<batch_id>/requests",
    "POST /v1/files",
    "DELETE /v1/files/<file_id>",
    "POST /v1/files/<file_id>/complete",
    "POST /v1/requests",
    "POST /v1/requests/<request_id>/cancel",
    "POST /v1/uploads",
    "POST /v1/uploads/<upload_id>/cancel",
    "POST /v1/uploads/<upload_id>/complete",
    "POST /v1/uploads/<upload_id>/parts",
}
# It asks what a file would cost, and leaves nothing.
READING_POSTS = {"POST /v1/batches/estimate"}
BELOW = {
    Scope.READ: (), Scope.SUBMIT: (Scope.READ,), Scope.ADMIN: (Scope.READ, Scope.SUBMIT),
}  # fmt: skip


def test_each_route_asks_for_the_scope_that_this_list_says() -> None:
    """Change the list with the route, knowingly: a route that isn't in it must be a GET, and asks for `read`."""
    by_scope = {
        scope: {name for name, route in ROUTES.items() if route.scope is scope}
        for scope in (None, *Scope)
    }
    assert by_scope[None] == OPEN
    assert by_scope[Scope.ADMIN] == ADMIN
    assert by_scope[Scope.SUBMIT] == SUBMIT
    gets = {name for name in ROUTES if name.startswith("GET ")}
    assert by_scope[Scope.READ] == (gets - ADMIN - OPEN) | READING_POSTS


@pytest.mark.parametrize("name", sorted(set(ROUTES) - OPEN))
def test_a_key_with_less_is_refused_whatever_it_names(client: Client, name: str) -> None:
    """The same words for an id that exists, for one that doesn't and for one that can't be; and nothing is made."""
    world, route = client.world, ROUTES[name]
    assert route.scope is not None
    file_id = client.upload()["id"]
    for held in BELOW[route.scope]:
        world.add_key(f"{held}-only", scope=held)
        weak = Client(world, f"sk-{held}-only")
        rows, objects = repr(world.changes._tables.rows), list(world.reader.list(""))
        answers = {
            weak.send(route.method, re.sub(r"<\w+>", one, route.rule), b"{}").text
            for one in (file_id, "file-0", "x" * 2_000)
        }
        [text] = answers
        answer = weak.send(route.method, re.sub(r"<\w+>", file_id, route.rule), b"{}")
        message = answer.error(403, "missing_scope")["message"]
        assert answer.text == text
        assert f"may {held};" in message
        assert f"'{route.scope}'" in message
        assert (repr(world.changes._tables.rows), list(world.reader.list(""))) == (rows, objects)


@pytest.mark.parametrize("held", Scope)
def test_a_key_with_enough_is_not_refused(client: Client, held: Scope) -> None:
    client.world.add_key("enough", scope=held)
    able = Client(client.world, "sk-enough")
    for route in ROUTES.values():
        if route.scope is not None and held.covers(route.scope):
            path = re.sub(r"<\w+>", "file-0", route.rule)
            assert able.send(route.method, path, b"{}").status not in {401, 403}


def test_the_description_says_what_each_route_asks_for(client: Client) -> None:
    document = client.send("GET", "/openapi.json", authorization="").json
    for name, route in ROUTES.items():
        path = re.sub(r"<(\w+)>", r"{\1}", route.rule)
        operation = document["paths"][path][route.method.lower()]
        assert operation.get("x-offpeak-scope") == route.scope, name
