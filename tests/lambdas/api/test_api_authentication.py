"""Who may call, and what the others are told."""

from __future__ import annotations

import pytest

from offpeak.core.account import hash_secret
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


def revoke(world: World, name: str) -> None:
    key = world.accounts.key(hash_secret(f"sk-{name}"))
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
    authentication = Authentication(clock=world.clock, accounts=world.accounts)
    for name in names:
        authentication.account({"x-api-key": f"sk-{name}"})
    assert len(authentication._remembered) == REMEMBERED_MAX


def test_unknown_keys_are_not_remembered(world: World) -> None:
    authentication = Authentication(clock=world.clock, accounts=world.accounts)
    for number in range(100):
        with pytest.raises(Unauthenticated):
            authentication.account({"x-api-key": f"guess-{number}"})
    assert not authentication._remembered
