"""`GET /v1/batches/{id}/footprint`."""

from __future__ import annotations

from dataclasses import replace

from offpeak.core.footprint import Footprint, Metered
from offpeak.core.ports import Add, Save
from tests.contract import rows
from tests.lambdas.api.client import Client

METERED = Metered(instance_ms=61_000, energy_mwh=5_000_000, carbon_mg=2_000_000, microdollars=7_000)


def batch_of(client: Client, account_id: str) -> str:
    batch = rows.batch(account_id)
    client.world.changes.commit(Add(batch))
    return batch.id


def test_a_batch_without_a_measured_attempt_has_a_method_and_no_figures(client: Client) -> None:
    answer = client.get(f"/v1/batches/{batch_of(client, 'acct_alice')}/footprint")
    assert answer.status == 200, answer.text
    assert answer.json["figures"] is None
    assert answer.json["is_final"] is False
    method = answer.json["method"]
    assert "yearly average" in method["signals"]["us-east-1"][0]
    assert all(method[each] for each in ("carbon", "energy", "cost", "at_once", "left_out"))


def test_an_ended_batch_has_its_receipt(client: Client) -> None:
    batch_id = batch_of(client, "acct_alice")
    batch = client.world.batches.get("acct_alice", batch_id)
    footprint = Footprint(metered=METERED, carbon_at_once_mg=2_500_000)
    client.world.changes.commit(Save(replace(batch, footprint=footprint)))
    figures = client.get(f"/v1/batches/{batch_id}/footprint").json["figures"]
    assert figures == {
        "instance_seconds": 61.0, "energy": 5.0, "carbon": 2_000.0, "carbon_at_once": 2_500.0,
        "carbon_saved": 500.0,
        "gpu_cost": {"value": 0.007, "currency": "usd", "microdollars": 7_000},
        "instance_seconds_without_power": 0.0, "instance_seconds_without_price": 0.0,
    }  # fmt: skip


def test_anothers_batch_is_as_unknown_as_a_made_up_one(client: Client) -> None:
    theirs = client.get(f"/v1/batches/{batch_of(client, 'acct_bob')}/footprint")
    made_up = client.get("/v1/batches/batch_none/footprint")
    assert (theirs.status, made_up.status) == (404, 404)
