"""Two accounts, each with one of everything, drive each other's ids through every route of every accent.

The routes are the app's own: a new one is in here at once where its ids are in its path, and fails
`test_every_route_is_driven` where it needs a case of its own. A foreign id is answered as a made-up one is, to the
byte, and changes nothing.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.api.app import routes_of
from lambdas.api.call import Route
from tests.lambdas.api.client import BOUNDARY, Answer, Client, Field, World, form
from tests.lambdas.api.neighbours import Holdings, belongings, settle, unknown

RULES = {f"{route.method} {route.rule}": route for route in routes_of(World())}
MINE, THEIRS = "alice", "bob"
JSON_TYPE = "application/json"
Body = tuple[bytes, str]


def _json(fields: Any) -> Body:
    return json.dumps(fields).encode(), JSON_TYPE


# What a route with ids in its path takes. `{}` is an id that is tried, where the body names one too.
BODIES: Mapping[str, Body] = {
    "POST /v1/files/<file_id>/complete": _json({"parts": [{"part_number": 1, "etag": "e"}]}),
    "POST /v1/uploads/<upload_id>/parts": (
        form([Field("data", b"{}", "x")]), f"multipart/form-data; boundary={BOUNDARY}",
    ),
    "POST /v1/uploads/<upload_id>/complete": _json({"part_ids": []}),
    "POST /v1/batches/<batch_id>/requests": _json({"requests_ids": ["req_0"]}),
    "POST /v1/webhook_endpoints/<webhook_id>": _json({"name": "theirs now"}),
    "POST /v1/webhook_endpoints/<webhook_id>/rotate_secret": _json({}),
    "POST /v1/webhook_endpoints/<webhook_id>/test": _json({"event_type": "batch.completed"}),
}  # fmt: skip

_BATCH = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
# Where a body names ids: what is sent for one, beside the caller's own. (Whose multipart upload it is goes with it.)
NAMING: Mapping[str, Callable[[str, Holdings], list[Any]]] = {
    "POST /v1/batches": lambda one, mine: [
        {**_BATCH, "input_file_id": one},
        {"requests_ids": [one]},
        {"requests_ids": [mine.ids["request"], one]},
    ],
    "POST /v1/batches/estimate": lambda one, _: [{**_BATCH, "input_file_id": one}],
    "POST /together/v1/batches": lambda one, _: [{**_BATCH, "input_file_id": one}],
    "POST /together/v1/files/multipart/complete": lambda one, mine: [
        {"file_id": one, "upload_id": mine.multipart_id, "parts": [{"part_number": 1, "etag": "e"}]}
    ],
    "POST /together/v1/files/multipart/abort": lambda one, mine: [
        {"file_id": one, "upload_id": mine.multipart_id}
    ],
    "POST /v1/uploads/<upload_id>/complete": lambda one, mine: [{"part_ids": [one]}],
    "POST /v1/batches/<batch_id>/requests": lambda one, mine: [{"requests_ids": [one]}],
}
# Those take the caller's own in their path.
OWN = {
    "POST /v1/uploads/<upload_id>/complete": "upload",
    "POST /v1/batches/<batch_id>/requests": "group",
}
# These name nothing that was made before, and make something of the caller's own.
MAKING = {
    "POST /v1/files", "POST /v1/uploads", "POST /v1/requests", "POST /v1/webhook_endpoints",
    "POST /api/v1/task/async", "POST /api/v2/task/async", "POST /together/v1/files",
    "POST /together/v1/files/multipart/initiate", "POST /v1/callback_secret/rotate",
}  # fmt: skip
# What is everybody's.
SHARED = {"GET /v1/models", "GET /v1/webhook_event_types", "GET /openapi.json"}
CURSORS = ("after", "page", "project_ids", "batch_id")
"""Where a query names what was made before."""
BY_PATH = {name for name, route in RULES.items() if "<" in route.rule}
LISTING = {
    name
    for name, route in RULES.items()
    if route.method == "GET" and name not in {*BY_PATH, *SHARED}
}


@pytest.fixture
def neighbours(world: World) -> tuple[Client, Holdings, Holdings]:
    """Alice's client, what she has, and what Bob has."""
    mine, theirs = settle(world, MINE), settle(world, THEIRS)
    return Client(world), mine, theirs


def test_every_route_is_driven() -> None:
    """A route that is added is named here until it has a case: an entry in one of the tables above."""
    assert set(RULES) - BY_PATH - set(NAMING) - MAKING - SHARED - LISTING == set()
    assert {name for name in BY_PATH if RULES[name].takes is not None} == set(BODIES)
    assert (set(NAMING) | set(OWN) | MAKING | SHARED) <= set(RULES)


def _paths(route: Route, mine: Holdings, theirs: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """Every choice of ids for the path in which one at least is a stranger's, by what they name."""
    places = len(re.findall(r"<\w+>", route.rule))
    for whats in product(*[[*theirs, *(f"my {what}" for what in mine.ids)]] * places):
        if places == 1 and whats[0].startswith("my "):
            continue
        if all(what.startswith("my ") for what in whats):
            continue
        # With two ids in a path, those that can be meant are tried with all.
        if places == 2 and not {"webhook", "my webhook", "delivery", "my delivery"} & set(whats):
            continue
        yield whats


def _filled(rule: str, ids: tuple[str, ...]) -> str:
    left = iter(ids)
    return re.sub(r"<\w+>", lambda _: next(left), rule)


def _told(answer: Answer, ids: tuple[str, ...]) -> tuple[Any, ...]:
    """All that an answer tells, but for the ids that it repeats, and that of what it made."""
    text, headers = answer.text, str(sorted(answer.headers.items()))
    for number, one in enumerate(ids):
        text, headers = text.replace(one, f"<{number}>"), headers.replace(one, f"<{number}>")
    return answer.status, headers, re.sub(r"batch_[0-9a-f]{28}", "<made>", text)


@pytest.mark.parametrize("name", sorted(BY_PATH))
def test_a_foreign_id_in_a_path_is_as_unknown_as_a_made_up_one(
    name: str, neighbours: tuple[Client, Holdings, Holdings]
) -> None:
    client, mine, theirs = neighbours
    route, made_up = RULES[name], theirs.made_up()
    body, content_type = BODIES.get(name, (b"", JSON_TYPE))
    before = belongings(client.world, "acct_bob")
    tried = 0
    for whats in _paths(route, mine, theirs.ids):
        foreign = tuple(_chosen(what, mine, theirs.ids) for what in whats)
        nobodys = tuple(_chosen(what, mine, made_up) for what in whats)
        asked, compared = (
            client.send(route.method, _filled(route.rule, ids), body, content_type=content_type)
            for ids in (foreign, nobodys)
        )
        assert asked.status == 404, (whats, asked.text)
        assert _told(asked, foreign) == _told(compared, nobodys), whats
        tried += 1
    assert tried >= len(theirs.ids)
    assert belongings(client.world, "acct_bob") == before


def _chosen(what: str, mine: Holdings, theirs: Mapping[str, str]) -> str:
    return mine.ids[what[3:]] if what.startswith("my ") else theirs[what]


@pytest.mark.parametrize("name", sorted(NAMING))
def test_a_foreign_id_in_a_body_is_as_unknown_as_a_made_up_one(
    name: str, neighbours: tuple[Client, Holdings, Holdings]
) -> None:
    client, mine, theirs = neighbours
    route = RULES[name]
    path = _filled(route.rule, (mine.ids[OWN[name]],)) if name in OWN else route.rule
    before = belongings(client.world, "acct_bob")
    for what, foreign in theirs.ids.items():
        nobodys = unknown(foreign)
        for asked, compared in zip(
            NAMING[name](foreign, mine), NAMING[name](nobodys, mine), strict=True
        ):
            answer, other = client.post(path, asked), client.post(path, compared)
            assert answer.status in {400, 404} or _failed(answer), (what, asked, answer.text)
            assert _told(answer, (foreign,)) == _told(other, (nobodys,)), (what, asked)
    assert belongings(client.world, "acct_bob") == before


def _failed(answer: Answer) -> bool:
    """A batch of a file that isn't there is made, and has failed: OpenAI's way."""
    made = answer.json.get("job", answer.json)
    return answer.status == 200 and made["status"].lower() == "failed"


@pytest.mark.parametrize("name", sorted(LISTING))
def test_a_list_shows_the_callers_own_whatever_it_is_asked_to_begin_after(
    name: str, neighbours: tuple[Client, Holdings, Holdings]
) -> None:
    client, _, theirs = neighbours
    rule = RULES[name].rule
    assert not _shown(client.get(rule), theirs)
    for what, foreign in theirs.ids.items():
        nobodys = unknown(foreign)
        for parameter in CURSORS:
            asked = client.get(rule, **{parameter: foreign})
            compared = client.get(rule, **{parameter: nobodys})
            assert _told(asked, (foreign,)) == _told(compared, (nobodys,)), (what, parameter)
            assert not _shown(asked, theirs, but=foreign), (what, parameter)


def _shown(answer: Answer, theirs: Holdings, but: str = "-") -> list[str]:
    text = answer.text.replace(but, "")
    return [one for one in theirs.ids.values() if one in text]


def test_what_is_made_is_the_callers_own_and_lies_under_her_name() -> None:
    """Every key that was written and every URL that was signed names her account, or something that she has."""
    world = World()
    settle(world, THEIRS)
    before, keys = belongings(world, "acct_bob"), {each.key for each in world.reader.list("")}
    signed: list[str] = []
    _listen(world, signed)
    mine = settle(world, MINE)
    client = Client(world)
    for path in ("/v1/files/{output}/content", "/together/v1/files/{output}/content"):
        assert client.get(path.format(**mine.ids)).status == 302
    assert belongings(world, "acct_bob") == before
    own = {*mine.ids.values(), "acct_alice"}
    written = {each.key for each in world.reader.list("")} - keys
    assert len(written) > 5
    assert len(signed) > 4
    for key in [*written, *signed]:
        assert own & set(re.split(r"[/.]", key)), key


def _listen(world: World, signed: list[str]) -> None:
    """Notes the keys that URLs are signed for."""
    sign = world.presigner._sign

    def noted(key: str, seconds: int, **query: str) -> str:
        signed.append(key)
        return sign(key, seconds, **query)

    world.presigner._sign = noted  # type: ignore[method-assign]


def test_an_idempotency_key_is_its_accounts_own(client: Client) -> None:
    """The same key and the same request of two accounts make two things; a third's tells nothing of them."""
    new, key = {"filename": "a", "purpose": "batch", "bytes": 9}, {"idempotency_key": "same"}
    mine, again = client.post("/v1/files", new, **key), client.post("/v1/files", new, **key)
    theirs = client.as_("bob").post("/v1/files", new, **key)
    assert mine.json["id"] == again.json["id"] != theirs.json["id"]
    other = client.as_("bob").post("/v1/files", {**new, "bytes": 10}, **key)
    other.error(409, "idempotency_key_reused")
    client.post("/v1/files", {**new, "bytes": 10}, **key).error(409, "idempotency_key_reused")


def test_whatever_hides_a_foreign_id_does_not_open_it() -> None:
    """Other spellings of an id that exists: percent-encoded, in capitals, with blanks, dots and slashes around it."""
    world = World()
    settle(world, MINE)
    client, foreign = Client(world), sorted(settle(world, THEIRS).ids.values())
    before = belongings(world, "acct_bob")
    names = sorted(name for name in BY_PATH if RULES[name].rule.count("<") == 1)

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(
        name=st.sampled_from(names),
        id=st.sampled_from(foreign),
        spelled=st.sampled_from(
            ["{}", "{}%20", "%20{}", "{}%00", "./{}", "../acct_bob/{}", "acct_bob/{}", "{}/", "{}.",
             "{}?x=1", "{}%2F..%2F{}", "{};{}", "{},{}", "{}\u200b", "{}\u202e", "{}#"]
        ),
        upper=st.booleans(),
    )  # fmt: skip
    def drive(name: str, id: str, spelled: str, upper: bool) -> None:
        route, (body, content_type) = RULES[name], BODIES.get(name, (b"", JSON_TYPE))
        shown = spelled.replace("{}", id.upper() if upper else id)
        path = re.sub(r"<\w+>", lambda _: shown, route.rule)
        answer = client.send(route.method, path, body, content_type=content_type)
        assert answer.status in {404, 405}, (path, answer.text)

    drive()
    assert belongings(world, "acct_bob") == before


def figures() -> dict[str, int]:
    """How much is tried, for `docs/security.md`: `python -m tests.lambdas.api.test_api_accounts_apart`."""
    world = World()
    mine, theirs = settle(world, MINE), settle(world, THEIRS)
    foreign = len(theirs.ids)
    return {
        "routes": len(RULES),
        "kinds_of_ids": foreign,
        "foreign_paths": sum(len(list(_paths(RULES[each], mine, theirs.ids))) for each in BY_PATH),
        "foreign_bodies": sum(len(NAMING[each]("x", mine)) for each in NAMING) * foreign,
        "foreign_cursors": len(LISTING) * len(CURSORS) * foreign,
    }


if __name__ == "__main__":
    logging.disable()
    print(json.dumps(figures()))  # noqa: T201
