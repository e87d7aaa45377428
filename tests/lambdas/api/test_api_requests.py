"""EXXA's `POST /v1/requests`, as far as money goes: the e2e suite has its page, snippet by snippet."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from offpeak.core.account import Billing
from offpeak.core.ports import Save
from offpeak.core.request import Request
from offpeak.steps.add_credits import add_credits
from tests.lambdas.api.client import Answer, Client, World

BODY = json.dumps(
    {
        "request_body": {
            "model": "acme/chat-8b",
            "messages": [{"role": "user", "content": "Hello"}],
        }
    }
).encode()


def bill(world: World, billing: Billing) -> None:
    account = world.accounts.get("acct_alice")
    world.changes.commit(Save(replace(account, billing=billing)))


def send(client: Client) -> Answer:
    return client.send("POST", "/v1/requests", BODY, Content_Type="application/json")


def registered(world: World) -> int:
    return len(list(world.changes._tables.select(Request, lambda _: True)))


def test_an_account_without_credits_is_refused_and_nothing_is_registered(world: World) -> None:
    bill(world, Billing.ENFORCE)
    client = Client(world)
    answer = send(client)
    error = answer.error(402, "insufficient_credits")
    assert error["type"] == "insufficient_quota"
    assert answer.headers["x-should-retry"] == "false"
    assert (registered(world), world.request_queue.records) == (0, [])
    add_credits(
        "acct_alice", 200_000, note="", reference=None, clock=world.clock, ledger=world.ledger,
        changes=world.changes,
    )  # fmt: skip
    assert send(client).status == 201, "credits that were added count at once"
    assert (registered(world), len(world.request_queue.records)) == (1, 1)


@pytest.mark.parametrize("billing", [Billing.OFF, Billing.METER])
def test_where_nothing_is_enforced_no_request_is_refused(world: World, billing: Billing) -> None:
    bill(world, billing)
    assert send(Client(world)).status == 201
