"""The life cycle's handlers, given what Step Functions, SQS and EventBridge give them, over ports in memory."""

import importlib
import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from offpeak.core.batch import BatchStatus
from offpeak.core.file import File
from offpeak.core.ports import Add
from offpeak.core.shard import ShardStatus
from offpeak.steps.cancel_batch import cancel_batch
from tests.steps.simulation import IN_CHUNKS
from tests.steps.ward import ACCOUNT, BATCH, POOL, TOKEN, Ward

IDS = {"account_id": ACCOUNT, "batch_id": BATCH}


@dataclass
class Context:
    function_name: str = "f"
    memory_limit_in_mb: int = 128
    invoked_function_arn: str = "arn"
    aws_request_id: str = "r"


@dataclass
class Functions:
    """Calls handlers over one ward, their events as JSON."""

    ward: Ward
    monkeypatch: pytest.MonkeyPatch

    def call(self, function: str, event: dict[str, Any]) -> Any:
        self.monkeypatch.setenv("OFFPEAK_BUCKET", "ours")
        module = importlib.import_module(f"lambdas.{function}.handler")
        self.monkeypatch.setattr(module, "aws", self.ward)
        self.monkeypatch.setattr(module, "bucket", "ours", raising=False)
        answer = module.handler(json.loads(json.dumps(event)), Context())
        return json.loads(json.dumps(answer))


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> Functions:
    return Functions(Ward(lines=12), monkeypatch)


def records(*bodies: str) -> dict[str, Any]:
    return {"Records": [{"messageId": f"m{n}", "body": body} for n, body in enumerate(bodies)]}


def sagemakers(ward: Ward, order: bytes) -> str:
    notice = ward.work(order)
    inference_id = f"{BATCH}.{notice.run}.{notice.number}.{notice.attempt}"
    return json.dumps(
        {
            "eventName": "InferenceResult",
            "invocationStatus": "Completed",
            "inferenceId": inference_id,
            "responseParameters": {"outputLocation": f"s3://ours/{notice.report_key}"},
        }
    )


def test_a_batch_goes_through_all_of_them(functions: Functions) -> None:
    ward = functions.ward
    functions.call("release_runs", {**IDS, "task_token": TOKEN})
    assert [batch.id for batch, _ in ward.announcements.begun] == [BATCH]
    asks = [json.dumps({"pool": pool}) for pool in ward.dispatches.asks]
    assert functions.call("dispatch_shards", records(*asks, *asks)) == {"batchItemFailures": []}
    orders = [invocation.order for invocation in ward.endpoints.invocations]
    assert len(orders) == 3
    ended = [sagemakers(ward, order) for order in orders]
    assert functions.call("complete_shard", records(*ended)) == {"batchItemFailures": []}
    assert TOKEN in ward.workflows.answers
    assert functions.call("close_batch", IDS) == {"harvest": []}
    ended = functions.call("finalize_batch", {**IDS, "in_chunks": True})
    assert ended == {"next": "end", "chunks": []}
    assert functions.call("announce_batch", IDS) is None
    assert ward.batch.status is BatchStatus.COMPLETED
    assert [kind for kind, _ in ward.announcements.announced] == ["batch.completed"]


def test_chunks_of_a_closed_batch_are_what_a_harvest_takes(functions: Functions) -> None:
    functions.ward.release()
    functions.ward.call(cancel_batch, ACCOUNT, BATCH)
    (chunk,) = functions.call("close_batch", IDS)["harvest"]
    functions.call("harvest_shards", {**IDS, **chunk})
    functions.call("finalize_batch", IDS)
    assert functions.ward.batch.counts.failed == 12


def test_chunks_of_large_results_are_what_assembling_takes(
    functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward = functions.ward
    functions.call("release_runs", {**IDS, "task_token": TOKEN})
    ward.run_all()
    assert functions.call("close_batch", IDS) == {"harvest": []}
    ward.multipart.part_bytes_min = IN_CHUNKS.part_bytes_min
    for folder in ("finalize_batch", "assemble_results"):
        limits = replace(IN_CHUNKS, call_pieces_max=0, chunk_pieces=1)
        monkeypatch.setattr(f"lambdas.{folder}.handler.LIMITS", limits)
    answer = functions.call("finalize_batch", {**IDS, "in_chunks": True})
    assert answer["next"] == "assemble"
    assert len(answer["chunks"]) > 1
    for chunk in answer["chunks"]:
        functions.call("assemble_results", {**IDS, **chunk})
    ended = functions.call("finalize_batch", {**IDS, "in_chunks": True})
    assert ended == {"next": "end", "chunks": []}
    assert ward.batch.counts.finished == 12


def test_a_notice_that_fails_is_named_alone_and_the_others_are_taken_in(
    functions: Functions,
) -> None:
    ward = functions.ward
    ward.release()
    good = sagemakers(ward, ward.dispatch()[0])
    test = json.dumps({"eventName": "TestNotification"})
    answer = functions.call("complete_shard", records("not json", good, test))
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert ward.shard().status is ShardStatus.DONE


def test_a_pool_that_can_not_be_dispatched_to_does_not_hold_up_another(
    functions: Functions,
) -> None:
    ward = functions.ward
    ward.release()
    queued = ward.runs.queued

    def failing(pool: str, **which: Any) -> Any:
        if pool == "blue-pool":
            raise RuntimeError("broken")
        return queued(pool, **which)

    ward.runs.queued = failing  # type: ignore[method-assign]
    asks = [json.dumps({"pool": pool}) for pool in ("blue-pool", POOL, "blue-pool")]
    answer = functions.call("dispatch_shards", records(*asks))
    assert [each["itemIdentifier"] for each in answer["batchItemFailures"]] == ["m0", "m2"]
    assert len(ward.endpoints.invocations) == 3


def test_the_sweep_takes_the_clocks_event(functions: Functions) -> None:
    functions.ward.release()
    functions.ward.dispatches.asks.clear()
    functions.call("sweep", {"source": "aws.events"})
    assert functions.ward.dispatches.asks == [POOL]


def test_files_whose_time_is_over_go_by_the_clocks_event(functions: Functions) -> None:
    ward = functions.ward
    file = File(
        id="file-over", account_id=ACCOUNT, filename="f", purpose="batch", bytes=2,
        key=f"files/{ACCOUNT}/file-over", created_at=0, expires_at=3_600,
    )  # fmt: skip
    ward.writer.put(file.key, b"{}")
    ward.changes.commit(Add(file))
    functions.call("expire_files", {"source": "aws.events"})
    assert file.key not in [info.key for info in ward.reader.list("files/")]


def test_pools_are_measured_by_the_clocks_event(functions: Functions) -> None:
    functions.ward.release()
    functions.call("measure_pools", {"source": "aws.events"})
    found = {m.pool: m.waiting_shards for m in functions.ward.metrics.published}
    assert found == {model.pool: 0 for model in functions.ward.catalogue.models} | {POOL: 3}


def test_signals_are_fetched_by_the_clocks_event(functions: Functions) -> None:
    functions.call("fetch_signals", {"source": "aws.events"})
    kept = [info.key for info in functions.ward.reader.list("signals/")]
    assert len(kept) == 1
    assert kept[0].startswith("signals/us-east-1/hours/")


def test_plan_capacity_plans_the_pools_of_every_deployed_model(
    functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFPEAK_SLOT_SECONDS", "900")
    monkeypatch.setenv("OFFPEAK_PLAN_WEIGHTS", '{"dollars": 1, "carbon": 1, "earliness": 0.001}')
    functions.ward.release()
    functions.call("plan_capacity", {})
    planned = functions.ward.pools.get(POOL)
    assert planned.plan is not None
    assert planned.plan.run(f"{BATCH}.0") is not None
    assert functions.ward.capacity.bounded[POOL].bounds.least > 0
    assert functions.ward.metrics.plan_ages == [0]
