"""Requests that can't be: each is refused with its status, code and message in OpenAI's envelope, and makes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.e2e.caller import Caller
from tests.e2e.follow import until_ended
from tests.e2e.lines import chat_lines, jsonl
from tests.e2e.schemas import assert_fits

pytestmark = [pytest.mark.cloud]

LINES = chat_lines(3)
BATCH = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request and its answer. `{file}` in a body or path is an uploaded file's id."""

    name: str
    method: str
    path: str
    status: int
    code: str
    message: str
    json: Mapping[str, Any] | None = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    param: str | None = None


def _create(name: str, code: str, message: str, param: str, **fields: Any) -> Refusal:
    body = {"input_file_id": "{file}", **BATCH, **fields}
    return Refusal(name, "POST", "/batches", 400, code, message, json=body, param=param)


def _form(name: str, code: str, message: str, content: bytes, **more: Any) -> Refusal:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return Refusal(
        name, "POST", "/files", 400, code, message, content=content, headers=headers, **more
    )


def _unauthenticated(name: str, authorization: str) -> Refusal:
    headers = {"Authorization": authorization}
    return Refusal(name, "GET", "/files", 401, "invalid_api_key", "key", headers=headers)


def _part(name: str, value: str, filename: str = "") -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
    return f"--b\r\nContent-Disposition: {disposition}\r\n\r\n{value}\r\n".encode()


FILE_PART = _part("file", "{}\n", "f.jsonl")
PURPOSE, FINE_TUNE, END = _part("purpose", "batch"), _part("purpose", "fine-tune"), b"--b--\r\n"
REFUSALS = (
    _create("window of minutes", "invalid_completion_window", "1h", "completion_window", completion_window="30m"),
    _create("window of 8 days", "invalid_completion_window", "7d", "completion_window", completion_window="8d"),
    _create("endpoint", "invalid_endpoint", "", "endpoint", endpoint="/v1/audio/speech"),
    _create(
        "17 metadata pairs", "object_above_max_properties", "at most 16", "metadata",
        metadata={f"key-{n}": "x" for n in range(17)},
    ),
    _create("long metadata value", "string_above_max_length", "512", "metadata.a", metadata={"a": "x" * 513}),
    _create("metadata number", "invalid_type", "string", "metadata.a", metadata={"a": 1}),
    _create("on_invalid", "invalid_value", "on_invalid", "on_invalid", on_invalid="ignore"),
    _create("no input", "missing_required_parameter", "input_file_id", "input_file_id", input_file_id=None),
    _create(
        "output expiry", "invalid_value", "3600", "output_expires_after.seconds",
        output_expires_after={"anchor": "created_at", "seconds": 60},
    ),
    _create("unknown field", "unknown_parameter", "windows", "windows", windows="24h"),
    Refusal("body no JSON", "POST", "/batches", 400, "invalid_json", "not valid JSON", content=b'{"endpoint'),
    Refusal("body no object", "POST", "/batches", 400, "invalid_json", "object", content=b"[]"),
    Refusal("unknown file", "GET", "/files/file-0", 404, "not_found", "file-0"),
    Refusal("unknown content", "GET", "/files/file-0/content", 404, "not_found", "file-0"),
    Refusal("unknown file deleted", "DELETE", "/files/file-0", 404, "not_found", "file-0"),
    Refusal("unknown batch", "GET", "/batches/batch_0", 404, "not_found", "batch_0"),
    Refusal("unknown batch cancelled", "POST", "/batches/batch_0/cancel", 404, "not_found", "batch_0"),
    Refusal("unknown upload", "POST", "/uploads/upload_0/cancel", 404, "not_found", "upload_0"),
    Refusal("unknown path", "GET", "/assistants", 404, "unknown_url", "/v1/assistants"),
    Refusal("unknown method", "PUT", "/batches", 405, "method_not_allowed", "PUT"),
    Refusal("list limit", "GET", "/files?limit=0", 400, "invalid_value", "limit", param="limit"),
    Refusal(
        "file over the limit", "POST", "/files", 413, "file_too_large", "10,000,000,000",
        json={"filename": "f.jsonl", "purpose": "batch", "bytes": 10_000_000_001}, param="bytes",
    ),
    _form("wrong purpose", "invalid_purpose", "fine-tune", FINE_TUNE + FILE_PART + END, param="purpose"),
    _form("no purpose", "missing_required_parameter", "purpose", FILE_PART + END, param="purpose"),
    _form("no file", "missing_required_parameter", "file", PURPOSE + END, param="file"),
    _form("cut off", "invalid_multipart", "closing boundary", PURPOSE + FILE_PART),
    _form("no form", "invalid_multipart", "broken", b"purpose=batch"),
    Refusal(
        "no multipart", "POST", "/files", 400, "invalid_multipart", "multipart/form-data",
        content=b"{}", headers={"Content-Type": "text/plain"},
    ),
    _unauthenticated("no key", ""),
    _unauthenticated("wrong key", "Bearer sk-offpeak-no"),
    _unauthenticated("basic", "Basic abc"),
)  # fmt: skip


@pytest.fixture(scope="module")
def caller(new_caller: Callable[[], Caller]) -> Caller:
    return new_caller()


@pytest.fixture(scope="module")
def file_id(caller: Caller) -> str:
    return caller.sdk().files.create(file=("lines.jsonl", jsonl(LINES)), purpose="batch").id


@pytest.mark.parametrize("refusal", [pytest.param(each, id=each.name) for each in REFUSALS])
def test_it_is_refused_and_makes_nothing(caller: Caller, file_id: str, refusal: Refusal) -> None:
    before = _everything(caller)
    answer = _send(caller, refusal, file_id)
    assert _everything(caller) == before
    assert answer.status_code == refusal.status, answer.text
    assert_fits(answer.json(), "ErrorResponse")
    error = answer.json()["error"]
    assert error["code"] == refusal.code
    assert error["param"] == refusal.param
    assert refusal.message in error["message"]
    assert error["message"].endswith("."), "a sentence"


def _send(caller: Caller, refusal: Refusal, file_id: str) -> httpx.Response:
    body = refusal.json
    if body is not None:
        body = {name: file_id if value == "{file}" else value for name, value in body.items()}
    return caller.call(
        refusal.method, refusal.path, json=body, content=refusal.content, headers=refusal.headers
    )


def _everything(caller: Caller) -> list[str]:
    rows = [*_list(caller, "/files"), *_list(caller, "/batches")]
    return [row["id"] for row in rows]


def _list(caller: Caller, path: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = caller.call("GET", path).json()["data"]
    return rows


@pytest.mark.parametrize("count", [7_000_000, 10_500_000])
def test_a_body_too_large_for_the_gateway_gets_the_envelope_too(caller: Caller, count: int) -> None:
    answer = caller.call("POST", "/batches", content=b"x" * count)
    assert answer.status_code == 413
    assert_fits(answer.json(), "ErrorResponse")


def test_a_foreign_file_and_batch_are_as_unknown_as_made_up_ones(
    caller: Caller, file_id: str, new_caller: Callable[[], Caller]
) -> None:
    client, stranger = caller.sdk(), new_caller()
    batch = client.batches.create(
        input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert _everything(stranger) == []
    for method, path in (
        ("GET", f"/files/{file_id}"),
        ("GET", f"/files/{file_id}/content"),
        ("DELETE", f"/files/{file_id}"),
        ("GET", f"/batches/{batch.id}"),
        ("POST", f"/batches/{batch.id}/cancel"),
    ):
        answer = stranger.call(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert until_ended(client, batch.id).status == "completed"


def _failed_on(caller: Caller, input_file_id: str) -> str:
    client = caller.sdk()
    batch = client.batches.create(
        input_file_id=input_file_id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    ended = until_ended(client, batch.id)
    assert ended.status == "failed"
    assert ended.errors is not None
    assert ended.errors.data is not None
    assert len(ended.errors.data) == 1
    assert_fits(ended.to_dict(mode="json"), "Batch")
    return ended.errors.data[0].code or ""


def test_a_batch_on_a_foreign_file_fails(new_caller: Callable[[], Caller], file_id: str) -> None:
    assert _failed_on(new_caller(), file_id) == "file_not_found"


def test_a_batch_on_a_deleted_file_fails(caller: Caller) -> None:
    client = caller.sdk()
    file = client.files.create(file=("gone.jsonl", jsonl(LINES)), purpose="batch")
    client.files.delete(file.id)
    assert _failed_on(caller, file.id) == "file_not_found"


def test_a_batch_on_an_empty_file_fails(caller: Caller) -> None:
    file = caller.sdk().files.create(file=("empty.jsonl", b""), purpose="batch")
    assert _failed_on(caller, file.id) == "empty_file"


def test_a_deleted_file_is_gone(caller: Caller) -> None:
    client = caller.sdk()
    file = client.files.create(file=("gone.jsonl", jsonl(LINES)), purpose="batch")
    client.files.delete(file.id)
    for path in (f"/files/{file.id}", f"/files/{file.id}/content"):
        assert caller.call("GET", path).status_code == 404
    assert file.id not in _everything(caller)


def test_a_post_that_is_repeated_with_its_idempotency_key_makes_one_thing(
    caller: Caller, file_id: str
) -> None:
    body = {"input_file_id": file_id, **BATCH}

    def create(key: str, **fields: str) -> httpx.Response:
        headers = {"Idempotency-Key": key}
        return caller.call("POST", "/batches", json={**body, **fields}, headers=headers)

    first, second, other = create("once"), create("once"), create("twice")
    assert first.json()["id"] == second.json()["id"] != other.json()["id"]
    mixed_up = create("once", completion_window="1h")
    assert mixed_up.status_code == 409
    assert mixed_up.json()["error"]["code"] == "idempotency_key_reused"
    assert until_ended(caller.sdk(), first.json()["id"]).status == "completed"
