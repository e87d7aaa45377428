"""The drop folder: objects are put into S3, nobody calls the API, and results lie beside them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from offpeak.local.cloud import LocalCloud
from tests.e2e.caller import Caller
from tests.e2e.command import offpeak
from tests.e2e.drop_folder import Folder, folder_of
from tests.e2e.lines import MODEL, assert_each_once_in_input_order, chat_lines, jsonl

pytestmark = [pytest.mark.cloud]


@pytest.fixture
def folder(cloud: LocalCloud, caller: Caller) -> Folder:
    return folder_of(cloud, caller)


def batches(caller: Caller) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = caller.call("GET", "/batches?limit=100").json()["data"]
    return found


def test_a_dropped_file_is_run_and_its_results_lie_beside_it(
    folder: Folder, caller: Caller
) -> None:
    lines = chat_lines(12)
    etag = folder.put("good.jsonl", jsonl(lines))
    status = folder.until_final("good")
    assert (status["status"], status["progress"], status["error"]) == ("completed", 1.0, None)
    assert status["input"] == {"key": folder.key("good.jsonl"), "etag": etag}
    assert (status["output"], status["errors"]) == (folder.key("good.output.jsonl"), None)
    assert_each_once_in_input_order(lines, folder.results("good.output.jsonl"))
    assert folder.names() == {"good.jsonl", "good.output.jsonl", "good.status.json"}

    [batch] = batches(caller)
    assert status["batch"] == batch
    client = caller.sdk()
    assert client.files.content(batch["output_file_id"]).content == folder.read("good.output.jsonl")
    assert client.files.content(batch["input_file_id"]).content == jsonl(lines)
    # Who deletes the file by the API doesn't delete the producer's object.
    client.files.delete(batch["input_file_id"])
    assert folder.read("good.jsonl") == jsonl(lines)


def test_a_broken_file_says_which_lines_and_why(folder: Folder, caller: Caller) -> None:
    good = jsonl(chat_lines(2))
    folder.put("broken.jsonl", good + b'{"custom_id": "x"\n' + jsonl(chat_lines(1, "other")) + good)
    status = folder.until_final("broken")
    assert status["status"] == "failed"
    assert "line 3" in status["message"]
    errors = status["batch"]["errors"]["data"]
    assert [(error["line"], error["code"]) for error in errors] == [
        (3, "invalid_json_line"), (5, "duplicate_custom_id"), (6, "duplicate_custom_id"),
    ]  # fmt: skip
    assert folder.names() == {"broken.jsonl", "broken.status.json"}
    assert [batch["status"] for batch in batches(caller)] == ["failed"]


def test_the_same_object_twice_is_one_batch_and_other_bytes_are_another(
    folder: Folder, caller: Caller
) -> None:
    first = jsonl(chat_lines(3, "first"))
    folder.put("twice.jsonl", first)
    folder.put("twice.jsonl", first)
    ended = folder.until_final("twice")
    folder.put("twice.jsonl", first)  # once more, when all is done
    second = chat_lines(4, "second")
    folder.put("twice.jsonl", jsonl(second))
    status = folder.until("twice", lambda s: s["final"] and s["input"] != ended["input"])
    assert status["batch"]["id"] != ended["batch"]["id"]
    assert_each_once_in_input_order(second, folder.results("twice.output.jsonl"))
    # Its event came after that of the first bytes' third time: they have started nothing since.
    assert [batch["id"] for batch in batches(caller)] == [
        status["batch"]["id"], ended["batch"]["id"],
    ]  # fmt: skip


def test_a_packed_file_is_unpacked(folder: Folder, caller: Caller) -> None:
    lines = chat_lines(10)
    packed = gzip.compress(jsonl(lines[:4])) + gzip.compress(jsonl(lines[4:]))
    folder.put("packed.jsonl.gz", packed)
    status = folder.until_final("packed")
    assert status["status"] == "completed"
    assert_each_once_in_input_order(lines, folder.results("packed.output.jsonl"))
    [batch] = batches(caller)
    assert caller.sdk().files.content(batch["input_file_id"]).content == jsonl(lines)
    folder.put("torn.jsonl.gz", packed[:-9])
    torn = folder.until_final("torn")
    assert (torn["status"], torn["batch"]["errors"]["data"][0]["code"]) == (
        "failed", "invalid_gzip",
    )  # fmt: skip


def test_options_ride_in_a_sidecar_or_in_the_objects_metadata(
    folder: Folder, caller: Caller
) -> None:
    lines = chat_lines(3)
    options = {"completion_window": "6h", "on_invalid": "skip", "metadata": {"team": "search"}}
    folder.put("sidecar.batch.json", json.dumps(options).encode())
    folder.put("sidecar.jsonl", b"no JSON\n" + jsonl(lines), **{"completion-window": "2h"})
    status = folder.until_final("sidecar")
    batch = status["batch"]
    assert (batch["status"], batch["completion_window"]) == ("completed", "6h")
    assert batch["metadata"] == {"team": "search"}
    assert batch["request_counts"] == {"total": 4, "completed": 3, "failed": 1}
    [error] = folder.results("sidecar.errors.jsonl")
    assert error["error"]["code"] == "invalid_json_line"
    assert_each_once_in_input_order(lines, folder.results("sidecar.output.jsonl"))

    completion = {
        "custom_id": "c", "method": "POST", "url": "/v1/completions",
        "body": {"model": MODEL, "prompt": "Hi.", "max_tokens": 4},
    }  # fmt: skip
    folder.put(
        "metadata.jsonl", jsonl([completion]), **{"completion-window": "2h", "metadata-team": "ads"}
    )
    batch = folder.until_final("metadata")["batch"]
    assert (batch["endpoint"], batch["completion_window"]) == ("/v1/completions", "2h")
    assert (batch["status"], batch["metadata"]) == ("completed", {"team": "ads"})


def test_what_can_be_no_batch_says_why_and_starts_none(folder: Folder, caller: Caller) -> None:
    folder.put("wrong.batch.json", b'{"completion_window": "6h", "windw": 1}')
    folder.put("wrong.jsonl", jsonl(chat_lines(1)))
    wrong = folder.until_final("wrong")
    assert (wrong["status"], wrong["batch"]) == ("refused", None)
    assert wrong["error"]["param"] == "windw"
    assert "sidecar" in wrong["message"]
    # Put right, and put again: the same bytes start the batch that they didn't.
    folder.put("wrong.batch.json", b'{"completion_window": "6h"}')
    folder.put("wrong.jsonl", jsonl(chat_lines(1)))
    assert folder.until_final("wrong")["status"] in ("refused", "completed")
    right = folder.until("wrong", lambda status: status["status"] == "completed")
    assert right["batch"]["completion_window"] == "6h"

    folder.put("empty.jsonl", b"")
    empty = folder.until_final("empty")
    assert empty["batch"]["errors"]["data"][0]["code"] == "empty_file"

    stranger = Folder(folder.s3, folder.bucket, f"acct_no_{caller.account_id[-8:]}")
    stranger.put("lost.jsonl", jsonl(chat_lines(1)))
    lost = stranger.until_final("lost")
    assert (lost["status"], lost["error"]["code"]) == ("refused", "unknown_account")
    assert len(batches(caller)) == 2


def test_the_command_line_drops_a_file_and_names_its_results(
    cloud: LocalCloud, caller: Caller, folder: Folder, tmp_path: Path
) -> None:
    lines = chat_lines(3)
    path = tmp_path / "mine.jsonl"
    path.write_bytes(jsonl(lines))
    done = offpeak(
        "drop", path, "--account", caller.account_id, "--option", "completion-window=3h", "--watch",
        "--stage", "local", environment=cloud.environment, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"s3://{folder.bucket}/{folder.key('mine.output.jsonl')}\n"
    assert "completed: 3 of 3 requests are done." in done.stderr
    assert folder.until_final("mine")["batch"]["completion_window"] == "3h"
    assert_each_once_in_input_order(lines, folder.results("mine.output.jsonl"))

    wrong = offpeak(
        "drop", path, "--account", "nobody", "--stage", "local", environment=cloud.environment,
        cwd=tmp_path,
    )  # fmt: skip
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "no account 'nobody'" in wrong.stderr
