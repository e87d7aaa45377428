"""From an object in the drop folder to its batch: what starts one, what is refused and why, and twice is once."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest

from offpeak.core.batch import BatchStatus
from offpeak.core.ports import Save
from offpeak.steps.delete_file import delete_file
from offpeak.steps.expire_files import expire_files
from offpeak.steps.fail_batch import fail_batch
from offpeak.steps.ingest_drop import Ingested
from offpeak.steps.validate_range import validate_range
from tests.steps.drop_folder import KEY, LINES, DropFolder
from tests.steps.simulation import ENDPOINT
from tests.steps.test_requests_at_once import at_once


def test_an_object_becomes_a_batch_over_its_own_bytes() -> None:
    folder = DropFolder()
    assert folder.drop() is Ingested.STARTED
    batch = folder.batch
    assert (batch.input_key, batch.input_bytes) == (KEY, len(LINES))
    assert batch.input_etag == folder.reader.head(KEY).etag
    assert (batch.endpoint, batch.completion_window) == (ENDPOINT, "24h")
    assert folder.workflows.started[batch.id]["dropped"] is True
    file = folder.files.get("acct_1", batch.input_file_id)
    assert (file.key, file.filename, file.purpose) == (KEY, "a.jsonl", "batch")
    assert [info.key for info in folder.reader.list("")] == [KEY, "drop/acct_1/a.status.json"]
    status = folder.status()
    assert (status["status"], status["final"]) == ("validating", False)
    assert status["batch"]["id"] == batch.id


def test_the_same_event_again_starts_nothing_and_finishes_what_was_left_undone() -> None:
    folder = DropFolder()
    folder.drop()
    folder.workflows.started.clear()
    folder.writer.delete("drop/acct_1/a.status.json")
    assert folder.event() is Ingested.KNOWN
    assert list(folder.workflows.started) == [folder.batch.id]
    assert folder.status()["batch"]["id"] == folder.batch.id


def test_many_events_at_once_make_one_batch() -> None:
    folder = DropFolder()
    folder.writer.put(KEY, LINES)
    at_once(folder.event)
    assert folder.status()["batch"]["id"] == folder.batch.id
    assert len(folder.files.list(
        "acct_1", limit=10, after=None, purpose=None, ascending=True
    ).rows) == 1  # fmt: skip


def test_a_late_event_finds_the_bytes_that_are_there_now() -> None:
    folder = DropFolder()
    folder.writer.put(KEY, b"older\n")
    folder.drop()
    assert folder.event() is Ingested.KNOWN
    assert folder.batch.input_bytes == len(LINES)


def test_other_bytes_under_the_same_name_are_another_batch() -> None:
    folder = DropFolder()
    folder.drop()
    folder.clock.advance(1)
    assert folder.drop(LINES + LINES.replace(b'"c', b'"d')) is Ingested.STARTED
    newer, older = folder.found
    assert older.input_etag != newer.input_etag
    assert folder.status()["batch"]["id"] == newer.id


@pytest.mark.parametrize(
    "key",
    ["drop/acct_1/", "drop/acct_1/a.txt", "drop/acct_1/a.output.jsonl", "files/acct_1/a.jsonl"],
)
def test_what_is_no_input_is_passed_over(key: str) -> None:
    folder = DropFolder()
    assert folder.drop(LINES, key) is Ingested.IGNORED
    assert [info.key for info in folder.reader.list("")] == [key]


def test_an_object_that_is_gone_again_is_passed_over() -> None:
    assert DropFolder().event() is Ingested.IGNORED


def test_an_unknown_account_is_told_so_beside_the_object() -> None:
    folder = DropFolder()
    assert folder.drop(LINES, "drop/acct_2/a.jsonl") is Ingested.REFUSED
    status = folder.status("drop/acct_2/a")
    assert (status["status"], status["error"]["code"]) == ("refused", "unknown_account")
    assert (status["final"], status["batch"]) == (True, None)


@pytest.mark.parametrize(
    ("metadata", "code", "param"),
    [
        ({"completion-window": "9y"}, "invalid_completion_window", "completion_window"),
        ({"endpoint": "/v1/nothing"}, "invalid_endpoint", "endpoint"),
        ({"on-invalid": "shrug"}, "invalid_value", "on_invalid"),
        ({"metadata": "no JSON"}, "invalid_type", "metadata"),
        ({"output-expires-after": "soon"}, "invalid_type", "output_expires_after.seconds"),
    ],
)
def test_a_wrong_option_is_named_and_starts_no_batch(
    metadata: dict[str, str], code: str, param: str
) -> None:
    folder = DropFolder()
    assert folder.drop(metadata=metadata) is Ingested.REFUSED
    error = folder.status()["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert folder.found == []
    # Put right and put again, the same bytes run.
    assert folder.drop() is Ingested.STARTED
    assert folder.status()["status"] == "validating"


@pytest.mark.parametrize(
    ("sidecar", "code"),
    [
        (b"{", "invalid_json"),
        (b"[]", "invalid_json"),
        (b'{"windw": "1h"}', "unknown_parameter"),
        (b'{"completion_window": 3}', "invalid_type"),
        (b" " * 70_000, "request_too_large"),
    ],
)
def test_a_wrong_sidecar_is_told_of(sidecar: bytes, code: str) -> None:
    folder = DropFolder()
    folder.writer.put("drop/acct_1/a.batch.json", sidecar)
    assert folder.drop() is Ingested.REFUSED
    assert folder.status()["error"]["code"] == code


def test_the_sidecar_goes_over_the_metadata_and_tools_own_metadata_is_nobodys_business() -> None:
    folder = DropFolder()
    sidecar = {"completion_window": "6h", "metadata": {"a": "1"}}
    folder.writer.put("drop/acct_1/a.batch.json", json.dumps(sidecar).encode())
    folder.drop(
        metadata={"completion-window": "2h", "on_invalid": "skip", "mtime": "17", "metadata-b": "2"}
    )
    batch = folder.batch
    assert (batch.completion_window, batch.on_invalid, batch.metadata) == ("6h", "skip", {"a": "1"})


def test_a_sidecar_that_breaks_later_does_not_touch_what_runs() -> None:
    folder = DropFolder()
    folder.drop()
    folder.writer.put("drop/acct_1/a.batch.json", b"{")
    folder.event()
    assert folder.status()["status"] == "validating"


@pytest.mark.parametrize("first", [b"\xef\xbb\xbf", b"\n \n", b""])
def test_the_endpoint_is_that_of_the_first_line(first: bytes) -> None:
    folder = DropFolder()
    folder.drop(first + LINES)
    assert folder.batch.endpoint == ENDPOINT


def test_a_file_over_the_accounts_limit_is_refused() -> None:
    folder = DropFolder(file_bytes_max=10)
    assert folder.drop() is Ingested.REFUSED
    assert folder.status()["error"]["code"] == "file_too_large"


def test_an_account_with_too_many_batches_waits_and_is_not_forgotten() -> None:
    folder = DropFolder(open_batches_max=1)
    folder.drop()
    other = "drop/acct_1/b.jsonl"
    assert folder.drop(LINES, other) is Ingested.WAITING
    assert folder.drops.put_backs == [other]
    assert folder.status("drop/acct_1/b")["status"] == "waiting"
    folder.complete(folder.batch)
    assert folder.event(other) is Ingested.STARTED
    assert folder.status("drop/acct_1/b")["status"] == "validating"


def test_a_packed_object_is_unpacked_beside_the_other_files() -> None:
    folder = DropFolder()
    key = KEY + ".gz"
    packed = gzip.compress(LINES[:100]) + gzip.compress(LINES[100:])
    assert folder.drop(packed, key) is Ingested.STARTED
    batch = folder.batch
    assert batch.input_key.startswith("files/acct_1/file-")
    assert folder.reader.read(batch.input_key) == LINES
    assert batch.endpoint == ENDPOINT
    assert folder.files.get("acct_1", batch.input_file_id).filename == "a.jsonl"
    assert folder.event(key) is Ingested.KNOWN


@pytest.mark.parametrize(
    ("packed", "code"),
    [
        (b"not gzip at all", "invalid_gzip"),
        (gzip.compress(LINES)[:-5], "invalid_gzip"),
        (gzip.compress(LINES) + b"rest", "invalid_gzip"),
        (b"", "invalid_gzip"),
        (gzip.compress(b"x" * 2_001), "file_too_large"),
    ],
    ids=["plain", "torn", "garbage", "empty", "bomb"],
)
def test_a_file_that_cannot_be_unpacked_is_a_failed_batch(packed: bytes, code: str) -> None:
    folder = DropFolder(file_bytes_max=2_000)
    folder.drop(packed, KEY + ".gz")
    assert folder.batch.status is BatchStatus.FAILED
    status = folder.status()
    assert (status["status"], status["final"]) == ("failed", True)
    assert [error["code"] for error in status["batch"]["errors"]["data"]] == [code]
    assert folder.multipart.open_ids == ()
    assert not folder.is_there("files/acct_1/" + folder.batch.input_file_id)


def test_a_replaced_input_fails_with_its_reason_and_mixes_no_bytes() -> None:
    folder = DropFolder()
    folder.drop()
    batch = folder.batch
    folder.writer.put(KEY, LINES.replace(b'"c', b'"d'))
    with pytest.raises(Exception, match="replaced"):
        folder.call(validate_range, "acct_1", batch.id, 0, 0, len(LINES))
    folder.call(fail_batch, "acct_1", batch.id)
    errors = json.loads(folder.reader.read(folder.batch.errors_key or ""))
    assert [error["code"] for error in errors["data"]] == ["input_replaced"]
    assert folder.deliver(batch) is False  # the status is that of the new bytes
    assert folder.event() is Ingested.STARTED


def test_somebody_elses_status_file_is_written_over() -> None:
    folder = DropFolder()
    folder.writer.put("drop/acct_1/a.status.json", b"mine!")
    folder.drop()
    assert folder.status()["status"] == "validating"


def test_a_producers_object_is_never_deleted() -> None:
    folder = DropFolder()
    folder.drop()
    batch = folder.batch
    file = folder.files.get("acct_1", batch.input_file_id)
    folder.complete(batch)
    folder.changes.commit(Save(replace(file, expires_at=1)))
    folder.call(expire_files)
    assert folder.is_there(KEY)
    folder.clock.advance(1)
    folder.drop(LINES + b"\n")
    folder.call(delete_file, "acct_1", folder.found[0].input_file_id)
    assert folder.is_there(KEY)
