"""The roads for bytes that don't fit one request: OpenAI's uploads, and parts straight to S3."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx
import pytest

from tests.e2e.caller import Caller
from tests.e2e.follow import until_ended
from tests.e2e.lines import assert_each_once_in_input_order, chat_line, chat_lines, jsonl, parse
from tests.e2e.schemas import assert_fits

pytestmark = [pytest.mark.cloud]

LINES = chat_lines(12)
CONTENT = jsonl(LINES)
HALVES = (CONTENT[:500], CONTENT[500:])


def _begin_upload(caller: Caller, size: int = len(CONTENT)) -> str:
    body = {
        "filename": "lines.jsonl", "purpose": "batch", "bytes": size, "mime_type": "application/jsonl",
    }  # fmt: skip
    answer = caller.call("POST", "/uploads", json=body)
    assert answer.status_code == 200, answer.text
    assert_fits(answer.json(), "Upload")
    upload_id: str = answer.json()["id"]
    return upload_id


def _add_part(caller: Caller, upload_id: str, data: bytes) -> str:
    answer = caller.call("POST", f"/uploads/{upload_id}/parts", files={"data": data})
    assert answer.status_code == 200, answer.text
    assert_fits(answer.json(), "UploadPart")
    part_id: str = answer.json()["id"]
    return part_id


def _complete(caller: Caller, upload_id: str, *part_ids: str, **fields: Any) -> httpx.Response:
    body = {"part_ids": part_ids, **fields}
    return caller.call("POST", f"/uploads/{upload_id}/complete", json=body)


def test_parts_are_put_together_in_the_order_that_complete_names(caller: Caller) -> None:
    upload_id = _begin_upload(caller)
    second, first = _add_part(caller, upload_id, HALVES[1]), _add_part(caller, upload_id, HALVES[0])
    md5 = hashlib.md5(CONTENT).hexdigest()
    upload = _complete(caller, upload_id, first, second, md5=md5).json()
    assert_fits(upload, "Upload")
    assert upload["status"] == "completed"
    assert caller.sdk().files.content(upload["file"]["id"]).read() == CONTENT


def test_other_bytes_than_announced_are_refused(caller: Caller) -> None:
    upload_id = _begin_upload(caller, size=len(CONTENT) + 1)
    part_id = _add_part(caller, upload_id, CONTENT)
    answer = _complete(caller, upload_id, part_id)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "bytes_mismatch"
    assert caller.call("GET", "/files").json()["data"] == []


def test_another_checksum_is_refused(caller: Caller) -> None:
    upload_id = _begin_upload(caller)
    part_id = _add_part(caller, upload_id, CONTENT)
    answer = _complete(caller, upload_id, part_id, md5="0" * 32)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "md5"
    assert caller.call("GET", "/files").json()["data"] == []


def test_a_cancelled_upload_takes_no_parts_and_makes_no_file(caller: Caller) -> None:
    upload_id = _begin_upload(caller)
    part_id = _add_part(caller, upload_id, CONTENT)
    cancelled = caller.call("POST", f"/uploads/{upload_id}/cancel")
    assert cancelled.json()["status"] == "cancelled"
    assert_fits(cancelled.json(), "Upload")
    late = caller.call("POST", f"/uploads/{upload_id}/parts", files={"data": b"x"})
    for answer in (late, _complete(caller, upload_id, part_id)):
        assert answer.status_code in (400, 409)
        assert answer.json()["error"]["code"] == "upload_not_pending"
    assert caller.call("GET", "/files").json()["data"] == []


def test_a_part_of_another_upload_is_unknown(caller: Caller) -> None:
    mine, other = _begin_upload(caller), _begin_upload(caller)
    part_id = _add_part(caller, other, CONTENT)
    assert _complete(caller, mine, part_id).status_code in (400, 404)


def _begin_direct(caller: Caller, content: bytes, **fields: Any) -> dict[str, Any]:
    body = {"filename": "large.jsonl", "purpose": "batch", "bytes": len(content), **fields}
    answer = caller.call("POST", "/files", json=body)
    assert answer.status_code == 200, answer.text
    pending: dict[str, Any] = answer.json()
    assert_fits({name: value for name, value in pending.items() if name != "upload"}, "OpenAIFile")
    return pending


def _put_parts(pending: dict[str, Any], content: bytes) -> list[dict[str, Any]]:
    size = pending["upload"]["part_bytes"]
    etags = []
    for part in pending["upload"]["parts"]:
        start = (part["number"] - 1) * size
        answer = httpx.put(part["url"], content=content[start : start + size], timeout=60)
        assert answer.status_code == 200, answer.text
        etags.append({"part_number": part["number"], "etag": answer.headers["etag"]})
    return etags


def test_a_file_of_several_parts_goes_straight_to_s3_and_runs(caller: Caller) -> None:
    lines = [chat_line(f"wide-{n:03}", f"{n} {'x' * 500_000}") for n in range(70)]
    content = jsonl(lines)
    pending = _begin_direct(caller, content)
    assert pending["status"] == "uploaded"
    assert len(pending["upload"]["parts"]) == 2
    body = {"parts": _put_parts(pending, content)}
    done = caller.call("POST", f"/files/{pending['id']}/complete", json=body)
    assert (done.status_code, done.json()["status"]) == (200, "processed"), done.text
    again = caller.call("POST", f"/files/{pending['id']}/complete", json=body)
    assert again.json() == done.json()

    client = caller.sdk()
    batch = client.batches.create(
        input_file_id=pending["id"], endpoint="/v1/chat/completions", completion_window="24h"
    )
    ended = until_ended(client, batch.id)
    assert ended.output_file_id is not None
    results = parse(client.files.content(ended.output_file_id).text)
    assert_each_once_in_input_order(lines, results)


def test_a_file_whose_bytes_are_still_on_their_way_is_no_input_yet(caller: Caller) -> None:
    pending = _begin_direct(caller, CONTENT)
    body = {
        "input_file_id": pending["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h",
    }  # fmt: skip
    answer = caller.call("POST", "/batches", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "file_not_complete")
    content = caller.call("GET", f"/files/{pending['id']}/content")
    assert content.status_code in (400, 409)
    assert caller.call("GET", "/batches").json()["data"] == []


def test_made_up_parts_are_refused(caller: Caller) -> None:
    pending = _begin_direct(caller, CONTENT)
    body = {"parts": [{"part_number": 1, "etag": json.dumps("0" * 32)}]}
    answer = caller.call("POST", f"/files/{pending['id']}/complete", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_parts")


def test_an_upload_that_was_begun_twice_with_one_key_is_one_file(caller: Caller) -> None:
    body = {"filename": "large.jsonl", "purpose": "batch", "bytes": len(CONTENT)}
    headers = {"Idempotency-Key": "upload-once"}
    first, second = (
        caller.call("POST", "/files", json=body, headers=headers).json() for _ in range(2)
    )
    assert first["id"] == second["id"]
    done = caller.call(
        "POST", f"/files/{first['id']}/complete", json={"parts": _put_parts(second, CONTENT)}
    )
    assert done.json()["status"] == "processed"
