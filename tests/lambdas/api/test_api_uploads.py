"""`/v1/uploads`: parts in any order, joined in the caller's."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lambdas.api.client import BOUNDARY, Answer, Client, Field, World, form

PART = 4 << 20  # what the SDK sends when told to keep below the gateway's limit


def create(client: Client, size: int, **more: Any) -> Any:
    headers = more.pop("headers", {})
    body = {
        "filename": "in.jsonl", "purpose": "batch", "bytes": size,
        "mime_type": "application/jsonl", **more,
    }  # fmt: skip
    return client.post("/v1/uploads", body, **headers)


def add(client: Client, upload_id: str, data: bytes, **headers: str) -> str:
    answer = client.post_form(
        f"/v1/uploads/{upload_id}/parts", Field("data", data, "upload"), **headers
    )
    part = answer.ok("UploadPart")
    assert part["upload_id"] == upload_id
    part_id: str = part["id"]
    return part_id


def complete(client: Client, upload_id: str, part_ids: list[str], **more: Any) -> Answer:
    return client.post(f"/v1/uploads/{upload_id}/complete", {"part_ids": part_ids, **more})


def content(client: Client, file_id: str) -> bytes:
    url = client.get(f"/v1/files/{file_id}/content").headers["location"]
    return client.world.presigner.get(url)


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(4)), st.integers(1, PART))
def test_the_order_of_completion_is_the_order_of_the_bytes(order: list[int], last: int) -> None:
    client = Client(World())
    parts = [bytes([n]) * size for n, size in enumerate((PART, PART, 6 << 20, last))]
    upload = create(client, sum(map(len, parts))).ok("Upload")
    ids = [add(client, upload["id"], part) for part in parts]
    done = complete(client, upload["id"], [ids[n] for n in order]).ok("Upload")
    assert done["status"] == "completed"
    assert done["file"]["status"] == "processed"
    assert content(client, done["file"]["id"]) == b"".join(parts[n] for n in order)
    assert client.world.multipart.open_ids == ()


def test_an_upload_lives_for_an_hour(client: Client) -> None:
    upload = create(client, 2).ok("Upload")
    assert upload["expires_at"] == upload["created_at"] + 3_600
    assert upload["file"] is None
    part = add(client, upload["id"], b"{}")
    client.world.clock.advance(3_600)
    path = f"/v1/uploads/{upload['id']}"
    late = client.post_form(f"{path}/parts", Field("data", b"{}", "x"))
    assert "expired" in late.error(409, "upload_not_pending")["message"]
    complete(client, upload["id"], [part]).error(409, "upload_not_pending")
    client.post(f"{path}/cancel").error(409, "upload_not_pending")


def test_completing_twice_answers_the_same_file(client: Client) -> None:
    upload = create(client, 2, expires_after={"anchor": "created_at", "seconds": 7_200})
    upload = upload.ok("Upload")
    part = add(client, upload["id"], b"{}")
    first = complete(client, upload["id"], [part], md5=hashlib.md5(b"{}").hexdigest()).ok("Upload")
    assert complete(client, upload["id"], [part]).ok("Upload") == first
    assert first["file"]["expires_at"] == first["file"]["created_at"] + 7_200
    assert len(client.get("/v1/files").json["data"]) == 1


def test_a_wrong_completion_can_be_corrected(client: Client) -> None:
    upload = create(client, 4).ok("Upload")
    one, two = add(client, upload["id"], b"ab"), add(client, upload["id"], b"cd")
    complete(client, upload["id"], [one]).error(400, "bytes_mismatch")
    complete(client, upload["id"], []).error(400, "bytes_mismatch")
    complete(client, upload["id"], [one, one]).error(400, "duplicate_part")
    complete(client, upload["id"], [one, "part_nowhere"]).error(400, "part_not_found")
    complete(client, upload["id"], [one, "../../x"]).error(400, "part_not_found")
    complete(client, upload["id"], [one, two], md5="0" * 32).error(400, "md5_mismatch")
    complete(client, upload["id"], [one, two], md5="zz").error(400, "invalid_value")
    client.post(f"/v1/uploads/{upload['id']}/complete").error(400, "invalid_json")
    assert client.get("/v1/files").json["data"] == []
    assert complete(client, upload["id"], [one, two]).ok("Upload")["status"] == "completed"


def test_parts_of_another_upload_are_not_found(client: Client) -> None:
    here, there = create(client, 2).ok("Upload"), create(client, 2).ok("Upload")
    part = add(client, there["id"], b"{}")
    complete(client, here["id"], [part]).error(400, "part_not_found")


def test_a_cancelled_upload_takes_nothing_more(client: Client) -> None:
    upload = create(client, 2).ok("Upload")
    part = add(client, upload["id"], b"{}")
    path = f"/v1/uploads/{upload['id']}"
    assert client.post(f"{path}/cancel").ok("Upload")["status"] == "cancelled"
    assert client.post(f"{path}/cancel").ok("Upload")["status"] == "cancelled"
    complete(client, upload["id"], [part]).error(409, "upload_not_pending")
    client.post_form(f"{path}/parts", Field("data", b"{}", "x")).error(409, "upload_not_pending")


def test_a_completed_upload_can_not_be_cancelled(client: Client) -> None:
    upload = create(client, 2).ok("Upload")
    complete(client, upload["id"], [add(client, upload["id"], b"{}")]).ok("Upload")
    answer = client.post(f"/v1/uploads/{upload['id']}/cancel")
    answer.error(409, "upload_not_pending")
    assert answer.headers["x-should-retry"] == "false"


def test_an_upload_of_nothing_is_an_empty_file(client: Client) -> None:
    upload = create(client, 0).ok("Upload")
    assert complete(client, upload["id"], []).ok("Upload")["file"]["bytes"] == 0


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"purpose": "vision"}, 400, "invalid_purpose"),
        ({"bytes": 10**11}, 413, "file_too_large"),
        ({"bytes": 10**9}, 413, "upload_too_large"),
        ({"bytes": None}, 400, "missing_required_parameter"),
        ({"mime_type": None}, 400, "missing_required_parameter"),
        ({"parts": 3}, 400, "unknown_parameter"),
        ({"expires_after": {"anchor": "created_at", "seconds": 1}}, 400, "invalid_value"),
    ],
)
def test_a_bad_upload_is_refused(
    client: Client, more: dict[str, Any], status: int, code: str
) -> None:
    body = {"filename": "f", "purpose": "batch", "bytes": 1, "mime_type": "t", **more}
    client.post("/v1/uploads", body).error(status, code)


def test_a_bad_part_is_refused_and_not_kept(client: Client) -> None:
    upload = create(client, 2).ok("Upload")
    path = f"/v1/uploads/{upload['id']}/parts"
    client.post_form(path, Field("data", b"xyz", "x")).error(400, "bytes_mismatch")
    client.post_form(path, Field("file", b"x", "x")).error(400, "unknown_parameter")
    client.post_form(path, Field("note", b"x")).error(400, "unknown_parameter")
    client.post_form(path).error(400, "missing_required_parameter")
    body = form([Field("data", b"{}", "x")])[:-8]
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    client.send("POST", path, body, content_type=content_type).error(400, "invalid_multipart")
    assert not list(client.world.reader.list("uploads/"))


def test_a_repeated_request_makes_one_upload_and_one_part(client: Client) -> None:
    headers = {"idempotency_key": "k"}
    first = create(client, 2, headers=headers).ok("Upload")
    assert create(client, 2, headers=headers).ok("Upload") == first
    create(client, 3, headers=headers).error(409, "idempotency_key_reused")
    part = add(client, first["id"], b"{}", idempotency_key="k")
    assert add(client, first["id"], b"{}", idempotency_key="k") == part
    complete(client, first["id"], [part]).ok("Upload")
