"""What keys that administer change by the API is in the audit trail, with the key that did."""

from __future__ import annotations

from offpeak.core.audit import AuditEntry
from tests.lambdas.api.client import Client, World

PATH = "/v1/webhook_endpoints"
NEW = {"name": "ops", "url": "https://hooks.example.com/a", "event_types": ["batch.completed"]}


def _entries(world: World) -> list[AuditEntry]:
    return list(world.audit.newest(100))


def test_each_change_of_where_events_go_is_traced_to_its_key() -> None:
    world = World()
    client = Client(world)
    made = client.post(PATH, NEW).json
    place = f"{PATH}/{made['id']}"
    answers = [
        client.post(place, {"name": "other"}),
        client.post(f"{place}/rotate_secret", {}),
        client.post("/v1/callback_secret/rotate", {}),
        client.delete(place),
    ]
    assert [answer.status for answer in answers] == [200] * 4
    entries = _entries(world)
    assert sorted(entry.action for entry in entries) == [
        f"DELETE {PATH}/<webhook_id>",
        "POST /v1/callback_secret/rotate",
        f"POST {PATH}",
        f"POST {PATH}/<webhook_id>",
        f"POST {PATH}/<webhook_id>/rotate_secret",
    ]
    assert {entry.actor for entry in entries} == {"key_alice"}
    assert {entry.account_ids for entry in entries} == {("acct_alice",)}
    assert made["signing_secret"] not in repr(entries)


def test_looking_and_batches_are_no_administration() -> None:
    world = World()
    client = Client(world)
    client.get(PATH)
    client.create_batch(client.upload()["id"])
    assert _entries(world) == []


def test_what_is_refused_leaves_no_entry() -> None:
    world = World()
    client = Client(world)
    assert client.post(PATH, {**NEW, "url": "http://10.0.0.1/"}).status == 400
    assert _entries(world) == []
