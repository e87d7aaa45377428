"""Who may call, and what the others are told."""

from __future__ import annotations

import pytest

from offpeak.core.account import Scope, hash_without_pepper
from offpeak.core.errors import Unauthenticated
from offpeak.core.ports import Save
from offpeak.steps.authenticate import REMEMBERED_MAX, REMEMBERED_SECONDS, Authentication
from tests.lambdas.api.client import Client, World

SPOKEN = [
    {"authorization": "Bearer sk-alice"},
    {"authorization": "bearer  sk-alice"},
    {"Authorization": "Token sk-alice"},
    {"authorization": "", "x_api_key": "sk-alice"},
    {"authorization": "", "X_API_Key": " sk-alice "},
]
REFUSED = [
    {"authorization": ""},
    {"authorization": "Bearer"},
    {"authorization": "Bearer "},
    {"authorization": "sk-alice"},
    {"authorization": "Basic sk-alice"},
    {"authorization": "Bearer sk-mallory"},
    {"authorization": "Bearer " + "k" * 100_000},
    {"authorization": "", "x_api_key": "sk-mallory"},
    {"authorization": "Bearer sk-älice"},
]


def authentication_of(world: World) -> Authentication:
    return Authentication(clock=world.clock, accounts=world.accounts, key_hashes=world.key_hashes)


def revoke(world: World, name: str) -> None:
    key = world.accounts.key(world.key_hashes.hash_key(f"sk-{name}"))
    world.changes.commit(Save(key.revoked(int(world.clock.now()))))


@pytest.mark.parametrize("headers", SPOKEN)
def test_a_key_is_taken_from_any_of_its_headers(client: Client, headers: dict[str, str]) -> None:
    assert client.send("GET", "/v1/models", **headers).status == 200


@pytest.mark.parametrize("headers", REFUSED)
def test_without_a_valid_key_nothing_is_served(client: Client, headers: dict[str, str]) -> None:
    error = client.send("GET", "/v1/models", **headers).error(401, "invalid_api_key")
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith("No valid API key.")


def test_missing_unknown_and_revoked_keys_get_the_very_same_answer(client: Client) -> None:
    revoke(client.world, "bob")
    missing = client.send("GET", "/v1/files", authorization="")
    unknown = client.send("GET", "/v1/files", authorization="Bearer nobody")
    revoked = client.as_("bob").get("/v1/files")
    assert missing == unknown == revoked
    assert missing.status == 401


def test_a_revoked_key_is_refused_within_a_minute(client: Client) -> None:
    assert client.get("/v1/models").status == 200
    revoke(client.world, "alice")
    client.world.clock.advance(REMEMBERED_SECONDS)
    client.get("/v1/models").error(401, "invalid_api_key")


def test_no_key_leaves_nothing_behind(client: Client) -> None:
    client.post("/v1/files", {"filename": "a", "purpose": "batch", "bytes": 1}, authorization="")
    assert client.get("/v1/files").json["data"] == []
    assert client.world.multipart.open_ids == ()


def test_the_memory_of_keys_is_bounded(world: World) -> None:
    names = [f"user{number}" for number in range(REMEMBERED_MAX + 50)]
    for name in names:
        world.add_account(name)
    authentication = authentication_of(world)
    for name in names:
        authentication.caller({"x-api-key": f"sk-{name}"})
    assert len(authentication._remembered) == REMEMBERED_MAX


def test_an_expired_key_is_refused_to_the_second_although_it_was_just_used(client: Client) -> None:
    world = client.world
    now = int(world.clock.now())
    world.add_key("carol", expires_at=now + 30)
    carol = Client(world, "sk-carol")
    assert carol.get("/v1/models").status == 200
    world.clock.advance(29)
    assert carol.get("/v1/models").status == 200
    world.clock.advance(1)
    assert carol.get("/v1/models") == client.send("GET", "/v1/models", authorization="Bearer no")


def test_a_key_from_before_the_pepper_still_opens_its_account(client: Client) -> None:
    world = client.world
    world.add_key("carol", hash=hash_without_pepper("sk-carol"))
    assert Client(world, "sk-carol").get("/v1/models").status == 200
    assert not world.accounts.key(hash_without_pepper("sk-carol")).is_peppered
    assert world.accounts.key(world.key_hashes.hash_key("sk-alice")).is_peppered


def test_a_hash_is_no_key(client: Client) -> None:
    """Who has read the table can't call with what is written there."""
    world = client.world
    world.add_key("carol", hash=hash_without_pepper("sk-carol"))
    for stolen in (hash_without_pepper("sk-carol"), world.key_hashes.hash_key("sk-alice")):
        Client(world, stolen).get("/v1/models").error(401, "invalid_api_key")


def test_a_row_under_another_hash_opens_nothing(world: World) -> None:
    """A table, or a cache before it, that answers with another row than the one that was asked for."""
    row = world.accounts.key(world.key_hashes.hash_key("sk-alice"))
    world.accounts.key = lambda key_hash: row  # type: ignore[method-assign]
    assert Client(world, "sk-alice").get("/v1/models").status == 200
    Client(world, "sk-mallory").get("/v1/models").error(401, "invalid_api_key")


@pytest.mark.parametrize(("held", "passed"), [("read", 1), ("submit", 2), ("admin", 3)])
def test_a_key_does_what_its_scope_says_and_is_told_what_it_lacks(
    client: Client, held: str, passed: int
) -> None:
    client.world.add_key("carol", scope=Scope(held))
    carol = Client(client.world, "sk-carol")
    asked = [
        ("read", carol.get("/v1/files")),
        ("submit", carol.delete("/v1/files/file-0")),
        ("admin", carol.get("/v1/callback_secret")),
    ]
    for number, (needed, answer) in enumerate(asked):
        if number < passed:
            assert answer.status in {200, 404}
        else:
            message = answer.error(403, "missing_scope")["message"]
            assert f"may {held};" in message
            assert f"the scope '{needed}'" in message


def test_unknown_keys_are_not_remembered(world: World) -> None:
    authentication = authentication_of(world)
    for number in range(100):
        with pytest.raises(Unauthenticated):
            authentication.caller({"x-api-key": f"guess-{number}"})
    assert not authentication._remembered
