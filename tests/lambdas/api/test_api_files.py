"""`/v1/files`: what clients send, what they get, and what is left behind."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.account import Limits
from offpeak.core.file import File
from offpeak.core.ports import Add
from tests.lambdas.api.client import BOUNDARY, Client, Field, World, form

PURPOSE = Field("purpose", b"batch")
FILE = Field("file", b"{}\n", "in.jsonl")
ANCHOR = Field("expires_after[anchor]", b"created_at")
SECONDS = Field("expires_after[seconds]", b"3600")


def nothing_is_left(world: World) -> bool:
    stored = list(world.reader.list(""))
    files = world.files.list("acct_alice", limit=10, after=None, purpose=None, ascending=True).rows
    return not stored and not files and not world.multipart.open_ids


def test_an_uploaded_file_is_processed_at_once(client: Client) -> None:
    file = client.upload(b"{}\n{}\n", "lines.jsonl")
    now = int(client.world.clock.now())
    assert file == {
        "id": file["id"], "object": "file", "bytes": 6, "created_at": now,
        "expires_at": now + 30 * 86_400,
        "filename": "lines.jsonl", "purpose": "batch", "status": "processed",
        "status_details": None,
    }  # fmt: skip
    assert file["id"].startswith("file-")
    assert client.get(f"/v1/files/{file['id']}").ok("OpenAIFile") == file


@pytest.mark.parametrize("fields", list(itertools.permutations((PURPOSE, FILE, ANCHOR, SECONDS))))
def test_fields_come_in_any_order(client: Client, fields: tuple[Field, ...]) -> None:
    file = client.post_form("/v1/files", *fields).ok("OpenAIFile")
    assert file["expires_at"] == file["created_at"] + 3_600


@given(st.binary(max_size=3_000), st.booleans())
def test_any_bytes_arrive_as_they_were_sent(body: bytes, file_first: bool) -> None:
    client = Client(World())
    fields = [Field("file", body, "x"), PURPOSE]
    answer = client.post_form("/v1/files", *(fields if file_first else fields[::-1]))
    if f"--{BOUNDARY}".encode() not in body:
        file = answer.ok("OpenAIFile")
        assert file["bytes"] == len(body)
        url = client.get(f"/v1/files/{file['id']}/content").headers["location"]
        assert client.world.presigner.get(url) == body


@pytest.mark.parametrize("name", ["übung 1.jsonl", "数据.jsonl", "a;b=c.jsonl", "no-extension"])
def test_names_are_raw_utf_8(client: Client, name: str) -> None:
    assert client.upload(filename=name)["filename"] == name


@pytest.mark.parametrize("filename", [None, ""])
def test_nameless_bytes_are_called_upload(client: Client, filename: str | None) -> None:
    answer = client.post_form("/v1/files", PURPOSE, Field("file", b"{}", filename))
    assert answer.ok("OpenAIFile")["filename"] == "upload"


def test_control_characters_are_dropped_from_names(client: Client) -> None:
    assert client.upload(filename="a\tb\x7f.jsonl")["filename"] == "ab.jsonl"


def test_an_empty_file_is_a_file(client: Client) -> None:
    assert client.upload(b"")["bytes"] == 0


BAD_FORMS = [
    ((FILE,), 400, "missing_required_parameter", "purpose"),
    ((PURPOSE,), 400, "missing_required_parameter", "file"),
    ((FILE, Field("purpose", b"fine-tune")), 400, "invalid_purpose", "purpose"),
    ((FILE, Field("purpose", b"")), 400, "invalid_value", "purpose"),
    ((FILE, PURPOSE, Field("speed", b"fast")), 400, "unknown_parameter", "speed"),
    ((FILE, PURPOSE, Field("extra", b"x", "x")), 400, "unknown_parameter", "extra"),
    ((FILE, PURPOSE, PURPOSE), 400, "duplicate_parameter", "purpose"),
    ((FILE, PURPOSE, SECONDS), 400, "missing_required_parameter", "expires_after.anchor"),
    ((FILE, PURPOSE, ANCHOR), 400, "missing_required_parameter", "expires_after.seconds"),
    (
        (FILE, PURPOSE, ANCHOR, Field("expires_after[seconds]", b"3599")),
        400, "invalid_value", "expires_after.seconds",
    ),
    (
        (FILE, PURPOSE, ANCHOR, Field("expires_after[seconds]", b"2592001")),
        400, "invalid_value", "expires_after.seconds",
    ),
    (
        (FILE, PURPOSE, ANCHOR, Field("expires_after[seconds]", b"soon")),
        400, "invalid_type", "expires_after.seconds",
    ),
    (
        (FILE, PURPOSE, Field("expires_after[anchor]", b"last_active_at"), SECONDS),
        400, "invalid_value", "expires_after.anchor",
    ),
    ((FILE, PURPOSE, Field("expires_after", b"3600")), 400, "invalid_type", "expires_after"),
    ((PURPOSE, Field("file", b"", "n" * 256)), 400, "string_above_max_length", "filename"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "status", "code", "param"), BAD_FORMS)
def test_a_bad_form_is_refused_and_leaves_nothing(
    client: Client, fields: tuple[Field, ...], status: int, code: str, param: str
) -> None:
    error = client.post_form("/v1/files", *fields).error(status, code)
    assert error["param"] == param
    assert param.split(".", maxsplit=1)[0] in error["message"]
    assert nothing_is_left(client.world)


GOOD = form([PURPOSE, FILE])
BROKEN = [
    (GOOD[:-10], f"multipart/form-data; boundary={BOUNDARY}"),
    (GOOD[:40], f"multipart/form-data; boundary={BOUNDARY}"),
    (b"", f"multipart/form-data; boundary={BOUNDARY}"),
    (GOOD, "multipart/form-data; boundary=another"),
    (GOOD, "multipart/form-data"),
    (GOOD, "application/x-www-form-urlencoded"),
    (GOOD, "text/plain"),
    (GOOD, f"multipart/form-data; boundary={'b' * 300}"),
    (form([Field("purpose", b"\xff\xfe"), FILE]), f"multipart/form-data; boundary={BOUNDARY}"),
    (form([Field("purpose", b"p" * 9_000), FILE]), f"multipart/form-data; boundary={BOUNDARY}"),
    (
        form([Field(f"f{n}", b"") for n in range(40)]),
        f"multipart/form-data; boundary={BOUNDARY}",
    ),
    (
        f"--{BOUNDARY}\r\nContent-Disposition: form-data\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode(),
        f"multipart/form-data; boundary={BOUNDARY}",
    ),
]


@pytest.mark.parametrize(("body", "content_type"), BROKEN)
def test_broken_multipart_is_refused_in_words(
    client: Client, body: bytes, content_type: str
) -> None:
    answer = client.send("POST", "/v1/files", body, content_type=content_type)
    assert answer.error(400, "invalid_multipart")["message"]
    assert nothing_is_left(client.world)


@given(st.binary(max_size=400))
def test_no_bytes_at_all_make_the_form_parser_fail(body: bytes) -> None:
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    answer = Client(World()).send("POST", "/v1/files", body, content_type=content_type)
    assert answer.status == 400


def test_a_file_over_the_accounts_limit_is_refused(client: Client) -> None:
    client.world.add_account("small", Limits(file_bytes_max=10))
    small = client.as_("small")
    error = small.post_form("/v1/files", PURPOSE, Field("file", b"x" * 11, "x")).error(
        413, "file_too_large"
    )
    assert "10 bytes" in error["message"]
    direct = {"filename": "x", "purpose": "batch", "bytes": 11}
    small.post("/v1/files", direct).error(413, "file_too_large")
    assert nothing_is_left(client.world)


# ── straight to S3 ──


def begin(client: Client, size: int, **headers: str) -> Any:
    body = {"filename": "big.jsonl", "purpose": "batch", "bytes": size}
    return client.post("/v1/files", body, **headers).ok("OpenAIFile")


def put_parts(world: World, file: Any, body: bytes) -> list[dict[str, Any]]:
    size = file["upload"]["part_bytes"]
    return [
        {
            "part_number": part["number"],
            "etag": world.presigner.put(
                part["url"], body[(part["number"] - 1) * size : part["number"] * size]
            ),
        }
        for part in file["upload"]["parts"]
    ]


def test_a_large_file_goes_straight_to_s3_in_parts(client: Client) -> None:
    body = b"x" * (40 << 20)
    file = begin(client, len(body))
    assert file["status"] == "uploaded"
    assert len(file["upload"]["parts"]) == 2
    client.get(f"/v1/files/{file['id']}/content").error(409, "file_not_complete")
    parts = put_parts(client.world, file, body)
    done = client.post(file["upload"]["complete_path"], {"parts": parts}).ok("OpenAIFile")
    assert (done["status"], done["bytes"]) == ("processed", len(body))
    assert "upload" not in done
    again = client.post(file["upload"]["complete_path"], {"parts": parts}).ok("OpenAIFile")
    assert again == done


def test_the_urls_of_the_largest_file_fit_one_answer(client: Client) -> None:
    client.world.add_account("large", Limits(file_bytes_max=5 * 10**12))
    file = begin(client.as_("large"), 5 * 10**12)
    assert len(file["upload"]["parts"]) <= 1_000
    assert file["upload"]["part_bytes"] <= 5 << 30


def test_a_completion_that_was_cut_off_is_finished_by_the_next(client: Client) -> None:
    file = begin(client, 5)
    parts = put_parts(client.world, file, b"12345")
    row = client.world.files.get("acct_alice", file["id"])
    assert row.multipart_id
    client.world.multipart.complete(row.key, row.multipart_id, {1: parts[0]["etag"]})
    done = client.post(f"/v1/files/{file['id']}/complete", {"parts": parts}).ok("OpenAIFile")
    assert done["status"] == "processed"


def test_parts_that_s3_refuses_can_be_sent_again(client: Client) -> None:
    file = begin(client, 5)
    parts = put_parts(client.world, file, b"12345")
    path = file["upload"]["complete_path"]
    wrong = [{"part_number": 1, "etag": "0" * 32}]
    client.post(path, {"parts": wrong}).error(400, "invalid_parts")
    assert client.post(path, {"parts": parts}).ok("OpenAIFile")["status"] == "processed"


def test_parts_of_another_size_than_announced_drop_the_file(client: Client) -> None:
    file = begin(client, 5)
    parts = put_parts(client.world, file, b"1234")
    client.post(file["upload"]["complete_path"], {"parts": parts}).error(400, "bytes_mismatch")
    client.get(f"/v1/files/{file['id']}").error(404, "not_found")
    assert nothing_is_left(client.world)


def test_deleting_a_pending_file_gives_its_parts_up(client: Client) -> None:
    file = begin(client, 5)
    client.delete(f"/v1/files/{file['id']}").ok("DeleteFileResponse")
    assert nothing_is_left(client.world)


BAD_BODIES: list[tuple[Any, str, str | None]] = [
    ({"purpose": "batch", "bytes": 1}, "missing_required_parameter", "filename"),
    ({"filename": None, "purpose": "batch", "bytes": 1}, "missing_required_parameter", "filename"),
    ({"filename": "x", "purpose": "batch"}, "missing_required_parameter", "bytes"),
    ({"filename": "x", "purpose": "batch", "bytes": "1"}, "invalid_type", "bytes"),
    ({"filename": "x", "purpose": "batch", "bytes": 1.5}, "invalid_type", "bytes"),
    ({"filename": "x", "purpose": "batch", "bytes": True}, "invalid_type", "bytes"),
    ({"filename": "x", "purpose": "batch", "bytes": -1}, "invalid_value", "bytes"),
    ({"filename": "x", "purpose": "batch", "bytes": 10**30}, "invalid_value", "bytes"),
    ({"filename": 7, "purpose": "batch", "bytes": 1}, "invalid_type", "filename"),
    ({"filename": "x", "purpose": "vision", "bytes": 1}, "invalid_purpose", "purpose"),
    ({"filename": "x", "purpose": "batch", "bytes": 1, "a": 1}, "unknown_parameter", "a"),
    ([], "invalid_json", None),
    ("text", "invalid_json", None),
]


@pytest.mark.parametrize(("body", "code", "param"), BAD_BODIES)
def test_a_bad_announcement_is_refused(
    client: Client, body: Any, code: str, param: str | None
) -> None:
    assert client.post("/v1/files", body).error(400, code)["param"] == param
    assert nothing_is_left(client.world)


RAW_BODIES = [
    b"",
    b"{",
    b"\xff",
    b'{"a": NaN}',
    b"[" * 100_000,
    b'{"filename": "\\ud800"}',
    b'"' + b"x" * 99,
]


@pytest.mark.parametrize("raw", RAW_BODIES)
def test_what_is_not_json_is_refused(client: Client, raw: bytes) -> None:
    answer = client.send("POST", "/v1/files", raw, content_type="application/json")
    answer.error(400, "invalid_json")


def test_a_json_body_is_bounded(client: Client) -> None:
    raw = json.dumps({"filename": "x" * 3_000_000}).encode()
    answer = client.send("POST", "/v1/files", raw, content_type="application/json")
    answer.error(413, "request_too_large")


def test_a_part_named_twice_is_refused(client: Client) -> None:
    part = {"part_number": 1, "etag": "e"}
    client.post("/v1/files/file-1/complete", {"parts": [part, part]}).error(400, "duplicate_part")
    client.post("/v1/files/file-1/complete", {"parts": []}).error(400, "invalid_value")


# ── lists ──


def add_files(world: World, count: int, **more: Any) -> list[str]:
    """Ids in the order of their birth."""
    ids = [f"file-{number:028x}" for number in range(count)]
    for file_id in ids:
        fields = {"purpose": "batch", "account_id": "acct_alice", "key": "k", **more}
        file = File(id=file_id, filename="f", bytes=1, created_at=0, **fields)
        world.changes.commit(Add(file))
    return ids


@given(st.integers(0, 30), st.integers(1, 12), st.booleans())
def test_paging_sees_every_file_once(count: int, limit: int, ascending: bool) -> None:
    client = Client(World())
    ids = add_files(client.world, count)
    order = "asc" if ascending else "desc"
    seen: list[str] = []
    query = {"limit": str(limit), "order": order}
    while True:
        page = client.get("/v1/files", **query).ok("ListFilesResponse")
        seen += [file["id"] for file in page["data"]]
        if not page["has_more"]:
            break
        assert len(page["data"]) == limit
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], seen[-1])
        query = {"limit": str(limit), "order": order, "after": page["last_id"]}
    assert seen == (ids if ascending else ids[::-1])


def test_a_list_of_nothing_fits_its_schema(client: Client) -> None:
    page = client.get("/v1/files").ok("ListFilesResponse")
    assert (page["data"], page["has_more"]) == ([], False)


def test_files_are_listed_by_purpose(client: Client) -> None:
    client.upload()
    add_files(client.world, 2, purpose="batch_output")
    page = client.get("/v1/files", purpose="batch_output").ok("ListFilesResponse")
    assert [file["purpose"] for file in page["data"]] == ["batch_output"] * 2


def test_expired_files_are_gone_and_never_shorten_a_page(client: Client) -> None:
    add_files(client.world, 5, expires_at=1)
    kept = [client.upload()["id"], client.upload()["id"]]
    page = client.get("/v1/files", limit="2", order="asc").ok("ListFilesResponse")
    assert sorted(file["id"] for file in page["data"]) == sorted(kept)
    client.get(f"/v1/files/file-{0:028x}").error(404, "not_found")


def test_a_file_is_gone_once_its_time_is_over(client: Client) -> None:
    file = client.post_form("/v1/files", PURPOSE, FILE, ANCHOR, SECONDS).ok("OpenAIFile")
    client.world.clock.advance(3_599)
    client.get(f"/v1/files/{file['id']}").ok("OpenAIFile")
    client.world.clock.advance(1)
    client.get(f"/v1/files/{file['id']}").error(404, "not_found")
    client.get(f"/v1/files/{file['id']}/content").error(404, "not_found")


@pytest.mark.parametrize(
    ("name", "value"),
    [("limit", "0"), ("limit", "10001"), ("limit", "ten"), ("limit", "-1"), ("limit", "٣"),
     ("order", "newest"), ("after", "x" * 200)],
)  # fmt: skip
def test_a_bad_query_is_refused(client: Client, name: str, value: str) -> None:
    error = client.get("/v1/files", **{name: value}).error(400, "invalid_value")
    assert error["param"] == name


# ── content, deletion ──


def test_content_is_a_redirect_to_a_presigned_url(client: Client) -> None:
    file = client.upload(b"{}\n")
    answer = client.get(f"/v1/files/{file['id']}/content")
    assert answer.status == 302
    assert client.world.presigner.get(answer.headers["location"]) == b"{}\n"


def test_a_deleted_file_is_gone_with_its_bytes(client: Client) -> None:
    file = client.upload()
    answer = client.delete(f"/v1/files/{file['id']}").ok("DeleteFileResponse")
    assert answer == {"id": file["id"], "object": "file", "deleted": True}
    client.get(f"/v1/files/{file['id']}").error(404, "not_found")
    client.delete(f"/v1/files/{file['id']}").error(404, "not_found")
    assert nothing_is_left(client.world)


def test_a_running_batch_keeps_the_bytes_of_its_deleted_input(client: Client) -> None:
    file = client.upload()
    client.create_batch(file["id"])
    client.delete(f"/v1/files/{file['id']}").ok("DeleteFileResponse")
    client.get(f"/v1/files/{file['id']}").error(404, "not_found")
    assert client.world.reader.read(f"files/acct_alice/{file['id']}") == b"{}\n"


# ── the same request twice ──


def test_a_repeated_upload_makes_one_file(client: Client) -> None:
    first = client.upload(idempotency_key="k1")
    assert client.upload(idempotency_key="k1") == first
    assert client.upload(idempotency_key="k2") != first
    assert client.as_("bob").upload(idempotency_key="k1")["id"] != first["id"]
    assert len(client.get("/v1/files").json["data"]) == 2


def test_a_repeated_announcement_gives_urls_for_the_same_file(client: Client) -> None:
    first = begin(client, 5, idempotency_key="k")
    client.world.clock.advance(60)
    second = begin(client, 5, idempotency_key="k")
    assert first["id"] == second["id"]
    assert second["upload"]["expires_at"] == first["upload"]["expires_at"] + 60
    parts = put_parts(client.world, second, b"12345")
    done = client.post(second["upload"]["complete_path"], {"parts": parts}).ok("OpenAIFile")
    assert begin(client, 5, idempotency_key="k") == done
    assert client.world.multipart.open_ids == ()


def test_a_key_with_another_body_is_refused(client: Client) -> None:
    client.upload(b"one", idempotency_key="k")
    answer = client.post_form(
        "/v1/files", PURPOSE, Field("file", b"two", "in.jsonl"), idempotency_key="k"
    )
    assert answer.error(409, "idempotency_key_reused")["param"] == "Idempotency-Key"
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("key", ["k" * 256, "ключ", "a\tb"])
def test_a_key_that_is_none_is_refused(client: Client, key: str) -> None:
    answer = client.post_form("/v1/files", PURPOSE, FILE, idempotency_key=key)
    answer.error(400, "invalid_idempotency_key")
    assert nothing_is_left(client.world)


def test_a_key_is_forgotten_after_a_day(client: Client) -> None:
    first = client.upload(idempotency_key="k")
    client.world.clock.advance(86_400)
    assert client.upload(b"other", idempotency_key="k")["id"] != first["id"]


def test_a_number_of_any_length_is_only_out_of_range(client: Client) -> None:
    raw = b'{"filename": "x", "purpose": "batch", "bytes": 1' + b"0" * 100_000 + b"}"
    answer = client.send("POST", "/v1/files", raw, content_type="application/json")
    assert answer.status == 400
    assert len(answer.text) < 1_000


def test_a_download_without_a_redirect_takes_a_door(client: Client) -> None:
    file = client.upload(b"{}\n", "lines.jsonl")
    answer = client.get(f"/v1/files/{file['id']}/content", redirect="false")
    assert answer.error(400, "redirect_required")["param"] == "redirect"
