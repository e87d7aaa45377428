"""Files of any size, by SDKs as they are: the door of the local cloud is the container's own program."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import httpx
import pytest

from offpeak.local.cloud import LocalCloud
from tests.e2e import sdks
from tests.e2e.caller import Caller
from tests.e2e.follow import until_ended
from tests.e2e.lines import assert_each_once_in_input_order, chat_line, jsonl, parse
from tests.e2e.receiver import until

pytestmark = [pytest.mark.cloud]

LINES = [chat_line(f"wide-{n:03}", f"{n} {'x' * 500_000}") for n in range(60)]
CONTENT = jsonl(LINES)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("door") / "large.jsonl"
    path.write_bytes(CONTENT)
    return path


def stored(caller: Caller, file_id: str) -> bytes:
    return caller.sdk().files.content(file_id).read()


def test_a_large_file_is_created_by_the_plain_call_and_runs(caller: Caller, large: Path) -> None:
    client = caller.sdk()
    with large.open("rb") as opened:
        file = client.files.create(file=opened, purpose="batch")
    assert (file.bytes, file.filename, file.status) == (len(CONTENT), "large.jsonl", "processed")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    ended = until_ended(client, batch.id, seconds_max=180)
    assert ended.output_file_id is not None
    results = parse(client.files.content(ended.output_file_id).text)
    assert_each_once_in_input_order(LINES, results)


def test_a_chunked_form_with_the_file_first_becomes_a_file(caller: Caller) -> None:
    def form() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
        for start in range(0, len(CONTENT), 100_000):
            yield CONTENT[start : start + 100_000]
        yield b'\r\n--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n'

    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = caller.call("POST", "/files", content=form(), headers=kind)
    assert answer.status_code == 200, answer.text
    assert stored(caller, answer.json()["id"]) == CONTENT


@pytest.mark.node
def test_nodes_sdk_streams_a_large_file_too(caller: Caller, large: Path) -> None:
    [node, script] = sdks.node()
    environment = {
        "PATH": os.environ["PATH"], "OPENAI_BASE_URL": f"{caller.base_url}/v1",
        "OPENAI_API_KEY": caller.api_key,
    }  # fmt: skip
    done = subprocess.run(
        [node, str(Path(script).with_name("door.mjs")), str(large)],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    file = json.loads(done.stdout)
    assert file["bytes"] == len(CONTENT)
    assert stored(caller, file["id"]) == CONTENT


def test_an_upload_in_parts_of_the_sdks_own_size(caller: Caller) -> None:
    content = CONTENT * 3  # more than one part of its 64 MiB
    upload = caller.sdk().uploads.upload_file_chunked(
        file=content, filename="large.jsonl", bytes=len(content), mime_type="application/jsonl",
        purpose="batch", md5=hashlib.md5(content).hexdigest(),
    )  # fmt: skip
    assert upload.file is not None
    assert upload.file.bytes == len(content)


def test_a_caller_who_hangs_up_leaves_nothing(caller: Caller, cloud: LocalCloud) -> None:
    s3 = boto3.client(
        "s3", endpoint_url=cloud.environment["AWS_ENDPOINT_URL"], region_name="us-east-1",
        aws_access_key_id="test", aws_secret_access_key="test",
    )  # fmt: skip
    prefix = f"files/{caller.account_id}/"

    def under_way() -> bool:
        # The emulator filters no prefix here.
        found = s3.list_multipart_uploads(Bucket=cloud.bucket).get("Uploads", [])
        return any(upload["Key"].startswith(prefix) for upload in found)

    url = urlsplit(caller.base_url)
    head = (
        f"POST /v1/files HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer {caller.api_key}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000000\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
    )
    with socket.create_connection((url.hostname, url.port), timeout=60) as connection:
        connection.sendall(head.encode() + CONTENT)
        until(under_way, "parts are on their way")
    until(lambda: not under_way(), "the parts are given up")
    assert s3.list_objects_v2(Bucket=cloud.bucket, Prefix=prefix).get("Contents", []) == []
    assert caller.call("GET", "/files").json()["data"] == []


def test_a_download_without_a_redirect(caller: Caller) -> None:
    file = caller.sdk().files.create(file=("a.jsonl", CONTENT), purpose="batch")
    url = f"{caller.base_url}/v1/files/{file.id}/content"
    headers = {"Authorization": f"Bearer {caller.api_key}"}
    assert httpx.get(url, headers=headers).status_code == 302
    whole = httpx.get(url, headers=headers, params={"redirect": "false"}, timeout=60)
    assert (whole.status_code, whole.content) == (200, CONTENT)
    part = httpx.get(f"{url}?redirect=false", headers={**headers, "Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, CONTENT[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(CONTENT)}"
