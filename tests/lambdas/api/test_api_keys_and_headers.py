"""Nothing that a caller writes becomes a part of a key, of a path or of a header.

Every text that a caller may choose is a mark here: names of files, metadata, models, endpoints' names, idempotency
keys, multipart etags. Then all keys of S3 and of the tables, all URLs' paths and all headers are looked through for it.
What is left is where a caller's text does meet a header, knowingly: `Content-Disposition` of a download, which is
quoted (`tests/contract/test_aws_urls.py`), and the drop folder, whose keys are its producer's (`core/drop.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.lambdas.api.client import Answer, Client, Field, World

MARK = "M4rk"
HOSTILE = [
    MARK, f"../../acct_bob/{MARK}", f"{MARK}\r\nSet-Cookie: a=b", f"/{MARK}\x00", f'{MARK}"; filename="x',
    f"{MARK}\u202egpj.exe", f"%2e%2e%2f{MARK}", f"<script>{MARK}</script>", f"={MARK}()", "." + MARK,
]  # fmt: skip


def _sent(client: Client, text: str) -> Iterator[Answer]:
    """Every call that makes something, with `text` wherever a caller may write what he likes."""
    keyed = {"idempotency_key": text} if text.isascii() and text.isprintable() else {}
    other = {name: f"other {key}" for name, key in keyed.items()}
    chat = {"model": "chat", "messages": [{"role": "user", "content": text}], "user": text}
    file = client.post_form(
        "/v1/files", Field("purpose", b"batch"),
        Field("file", b"{}\n", text.replace('"', "%22").replace("\r\n", "%0D%0A")),
        **other,
    )  # fmt: skip
    yield file
    yield client.post("/v1/files", {"filename": text, "purpose": "batch", "bytes": 9}, **keyed)
    upload = {"filename": text, "purpose": "batch", "bytes": 2, "mime_type": text}
    begun = client.post("/v1/uploads", upload, **keyed)
    yield begun
    if begun.status == 200:
        path = f"/v1/uploads/{begun.json['id']}"
        part = client.post_form(f"{path}/parts", Field("data", b"{}", "x"), **keyed)
        yield part
        yield client.post(f"{path}/complete", {"part_ids": [part.json["id"]]})
    yield client.send(
        "POST", "/together/v1/files", urlencode({"purpose": "batch-api", "file_name": text}).encode(),
        content_type="application/x-www-form-urlencoded", **keyed,
    )  # fmt: skip
    parts = {"purpose": "batch-api", "file_name": text, "file_size": 5, "num_parts": 1}
    initiated = client.post("/together/v1/files/multipart/initiate", parts, **keyed)
    yield initiated
    if initiated.status == 200:
        done = {
            "file_id": initiated.json["file_id"], "upload_id": initiated.json["upload_id"],
            "parts": [{"part_number": 1, "etag": text}],
        }  # fmt: skip
        yield client.post("/together/v1/files/multipart/complete", done)
        yield client.post("/together/v1/files/multipart/abort", {**done, "upload_id": text})
    metadata = {"metadata": {text[:60]: text}}
    if file.status == 200:
        yield client.create_batch(file.json["id"], headers=keyed, **metadata)
        yield client.get(f"/v1/files/{file.json['id']}")
    request = {"request_body": chat, **metadata}
    made = client.post("/v1/requests", request, **keyed)
    yield made
    if made.status == 201:
        group = {"requests_ids": [made.json["id"]], **metadata}
        yield client.post("/v1/batches", group, **other)
    task = {
        "text_data": text,
        "callback_url": "https://hooks.example.com/a",
        "metadata": {text: text},
    }
    yield client.post("/api/v1/task/async", task, **keyed)
    hook = {"name": text, "url": "https://hooks.example.com/a", "event_types": ["batch.completed"]}
    yield client.post("/v1/webhook_endpoints", hook, **keyed)
    for path in ("/v1/files", "/v1/batches", "/together/v1/files"):
        yield client.get(path, after=text, purpose=text)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_callers_is_in_a_key_a_path_or_a_header(text: str) -> None:
    world = World()
    client = Client(world)
    signed: list[str] = []
    sign = world.presigner._sign

    def noted(key: str, seconds: int, **query: str) -> str:
        signed.append(key)
        return sign(key, seconds, **query)

    world.presigner._sign = noted  # type: ignore[method-assign]
    answers = list(_sent(client, text))
    assert [answer.text for answer in answers if answer.status >= 500] == []
    assert len([answer for answer in answers if answer.status < 400]) > 5
    keys = [each.key for each in world.reader.list("")]
    rows = [str(key) for found in world.changes._tables.rows.values() for key in found]
    assert len(keys) > 3
    assert len(signed) >= 2
    assert [key for key in (*keys, *rows, *signed) if MARK in key] == []
    for answer in answers:
        for name, value in answer.headers.items():
            shown = urlsplit(value).path if name == "location" else value
            assert MARK not in shown, name
            assert not set("\r\n\0") & set(value)


def test_a_file_is_shown_under_its_name_as_text_in_which_nothing_does_anything() -> None:
    """Without what isn't printable, and as JSON in ASCII."""
    client = Client(World())
    for text in HOSTILE:
        made = client.post("/v1/files", {"filename": text, "purpose": "batch", "bytes": 9})
        shown: Any = client.get(f"/v1/files/{made.json['id']}")
        assert MARK in shown.json["filename"]
        assert shown.json["filename"].isprintable()
        assert shown.text.isascii()
        assert shown.text.isprintable()
