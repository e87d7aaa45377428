"""The whole road with the emulator enforcing the roles that would be deployed: nothing lacks a right it needs."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from offpeak.core.errors import NotFound
from offpeak.core.layout import curve_key, signal_key
from offpeak.core.ports import PART_BYTES_MIN, Save
from offpeak.local.cloud import LocalCloud
from tests.e2e import sdks
from tests.e2e.deployment import (
    call_function,
    connect,
    let_the_window_pass,
    make_caller,
    measured_pools,
)
from tests.e2e.drop_folder import folder_of
from tests.e2e.follow import completed, until, until_ended
from tests.e2e.lines import (
    assert_each_once_in_input_order,
    chat_line,
    chat_lines,
    ids,
    jsonl,
    parse,
    shuffled_questions,
)
from tests.e2e.receiver import receiving
from tests.e2e.receiver import until as wait_until

pytestmark = [pytest.mark.cloud]


@pytest.fixture(scope="module")
def guarded(
    emulator_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalCloud]:
    folder = tmp_path_factory.mktemp("guarded")
    with LocalCloud(folder=folder, auth=True, emulator_python=emulator_python) as cloud:
        cloud.wait_for_workers()
        yield cloud


def test_an_sdk_goes_through_the_whole_api(guarded: LocalCloud, tmp_path: Path) -> None:
    caller = make_caller(guarded, connect(guarded), "sdk")
    report = sdks.run_sdk(sdks.python_3(), caller, tmp_path)
    assert report["seen"][-1]["status"] == "completed"
    assert report["cancelled"]["status"] == "cancelled"
    assert report["failed"]["status"] == "failed"
    assert_each_once_in_input_order(sdks.LARGE, parse(report["output"]))


def test_bad_lines_are_skipped_and_a_batch_expires(guarded: LocalCloud) -> None:
    """What the SDK's road leaves out: refused lines, closing by the sweep, harvesting of checkpoints."""
    aws = connect(guarded)
    caller = make_caller(guarded, aws, "expiry")
    client = caller.sdk()
    lines = [*chat_lines(10), chat_line("endless", "[[sleep=600]]")]
    file = client.files.create(file=("lines.jsonl", b"[]\n" + jsonl(lines)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        extra_body={"on_invalid": "skip"},
    )
    until(client, batch.id, completed(10))
    let_the_window_pass(aws, caller.account_id, batch.id)
    call_function(guarded, "sweep", {})
    ended = until_ended(client, batch.id)
    assert ended.status == "expired"
    assert ended.output_file_id is not None
    assert ended.error_file_id is not None
    output = parse(client.files.content(ended.output_file_id).text)
    errors = parse(client.files.content(ended.error_file_id).text)
    assert ids(output) == ids(lines[:10])
    assert [error["error"]["code"] for error in errors] == ["invalid_json_line", "batch_expired"]


def test_a_shuffled_file_is_reordered(guarded: LocalCloud) -> None:
    aws = connect(guarded)
    client = make_caller(guarded, aws, "reorder").sdk()
    lines = shuffled_questions()
    file = client.files.create(file=("lines.jsonl", jsonl(lines)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    ended = until_ended(client, batch.id, 240.0)
    assert [run.is_reordered for run in aws.runs.of_batch(batch.id)] == [True]
    output = parse(client.files.content(ended.output_file_id or "").text)
    assert_each_once_in_input_order(lines, output)


def test_dropped_files_run_with_results_beside_them(guarded: LocalCloud) -> None:
    """A plain one and a packed one, one that is broken, and one that is put again with other bytes."""
    folder = folder_of(guarded, make_caller(guarded, connect(guarded), "drops"))
    lines = chat_lines(5)
    folder.put("plain.jsonl", b"[]\n" + jsonl(lines), **{"on-invalid": "skip"})
    folder.put("packed.jsonl.gz", gzip.compress(jsonl(lines)))
    folder.put("broken.jsonl", b"[]\n")
    folder.put("torn.jsonl.gz", b"torn")
    for name in ("plain", "packed"):
        assert folder.until_final(name)["status"] == "completed"
        assert_each_once_in_input_order(lines, folder.results(f"{name}.output.jsonl"))
    assert len(folder.results("plain.errors.jsonl")) == 1
    for name in ("broken", "torn"):
        assert folder.until_final(name)["status"] == "failed"
    call_function(guarded, "show-drops", {})
    before = folder.until_final("plain")
    folder.put("plain.jsonl", jsonl(lines[:2]))
    folder.until("plain", lambda status: status["final"] and status["input"] != before["input"])
    assert_each_once_in_input_order(lines[:2], folder.results("plain.output.jsonl"))
    assert folder.read("plain.errors.jsonl") is None


def test_large_results_are_joined_and_a_file_goes_with_its_bytes(guarded: LocalCloud) -> None:
    """What small batches leave out: results of several parts, and a file whose time is over."""
    aws = connect(guarded)
    caller = make_caller(guarded, aws, "large")
    client = caller.sdk()
    lines = chat_lines(60)
    for line in lines:
        line["body"]["messages"][0]["content"] += " long" * 100_000
    content = jsonl(lines)
    upload = client.uploads.upload_file_chunked(
        file=content,
        filename="large.jsonl",
        bytes=len(content),
        mime_type="application/jsonl",
        purpose="batch",
        part_size=16 << 20,
    )
    assert upload.file is not None
    batch = client.batches.create(
        input_file_id=upload.file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    ended = until_ended(client, batch.id)
    assert (ended.status, ended.error_file_id) == ("completed", None)
    assert ended.output_file_id is not None
    output = aws.files.get(caller.account_id, ended.output_file_id)
    assert output.bytes > 2 * PART_BYTES_MIN
    assert ids(parse(client.files.content(output.id).text)) == ids(lines)

    aws.changes.commit(Save(replace(output, expires_at=int(time.time()) - 1)))
    call_function(guarded, "expire-files", {})
    with pytest.raises(NotFound):
        aws.reader.head(output.key)
    with pytest.raises(NotFound):
        aws.files.get(caller.account_id, output.id)


def test_a_pool_is_measured_by_the_function_that_may_publish(guarded: LocalCloud) -> None:
    call_function(guarded, "measure-pools", {})
    assert "tiny-chat" in measured_pools(guarded)


def test_signals_are_kept_by_the_function_that_may_write_them(guarded: LocalCloud) -> None:
    aws = connect(guarded)
    steps = "".join(f"2026-11-21T{hour:02}:00Z,{hour}\n" for hour in range(24))
    aws.writer.put(curve_key(aws.region, "average"), f"start,gCO2eq/kWh\n{steps}".encode())
    call_function(guarded, "fetch-signals", {})
    kept = [info.key for info in aws.reader.list(f"signals/{aws.region}/")]
    assert signal_key(aws.region, "average", "curve") in kept
    assert any("/hours/" in key for key in kept)


def test_an_event_reaches_its_endpoint(guarded: LocalCloud) -> None:
    """From the announcement to the receiver, and back at a retry that the minute asks for."""
    aws = connect(guarded)
    caller = make_caller(guarded, aws, "webhooks")
    client = caller.sdk()
    with receiving() as receiver:
        receiver.statuses["/hook"] = [500, 410]
        made = client.webhooks.create(
            name="hook", url=receiver.url("/hook"), event_types=["batch.failed"]
        )
        client.batches.create(
            input_file_id="file-none", endpoint="/v1/chat/completions", completion_window="24h"
        )
        receiver.wait_for("/hook")
        call_function(guarded, "requeue-deliveries", {})
        receiver.wait_for("/hook", 2)
        wait_until(
            lambda: not aws.webhooks.get(caller.account_id, made.id).is_enabled, "410 disables it"
        )


def test_requests_are_sent_grouped_cancelled_and_read(guarded: LocalCloud) -> None:
    """A large body's road through S3 included, and the sweep's."""
    caller = make_caller(guarded, connect(guarded), "requests")

    def send(text: str) -> str:
        body = {"model": "offpeak/tiny-chat", "messages": [{"role": "user", "content": text}]}
        made = caller.call("POST", "/requests", json={"request_body": body})
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    sent = [send("small"), send("large " * 50_000), send("[[sleep=600]]")]
    group = caller.call("POST", "/batches", json={"requests_ids": sent[:2]}).json()
    grown = caller.call("POST", f"/batches/{group['id']}/requests", json={"requests_ids": sent[2:]})
    assert grown.status_code == 200, grown.text
    assert caller.call("POST", f"/batches/{sent[2]}/cancel").json()["status"] == "cancelled"
    call_function(guarded, "sweep-requests", {})
    status = f"/batches/{group['id']}/status"
    wait_until(
        lambda: caller.call("GET", status).json()["status"] == "completed", "the group is completed"
    )
    lines = parse(caller.call("GET", f"/batches/{group['id']}/results").text)
    assert [line["status"] for line in lines] == ["completed", "completed", "cancelled"]

    def used() -> int:
        buckets = caller.call("GET", "/usage").json()["data"]
        return sum(result["num_model_requests"] for each in buckets for result in each["results"])

    wait_until(lambda: used() == 2, "what succeeded is settled")
    other = caller.call("POST", "/batches", json={"requests_ids": [send("[[sleep=600]]")]}).json()
    caller.call("POST", f"/batches/{other['id']}/cancel")
    results = f"/batches/{other['id']}/results"
    wait_until(lambda: caller.call("GET", results).status_code == 200, "it is cancelled")
