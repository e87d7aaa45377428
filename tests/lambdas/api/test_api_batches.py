"""`/v1/batches`: creating, showing, listing, cancelling."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.core.account import Limits
from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.errors import Unavailable
from offpeak.core.file import File
from offpeak.core.ports import Add, Save
from offpeak.core.request_line import LineError
from offpeak.core.run import Run, RunStatus
from offpeak.core.schedule import Schedule
from offpeak.core.shard import Shard, ShardStatus
from offpeak.core.usage import Counts, Usage
from offpeak.planner.byte_ranges import RANGE_BYTES
from offpeak.wire.batch_errors import encode_batch_errors
from tests.lambdas.api.client import Client, World

KEYS = {
    "id", "object", "endpoint", "model", "errors", "input_file_id", "completion_window", "status",
    "output_file_id", "error_file_id", "created_at", "in_progress_at", "expires_at",
    "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at",
    "at_risk_at", "request_counts", "usage", "metadata", "schedule", "estimated_completion",
}  # fmt: skip


def row(client: Client, batch_id: str) -> Batch:
    return client.world.batches.get("acct_alice", batch_id)


def created(client: Client, **more: Any) -> Any:
    return client.create_batch(client.upload()["id"], **more).ok("Batch")


# ── create ──


def test_a_created_batch_is_validating_and_its_workflow_runs(client: Client) -> None:
    file = client.upload(b"{}\n")
    batch = client.create_batch(file["id"], metadata={"team": "växjö"}).ok("Batch")
    now = int(client.world.clock.now())
    assert set(batch) == KEYS
    assert batch["status"] == "validating"
    assert (batch["created_at"], batch["expires_at"]) == (now, now + 86_400)
    assert batch["metadata"] == {"team": "växjö"}
    assert batch["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert client.world.workflows.started == {
        batch["id"]: {
            "account_id": "acct_alice",
            "batch_id": batch["id"],
            "ranges": [{"index": 0, "start": 0, "stop": 3}],
        }
    }
    assert client.get(f"/v1/batches/{batch['id']}").ok("Batch") == batch


def test_explicit_nulls_count_as_absent(client: Client) -> None:
    batch = created(client, metadata=None, output_expires_after=None, on_invalid=None, novel=None)
    assert batch["metadata"] is None


@pytest.mark.parametrize(("window", "seconds"), [("1h", 3_600), ("24h", 86_400), ("7d", 604_800)])
def test_windows_from_an_hour_to_a_week(client: Client, window: str, seconds: int) -> None:
    batch = created(client, completion_window=window)
    assert batch["expires_at"] - batch["created_at"] == seconds


def test_the_row_holds_what_was_asked_for(client: Client) -> None:
    expires = {"anchor": "created_at", "seconds": 7_200}
    batch = created(client, on_invalid="skip", output_expires_after=expires)
    stored = row(client, batch["id"])
    assert (stored.on_invalid, stored.output_expires_after) == ("skip", 7_200)
    assert stored.input_bytes == 3


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"endpoint": "/v1/images/generations"}, "invalid_endpoint", "endpoint"),
    ({"endpoint": "/v1/responses"}, "invalid_endpoint", "endpoint"),
    ({"endpoint": None}, "missing_required_parameter", "endpoint"),
    ({"endpoint": 5}, "invalid_type", "endpoint"),
    ({"completion_window": "25d"}, "invalid_completion_window", "completion_window"),
    ({"completion_window": "30m"}, "invalid_completion_window", "completion_window"),
    ({"completion_window": None}, "missing_required_parameter", "completion_window"),
    ({"input_file_id": None}, "missing_required_parameter", "input_file_id"),
    ({"input_file_id": ""}, "invalid_value", "input_file_id"),
    ({"input_file_id": ["a"]}, "invalid_type", "input_file_id"),
    ({"input_file_id": "f" * 2_000}, "string_above_max_length", "input_file_id"),
    ({"metadata": {f"k{n}": "v" for n in range(17)}}, "object_above_max_properties", "metadata"),
    ({"metadata": {"": "v"}}, "invalid_value", "metadata"),
    ({"metadata": {"k" * 65: "v"}}, "string_above_max_length", "metadata"),
    ({"metadata": {"k": "v" * 513}}, "string_above_max_length", "metadata.k"),
    ({"metadata": {"k": 1}}, "invalid_type", "metadata.k"),
    ({"metadata": {"k": None}}, "invalid_type", "metadata.k"),
    ({"metadata": ["k"]}, "invalid_type", "metadata"),
    ({"on_invalid": "ignore"}, "invalid_value", "on_invalid"),
    ({"schedule": "tonight"}, "invalid_value", "schedule"),
    (
        {"metadata": {"offpeak_schedule": "tonight"}},
        "invalid_value", "metadata.offpeak_schedule",
    ),
    ({"output_expires_after": 3_600}, "invalid_type", "output_expires_after"),
    (
        {"output_expires_after": {"anchor": "created_at", "seconds": 60}},
        "invalid_value", "output_expires_after.seconds",
    ),
    ({"priority": "high"}, "unknown_parameter", "priority"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "code", "param"), BAD)
def test_a_bad_batch_is_refused_at_once_and_leaves_nothing(
    client: Client, more: dict[str, Any], code: str, param: str
) -> None:
    error = client.create_batch(client.upload()["id"], **more).error(400, code)
    assert error["param"] == param
    assert error["message"]
    assert client.get("/v1/batches").json["data"] == []
    assert not client.world.workflows.started


def test_sixteen_pairs_of_the_longest_metadata_are_taken(client: Client) -> None:
    metadata = {f"{n:064}": "v" * 512 for n in range(16)}
    assert created(client, metadata=metadata)["metadata"] == metadata


def test_a_responses_batch_needs_a_model_that_serves_it(world: World) -> None:
    served = replace(world.catalogue.models[0], endpoints=("/v1/responses",))
    world.catalogue = replace(world.catalogue, models=(served,))
    assert created(Client(world), endpoint="/v1/responses")["status"] == "validating"


def failed_for_input(client: Client, file_id: str, code: str) -> None:
    batch = client.create_batch(file_id).ok("Batch")
    assert set(batch) == KEYS
    assert (batch["status"], batch["failed_at"]) == ("failed", batch["created_at"])
    (entry,) = batch["errors"]["data"]
    assert (entry["code"], entry["line"], entry["param"]) == (code, None, "input_file_id")
    assert client.get(f"/v1/batches/{batch['id']}").ok("Batch") == batch
    assert not client.world.workflows.started
    kinds = [(kind, told.id) for kind, told in client.world.announcements.announced]
    assert kinds == [("batch.failed", batch["id"])]
    assert client.world.batches.open_count("acct_alice") == 0


def test_a_batch_without_its_file_is_created_and_failed(client: Client) -> None:
    failed_for_input(client, "file-nowhere", "file_not_found")


def test_a_deleted_file_fails_the_batch(client: Client) -> None:
    file = client.upload()
    client.delete(f"/v1/files/{file['id']}")
    failed_for_input(client, file["id"], "file_not_found")


def test_a_foreign_file_fails_the_batch_as_a_missing_one_does(client: Client) -> None:
    failed_for_input(client, client.as_("bob").upload()["id"], "file_not_found")


def test_an_expired_file_fails_the_batch(client: Client) -> None:
    file = File(
        id="file-old", account_id="acct_alice", filename="f", purpose="batch", bytes=1, key="k",
        created_at=0, expires_at=1,
    )  # fmt: skip
    client.world.changes.commit(Add(file))
    failed_for_input(client, file.id, "file_not_found")


def test_a_file_over_a_lowered_limit_fails_the_batch(client: Client) -> None:
    file = client.upload(b"x" * 100)
    account = client.world.accounts.get("acct_alice")
    client.world.changes.commit(Save(replace(account, limits=Limits(file_bytes_max=99))))
    client.world.clock.advance(60)
    failed_for_input(client, file["id"], "file_too_large")


def test_an_output_file_is_no_input(client: Client) -> None:
    file = File(
        id="file-out", account_id="acct_alice", filename="f", purpose="batch_output", bytes=1,
        key="k", created_at=0,
    )  # fmt: skip
    client.world.changes.commit(Add(file))
    error = client.create_batch(file.id).error(400, "invalid_request")
    assert error["param"] == "input_file_id"
    assert client.get("/v1/batches").json["data"] == []


def test_a_file_that_is_still_on_its_way_is_no_input(client: Client) -> None:
    file = client.post("/v1/files", {"filename": "f", "purpose": "batch", "bytes": 3}).json
    client.create_batch(file["id"]).error(400, "file_not_complete")


def test_an_empty_file_has_no_ranges_to_validate(client: Client) -> None:
    batch = client.create_batch(client.upload(b"")["id"]).ok("Batch")
    assert client.world.workflows.started[batch["id"]]["ranges"] == []


def test_a_large_file_is_validated_in_ranges_that_cover_it(client: Client) -> None:
    size = 10_000_000_000
    file = File(
        id="file-big", account_id="acct_alice", filename="f", purpose="batch", bytes=size, key="k",
        created_at=0,
    )  # fmt: skip
    client.world.changes.commit(Add(file))
    batch = client.create_batch(file.id).ok("Batch")
    ranges = client.world.workflows.started[batch["id"]]["ranges"]
    assert [r["index"] for r in ranges] == list(range(len(ranges)))
    assert [r["start"] for r in ranges] == [n * RANGE_BYTES for n in range(len(ranges))]
    assert [r["stop"] for r in ranges][:-1] == [r["start"] for r in ranges][1:]
    assert ranges[-1]["stop"] == size


def test_too_many_open_batches_are_a_quota_error_with_figures(client: Client) -> None:
    client.world.add_account("small", Limits(open_batches_max=2))
    small = client.as_("small")
    file = small.upload()["id"]
    for _ in range(2):
        small.create_batch(file).ok("Batch")
    answer = small.create_batch(file)
    message = answer.error(429, "open_batches_limit")["message"]
    assert "2 batches" in message
    assert "limit is 2" in message
    assert int(answer.headers["retry-after"]) <= 120
    assert len(small.get("/v1/batches").json["data"]) == 2


def test_a_workflow_that_does_not_start_is_left_to_the_sweep(world: World) -> None:
    class Refusing:
        def start(self, name: str, payload: Any) -> None:
            raise Unavailable("Step Functions is throttling.")

        def answer(self, task_token: str, output: Any) -> None:
            raise AssertionError("nothing to answer")

    started, world.workflows = world.workflows, Refusing()  # type: ignore[assignment]
    client = Client(world)
    batch = created(client, headers={"idempotency_key": "k"})
    assert batch["status"] == "validating"
    world.workflows = started
    again = client.create_batch(batch["input_file_id"], headers={"idempotency_key": "k"})
    assert again.ok("Batch") == batch
    assert list(started.started) == [batch["id"]]


def test_a_repeated_create_makes_one_batch(client: Client) -> None:
    file = client.upload()["id"]
    headers = {"idempotency_key": "k"}
    first = client.create_batch(file, metadata={"a": "1", "b": "2"}, headers=headers).ok("Batch")
    second = client.create_batch(file, metadata={"b": "2", "a": "1"}, headers=headers).ok("Batch")
    assert first == second
    client.create_batch(file, headers=headers).error(409, "idempotency_key_reused")
    assert len(client.get("/v1/batches").json["data"]) == 1


# ── show ──


def running(client: Client) -> Batch:
    """100 lines, 4 of them bad: 50 in a run with one shard done and one at work, 46 in another that waits."""
    batch = row(client, created(client, on_invalid="skip")["id"])
    planned = batch.planned(model=None, total=100, invalid_lines=4, now=batch.created_at + 1)
    common: dict[str, Any] = {"batch_id": batch.id, "account_id": batch.account_id}
    first = Run(
        **common, number=0, model="acme/chat-8b", pool="chat", endpoint=batch.endpoint,
        manifest_key="m", manifest_bytes=1, shards=2, lines=50, deadline=batch.expires_at,
        created_at=0, status=RunStatus.READY, cursor=2, open=1,
        counts=Counts(total=20, completed=19, failed=1), usage=Usage(input_tokens=70, cached_tokens=7),
    )  # fmt: skip
    second = replace(
        first, number=1, pool="embed", cursor=0, open=0, counts=Counts(), usage=Usage()
    )
    shard = Shard(
        **common, run=0, number=1, pool="chat", manifest_start=0, manifest_stop=1, first_line=21,
        last_line=50, lines=30, status=ShardStatus.CLAIMED, attempt=1, due_at=9,
        progress=Counts(total=30, completed=5, failed=2),
    )  # fmt: skip
    client.world.changes.commit(Save(planned), Add(first), Add(second), Add(shard))
    return row(client, batch.id)


def test_counts_move_while_a_shard_runs(client: Client) -> None:
    batch = running(client)
    shown = client.get(f"/v1/batches/{batch.id}").ok("Batch")
    assert shown["status"] == "in_progress"
    assert shown["request_counts"] == {"total": 100, "completed": 24, "failed": 7}
    assert shown["usage"]["input_tokens"] == 70
    assert shown["usage"]["input_tokens_details"] == {"cached_tokens": 7}
    shard = client.world.shards.get(batch.id, 0, 1)
    renewed = shard.renewed(lease_until=99, progress=Counts(total=30, completed=20, failed=2))
    client.world.changes.commit(Save(renewed))
    shown = client.get(f"/v1/batches/{batch.id}").ok("Batch")
    assert shown["request_counts"] == {"total": 100, "completed": 39, "failed": 7}


@settings(max_examples=30)
@given(st.integers(0, 200), st.integers(0, 200))
def test_a_lagging_index_never_shows_more_than_the_total(completed: int, failed: int) -> None:
    client = Client(World())
    batch = running(client)
    shard = client.world.shards.get(batch.id, 0, 1)
    stale = replace(shard, progress=Counts(completed=completed, failed=failed))
    client.world.changes.commit(Save(stale))
    counts = client.get(f"/v1/batches/{batch.id}").ok("Batch")["request_counts"]
    assert counts["completed"] + counts["failed"] <= counts["total"] == 100


def test_an_ended_batch_shows_what_its_row_holds(client: Client) -> None:
    batch = running(client)
    now = batch.created_at + 9
    ended = batch.finalizing(now - 1).ended(
        BatchStatus.COMPLETED, counts=Counts(total=100, completed=96, failed=4),
        usage=Usage(input_tokens=5, output_tokens=6, reasoning_tokens=1), output_file_id="file-o",
        error_file_id=None, now=now,
    )  # fmt: skip
    client.world.changes.commit(Save(ended))
    shown = client.get(f"/v1/batches/{batch.id}").ok("Batch")
    assert shown["status"] == "completed"
    assert shown["request_counts"] == {"total": 100, "completed": 96, "failed": 4}
    assert shown["usage"] == {
        "input_tokens": 5, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 6,
        "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 11,
    }  # fmt: skip
    assert (shown["output_file_id"], shown["error_file_id"]) == ("file-o", None)
    assert [shown[f"{s}_at"] for s in ("in_progress", "finalizing", "completed")] == [
        batch.created_at + 1, now - 1, now,
    ]  # fmt: skip


def fail(client: Client, batch_id: str, errors: int) -> None:
    listed = [
        LineError(code="invalid_json_line", message="m" * 300, line=n, param=None)
        for n in range(1, errors + 1)
    ]
    key = f"errors/{batch_id}.json"
    client.world.writer.put(key, encode_batch_errors(listed, errors + 5_000))
    failed = row(client, batch_id).failed(errors_key=key, counts=Counts(), now=5)
    client.world.changes.commit(Save(failed))


def test_a_failed_batch_lists_its_bad_lines_and_counts_the_rest(client: Client) -> None:
    batch_id = created(client)["id"]
    fail(client, batch_id, 1_000)
    answer = client.get(f"/v1/batches/{batch_id}")
    errors = answer.ok("Batch")["errors"]
    assert errors["object"] == "list"
    assert len(errors["data"]) == 1_001
    assert errors["data"][0] == {
        "code": "invalid_json_line", "line": 1, "message": "m" * 300, "param": None,
    }  # fmt: skip
    assert "5,000" in errors["data"][-1]["message"]
    assert len(answer.text) < 6_000_000


# ── list ──


@settings(max_examples=30)
@given(st.integers(0, 15), st.integers(1, 6))
def test_paging_sees_every_batch_once_newest_first(count: int, limit: int) -> None:
    client = Client(World())
    file = client.upload()["id"]
    ids = []
    for _ in range(count):
        client.world.clock.advance(1)
        ids.append(client.create_batch(file).json["id"])
    seen: list[str] = []
    query = {"limit": str(limit)}
    while True:
        page = client.get("/v1/batches", **query).ok("ListBatchesResponse")
        seen += [batch["id"] for batch in page["data"]]
        if not page["has_more"]:
            break
        query = {"limit": str(limit), "after": page["last_id"]}
    assert seen == ids[::-1]


def test_a_page_that_would_not_fit_lambdas_answer_ends_early(client: Client) -> None:
    file = client.upload()["id"]
    ids = []
    for _ in range(20):
        client.world.clock.advance(1)
        ids.append(client.create_batch(file).json["id"])
        fail(client, ids[-1], 1_000)
    first = client.get("/v1/batches", limit="100")
    assert len(first.text) < 6_000_000
    page = first.ok("ListBatchesResponse")
    assert page["has_more"]
    rest = client.get("/v1/batches", limit="100", after=page["last_id"]).ok("ListBatchesResponse")
    assert [batch["id"] for batch in page["data"] + rest["data"]] == ids[::-1]


@pytest.mark.parametrize("limit", ["0", "101", "many"])
def test_a_bad_limit_is_refused(client: Client, limit: str) -> None:
    assert client.get("/v1/batches", limit=limit).error(400, "invalid_value")["param"] == "limit"


# ── cancel ──


def test_a_batch_that_runs_is_cancelling_when_cancelled(client: Client) -> None:
    batch = running(client)
    path = f"/v1/batches/{batch.id}/cancel"
    shown = client.send("POST", path, content_type="application/json").ok("Batch")
    assert shown["status"] == "cancelling"
    assert shown["cancelling_at"] is not None
    assert client.post(path).ok("Batch")["status"] == "cancelling"


def test_cancelling_what_has_ended_is_a_conflict_that_is_not_retried(client: Client) -> None:
    batch_id = client.create_batch("file-nowhere").json["id"]
    answer = client.post(f"/v1/batches/{batch_id}/cancel")
    answer.error(409, "batch_failed")
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("said", "schedule"),
    [
        ({}, "now"),
        ({"schedule": "offpeak"}, "offpeak"),
        ({"metadata": {"offpeak_schedule": "offpeak"}}, "offpeak"),
        ({"schedule": "now", "metadata": {"offpeak_schedule": "offpeak"}}, "now"),
    ],
)
def test_a_batch_says_when_it_may_run(client: Client, said: dict[str, Any], schedule: str) -> None:
    batch = created(client, **said)
    assert batch["schedule"] == schedule
    assert row(client, batch["id"]).schedule == schedule


def test_a_batch_that_says_nothing_goes_by_its_account(client: Client) -> None:
    account = client.world.accounts.get("acct_alice")
    client.world.changes.commit(Save(replace(account, schedule=Schedule.OFFPEAK)))
    client.world.clock.advance(60)  # keys' accounts are remembered so long
    assert created(client)["schedule"] == "offpeak"
    assert created(client, schedule="now")["schedule"] == "now"
