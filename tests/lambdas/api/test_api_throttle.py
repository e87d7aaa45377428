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
