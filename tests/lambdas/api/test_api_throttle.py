"""One account's flood is turned away; others don't notice."""

from __future__ import annotations

from offpeak.core.account import Limits
from tests.lambdas.api.client import Client, World


def test_too_many_requests_are_answered_429_with_a_time_to_wait() -> None:
    world = World()
    world.add_account("eager", Limits(requests_per_second=2))
    client = Client(world, "sk-eager")
    answers = [client.get("/v1/models") for _ in range(5)]
    assert [each.status for each in answers] == [200] * 4 + [429]
    assert answers[-1].headers["retry-after"] == "1"
    answers[-1].error(429, "rate_limit_exceeded")
    assert client.as_("bob").get("/v1/models").status == 200
    world.clock.advance(1)
    assert client.get("/v1/models").status == 200


def test_a_key_with_a_limit_of_its_own_is_turned_away_and_its_accounts_others_are_not() -> None:
    world = World()
    world.add_key("slow", requests_per_second=1)
    client = Client(world, "sk-slow")
    assert [client.get("/v1/models").status for _ in range(4)] == [200, 200, 429, 429]
    error = client.get("/v1/models").error(429, "rate_limit_exceeded")
    assert error["message"].startswith("This API key sends more than 1 requests a second.")
    assert client.as_("alice").get("/v1/models").status == 200


def test_two_processes_of_the_api_count_together() -> None:
    world = World()
    world.add_account("eager", Limits(requests_per_second=2))
    answers = [Client(world, "sk-eager").get("/v1/models").status for _ in range(6)]
    assert answers == [200] * 4 + [429] * 2
