"""`/together/v1`: Together's files, its presigned PUT and its parts, and its batches."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from offpeak.core.account import Limits
from offpeak.core.errors import StateConflict
from offpeak.core.layout import file_key
from offpeak.steps.begin_put import PENDING_SECONDS
from offpeak.steps.complete_put import COUNTED_BYTES_MAX
from offpeak.steps.expire_files import expire_files
from offpeak.steps.fail_batch import fail_batch
from offpeak.steps.validate_range import validate_range
from tests.lambdas.api.client import Answer, Client, Field, World

FILES, BATCHES = "/together/v1/files", "/together/v1/batches"
FIELDS = {"purpose": "batch-api", "file_name": "batch_input.jsonl", "file_type": "jsonl"}
MIB = 1 << 20
LINES = b'{"custom_id": "a", "body": {"model": "chat"}}\n'


def _begin(client: Client, **changes: str) -> Answer:
    """As SDK 1.x sends it."""
    body = urlencode({**FIELDS, **changes}).encode()
    headers = {"content_type": "application/x-www-form-urlencoded"}
    return client.send("POST", FILES, body, **headers)


def _upload(client: Client, content: bytes = b"{}\n") -> Any:
    begun = _begin(client)
    assert begun.status == 302, begun.text
    client.world.presigner.put(begun.headers["location"], content)
    done = client.post(f"{FILES}/{begun.headers['x-together-file-id']}/preprocess")
    assert done.status == 200, done.text
    return done.json


def test_a_file_is_put_where_the_redirect_says_and_processed(client: Client) -> None:
    file = _upload(client, b'{"custom_id": "a"}\n{"custom_id": "b"}')
    assert file["filename"] == "batch_input.jsonl"
    assert (file["bytes"], file["LineCount"], file["Processed"]) == (37, 2, True)
    assert client.get(f"{FILES}/{file['id']}").json == file
    assert client.get(FILES).json["data"] == [file]


def test_a_later_sdk_announces_it_in_a_form(client: Client) -> None:
    fields = {**FIELDS, "checksum": "0" * 64}
    begun = client.post_form(FILES, *(Field(k, v.encode()) for k, v in fields.items()))
    assert begun.status == 302
    assert begun.headers["location"].startswith("memory://")
    assert begun.headers["x-together-file-id"].startswith("file-")


def test_it_is_the_same_file_in_openais_accent(client: Client) -> None:
    file = _upload(client)
    shown = client.get(f"/v1/files/{file['id']}").ok("OpenAIFile")
    assert (shown["purpose"], shown["status"]) == ("batch", "processed")
    assert shown["expires_at"] == shown["created_at"] + 30 * 86_400
    assert client.get(FILES).json["data"][0]["id"] == client.get("/v1/files").json["last_id"]


def test_an_openai_file_is_there_for_together(client: Client) -> None:
    file = client.upload()
    shown = client.get(f"{FILES}/{file['id']}").json
    assert (shown["purpose"], shown["Processed"], shown["LineCount"]) == ("batch-api", True, None)


def test_processing_again_answers_the_same(client: Client) -> None:
    file = _upload(client)
    assert client.post(f"{FILES}/{file['id']}/preprocess").json == file


def test_a_file_that_nobody_put_cannot_be_processed(client: Client) -> None:
    file_id = _begin(client).headers["x-together-file-id"]
    client.post(f"{FILES}/{file_id}/preprocess").error(400, "file_not_complete")
    client.get(f"{FILES}/{file_id}/content").error(409, "file_not_complete")
    assert client.get(f"{FILES}/{file_id}").json["Processed"] is False


def test_a_file_that_nobody_processed_goes_after_a_day(client: Client, world: World) -> None:
    begun = _begin(client)
    world.presigner.put(begun.headers["location"], b"{}")
    world.clock.advance(PENDING_SECONDS + 1)
    ports = {
        name: getattr(world, name)
        for name in ("clock", "writer", "multipart", "changes", "files", "batches")
    }
    assert expire_files(**ports) == 1
    assert list(world.reader.list("files/")) == []
    assert client.get(FILES).json["data"] == []


def test_more_than_the_account_may_have_is_dropped(world: World) -> None:
    world.add_account("small", Limits(file_bytes_max=10))
    client = Client(world, "sk-small")
    begun = _begin(client)
    file_id = begun.headers["x-together-file-id"]
    world.presigner.put(begun.headers["location"], b"x" * 11)
    error = client.post(f"{FILES}/{file_id}/preprocess").error(413, "file_too_large")
    assert "11 bytes" in error["message"]
    assert "10 bytes" in error["message"]
    client.get(f"{FILES}/{file_id}").error(404, "not_found")
    assert list(world.reader.list(file_key("acct_small", ""))) == []


def test_lines_are_counted_only_where_it_is_cheap(client: Client) -> None:
    assert _upload(client, b"\n" * (COUNTED_BYTES_MAX + 1))["LineCount"] is None
    assert _upload(client, b"")["LineCount"] == 0


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"purpose": "fine-tune"}, "invalid_purpose", "purpose"),
        ({"file_type": "parquet"}, "invalid_file_type", "file_type"),
        ({"file_name": "x" * 256}, "string_above_max_length", "file_name"),
        ({"color": "red"}, "unknown_parameter", "color"),
    ],
)
def test_what_is_no_batch_input_is_refused(
    client: Client, changes: dict[str, str], code: str, param: str
) -> None:
    assert _begin(client, **changes).error(400, code)["param"] == param


def test_a_body_that_is_no_form_is_refused(client: Client) -> None:
    client.post(FILES, FIELDS).error(400, "invalid_multipart")
    urlencoded = {"content_type": "application/x-www-form-urlencoded"}
    client.send("POST", FILES, b"\xff=1", **urlencoded).error(400, "invalid_form")
    client.send("POST", FILES, b"", **urlencoded).error(400, "missing_required_parameter")


def _initiate(client: Client, **changes: Any) -> Answer:
    body = {**FIELDS, "file_size": 11 * MIB, "num_parts": 2, **changes}
    return client.post(f"{FILES}/multipart/initiate", body)


def _put_parts(client: Client, upload: Any, content: bytes) -> list[dict[str, Any]]:
    size = -(-len(content) // len(upload["parts"]))
    done = []
    for part in upload["parts"]:
        start = (part["PartNumber"] - 1) * size
        etag = client.world.presigner.put(part["URL"], content[start : start + size])
        done.append({"part_number": part["PartNumber"], "etag": etag})
    return done


def test_a_large_file_comes_in_parts(client: Client) -> None:
    content = bytes(range(256)) * 4_096 * 11
    upload = _initiate(client).json
    assert [part["PartNumber"] for part in upload["parts"]] == [1, 2]
    body = {"upload_id": upload["upload_id"], "file_id": upload["file_id"]}
    parts = _put_parts(client, upload, content)
    done = client.post(f"{FILES}/multipart/complete", {**body, "parts": parts})
    file = done.json["file"]
    assert (file["id"], file["bytes"], file["Processed"]) == (upload["file_id"], len(content), True)
    again = client.post(f"{FILES}/multipart/complete", {**body, "parts": parts})
    assert again.json["file"] == file
    client.post(f"{FILES}/multipart/abort", body).error(409, "file_not_pending")
    url = client.get(f"{FILES}/{file['id']}/content").headers["location"]
    assert client.world.presigner.get(url) == content


def test_a_large_file_that_is_given_up_is_gone(client: Client, world: World) -> None:
    upload = _initiate(client).json
    body = {"upload_id": upload["upload_id"], "file_id": upload["file_id"]}
    wrong = {**body, "upload_id": "multipart-0"}
    client.post(f"{FILES}/multipart/abort", wrong).error(404, "not_found")
    client.as_("bob").post(f"{FILES}/multipart/abort", body).error(404, "not_found")
    assert client.post(f"{FILES}/multipart/abort", body).json["aborted"] is True
    assert world.multipart.open_ids == ()
    client.get(f"{FILES}/{upload['file_id']}").error(404, "not_found")


def test_parts_of_another_upload_are_refused(client: Client) -> None:
    one, other = _initiate(client).json, _initiate(client).json
    body = {
        "upload_id": other["upload_id"], "file_id": one["file_id"],
        "parts": [{"part_number": 1, "etag": "e"}],
    }  # fmt: skip
    client.post(f"{FILES}/multipart/complete", body).error(404, "not_found")


@pytest.mark.parametrize(
    "changes", [{"num_parts": 11}, {"file_size": 11 << 30}, {"num_parts": 251}, {"num_parts": 0}]
)
def test_parts_that_s3_would_not_take_are_refused(client: Client, changes: dict[str, int]) -> None:
    answer = _initiate(client, **changes)
    assert answer.status in (400, 413)
    assert answer.json["error"]["param"] in ("num_parts", "bytes")


def _create(client: Client, file_id: str, **more: Any) -> Any:
    answer = client.post(BATCHES, {"input_file_id": file_id, **more})
    assert answer.status == 200, answer.text
    return answer.json


def test_a_batch_is_a_job_that_validates(client: Client, world: World) -> None:
    file = _upload(client)
    created = _create(client, file["id"])
    job = created["job"]
    assert created["warning"] == ""
    assert job["status"] == "VALIDATING"
    assert (job["endpoint"], job["progress"]) == ("/v1/chat/completions", 0.0)
    assert (job["file_size_bytes"], job["user_id"]) == (3, "acct_alice")
    assert job["created_at"].endswith("Z")
    assert client.get(f"{BATCHES}/{job['id']}").json == job
    assert client.get(BATCHES).json == [job]
    assert world.batches.get("acct_alice", job["id"]).accent == "together"


def test_what_has_no_effect_is_named_in_a_warning(client: Client) -> None:
    created = _create(client, _upload(client)["id"], priority=3, model_id="chat")
    assert "'priority'" in created["warning"]
    assert "'model_id'" in created["warning"]


def test_a_batch_without_its_file_failed_and_says_why(client: Client) -> None:
    job = _create(client, "file-none")["job"]
    assert job["status"] == "FAILED"
    assert job["error"].startswith("There is no file file-none.")


def test_a_cancelled_batch_is_in_progress_until_it_has_ended(client: Client) -> None:
    job = _create(client, _upload(client)["id"])["job"]
    cancelled = client.post(f"{BATCHES}/{job['id']}/cancel").json
    assert (cancelled["id"], cancelled["status"]) == (job["id"], "IN_PROGRESS")


def test_an_ended_batch_cannot_be_cancelled(client: Client) -> None:
    job = _create(client, "file-none")["job"]
    answer = client.post(f"{BATCHES}/{job['id']}/cancel")
    answer.error(409, "batch_failed")
    assert answer.headers["x-should-retry"] == "false"


def test_the_list_is_a_bare_array_of_the_newest(client: Client, world: World) -> None:
    made = []
    for _ in range(3):
        world.clock.advance(1)
        made.append(_create(client, "file-none")["job"]["id"])
    assert [job["id"] for job in client.get(BATCHES).json] == made[::-1]
    assert [job["id"] for job in client.get(BATCHES, limit="1", after=made[1]).json] == made[:1]


def test_the_same_key_creates_once_and_refuses_another_request(client: Client) -> None:
    headers = {"idempotency_key": "once"}
    first, second = (
        client.post(BATCHES, {"input_file_id": "file-none"}, **headers).json for _ in range(2)
    )
    assert first == second
    other = client.post(BATCHES, {"input_file_id": "file-other"}, **headers)
    other.error(409, "idempotency_key_reused")
    uploads = [client.send("POST", FILES, urlencode(FIELDS).encode(), **headers,
                           content_type="application/x-www-form-urlencoded") for _ in range(2)]  # fmt: skip
    assert uploads[0].headers["x-together-file-id"] == uploads[1].headers["x-together-file-id"]


def test_foreign_things_are_unknown(client: Client) -> None:
    file, bob = _upload(client), client.as_("bob")
    job = _create(client, file["id"])["job"]
    for method, path in (
        ("GET", f"{FILES}/{file['id']}"),
        ("DELETE", f"{FILES}/{file['id']}"),
        ("GET", f"{FILES}/{file['id']}/content"),
        ("POST", f"{FILES}/{file['id']}/preprocess"),
        ("GET", f"{BATCHES}/{job['id']}"),
        ("POST", f"{BATCHES}/{job['id']}/cancel"),
    ):
        bob.send(method, path).error(404, "not_found")
    assert bob.get(FILES).json["data"] == bob.get(BATCHES).json == []


def test_a_deleted_file_is_gone(client: Client) -> None:
    file = _upload(client)
    assert client.delete(f"{FILES}/{file['id']}").json["deleted"] is True
    client.get(f"{FILES}/{file['id']}").error(404, "not_found")


def test_bytes_that_are_put_after_it_was_processed_are_never_taken_for_the_file(
    client: Client, world: World
) -> None:
    begun = _begin(client)
    world.presigner.put(begun.headers["location"], LINES)
    file_id = begun.headers["x-together-file-id"]
    client.post(f"{FILES}/{file_id}/preprocess")
    world.presigner.put(begun.headers["location"], LINES.replace(b"a", b"b") * 1_000)
    client.get(f"{FILES}/{file_id}/content").error(409, "file_replaced")
    client.get(f"/v1/files/{file_id}/content").error(409, "file_replaced")
    asked = {"input_file_id": file_id, "endpoint": "/v1/chat/completions"}
    client.post("/v1/batches/estimate", asked).error(409, "file_replaced")
    job = client.post(BATCHES, asked).json["job"]
    ports = {name: getattr(world, name) for name in ("accounts", "batches", "reader", "writer")}
    with pytest.raises(StateConflict, match="replaced"):
        validate_range(
            "acct_alice", job["id"], 0, 0, len(LINES), multipart=world.multipart,
            catalogue=world.catalogue, **ports,
        )  # fmt: skip
    fail_batch(
        "acct_alice", job["id"], clock=world.clock, batches=world.batches, runs=world.runs,
        changes=world.changes, reader=world.reader, writer=world.writer,
    )  # fmt: skip
    failed = client.get(f"{BATCHES}/{job['id']}").json
    assert failed["status"] == "FAILED"
    assert "Upload the input as a new file" in failed["error"]
    [error] = client.get(f"/v1/batches/{job['id']}").json["errors"]["data"]
    assert (error["code"], error["param"]) == ("input_replaced", "input_file_id")
