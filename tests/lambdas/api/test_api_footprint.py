"""`GET /v1/batches/{id}/footprint`, and when a batch will be done."""

from __future__ import annotations

from dataclasses import replace

from offpeak.core.batch import BatchStatus
from offpeak.core.footprint import Footprint, Metered
from offpeak.core.plan import CapacityPlan, RunPlan
from offpeak.core.pool import ModelPools
from offpeak.core.ports import Add, Save
from offpeak.core.run import RunStatus
from offpeak.core.usage import Counts, Usage
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


def test_a_running_batch_shows_when_it_will_be_done_and_when_it_is_planned_to_begin(
    client: Client,
) -> None:
    world = client.world
    now = int(world.clock.now())
    model = world.catalogue.models[0]
    batch = replace(rows.batch("acct_alice"), status=BatchStatus.IN_PROGRESS)
    run = replace(
        rows.run(batch.id), model=model.id, pool=model.pool, lines=1_000, cursor=1, shards=2,
        counts=Counts(completed=500), usage=Usage(input_tokens=50_000, output_tokens=50_000),
        metered=METERED, status=RunStatus.READY, deadline=now + 86_400,
    )  # fmt: skip
    world.changes.commit(Add(batch), Add(run))
    shown = client.get(f"/v1/batches/{batch.id}").json["estimated_completion"]
    assert shown["planned_start"] is None
    assert shown["basis"] == "measured"
    assert shown["p50"] == now + 61
    assert shown["p90"] > shown["p50"]
    planned = RunPlan(run_id=run.id, starts_at=now + 3_600, ends_at=now + 7_200)
    plan = CapacityPlan(made_at=now, starts_at=now, slot_seconds=900, pools=(), runs=(planned,))
    world.changes.commit(Add(ModelPools(id=model.pool).planned(plan)))
    shown = client.get(f"/v1/batches/{batch.id}").json["estimated_completion"]
    assert (shown["planned_start"], shown["p90"]) == (now + 3_600, now + 7_200)
    (listed,) = client.get("/v1/batches").json["data"]
    assert listed["estimated_completion"]["p50"] == now + 61
