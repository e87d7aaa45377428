"""A large file's way straight to S3, over real HTTP against a server that fails on demand."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from offpeak.cli import upload
from offpeak.cli.client import Api
from offpeak.cli.errors import CliError, Unreachable, UsageError
from offpeak.cli.settings import Settings
from offpeak.cli.upload import check_input, upload_file

PART_BYTES = 1_000_000
CONTENT = bytes(range(256)) * 18_000  # 4.6 MB: over what one request carries, five parts


class Deployment(ThreadingHTTPServer):
    """The API's two calls for a large file, and the presigned URLs they lead to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.parts: dict[int, bytes] = {}
        self.puts: Counter[int] = Counter()
        self.completed: dict[str, Any] = {}
        self.deleted: list[str] = []
        self.refuse: Callable[[int, int], int] = lambda _part, _try: 200
        self.lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle of a part is what some of these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: Deployment
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self._body())
        if self.path.endswith("/complete"):
            self.server.completed = body
            self._answer(200, {"id": "file-1", "status": "processed"})
            return
        count = -(-body["bytes"] // PART_BYTES)
        parts = [{"number": n, "url": f"{self.server.url}/s3/{n}"} for n in range(1, count + 1)]
        self._answer(200, {"id": "file-1", "upload": {"part_bytes": PART_BYTES, "parts": parts}})

    def do_PUT(self) -> None:
        number, body = int(self.path.rsplit("/", 1)[1]), self._body()
        with self.server.lock:
            self.server.puts[number] += 1
            status = self.server.refuse(number, self.server.puts[number])
        if status == 200:
            self.server.parts[number] = body
        self._answer(status, {}, etag=f'"etag-{number}"')

    def do_DELETE(self) -> None:
        self.server.deleted.append(self.path)
        self._answer(200, {"deleted": True})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _answer(self, status: int, body: dict[str, Any], **headers: str) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(raw))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    with Deployment() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def api(deployment: Deployment) -> Iterator[Api]:
    with Api(Settings(deployment.url, "sk-offpeak-1")) as api:
        yield api


@pytest.fixture
def large_file(tmp_path: Path) -> Path:
    path = tmp_path / "large.jsonl"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(autouse=True)
def no_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "backoff_seconds", lambda _tries: 0.0)


def test_the_parts_are_the_file(deployment: Deployment, api: Api, large_file: Path) -> None:
    assert upload_file(api, large_file, lambda _count: None)["status"] == "processed"
    assert b"".join(deployment.parts[number] for number in range(1, 6)) == CONTENT
    assert [part["etag"] for part in deployment.completed["parts"]] == [
        f'"etag-{number}"' for number in range(1, 6)
    ]


def test_progress_ends_at_the_files_size_although_a_part_went_twice(
    deployment: Deployment, api: Api, large_file: Path
) -> None:
    deployment.refuse = lambda part, tries: 503 if (part, tries) == (3, 1) else 200
    sent: list[int] = []
    upload_file(api, large_file, sent.append)
    assert deployment.puts[3] == 2
    assert sum(sent) == len(CONTENT)


def test_a_part_that_is_never_taken_ends_the_upload_and_leaves_nothing_half_made(
    deployment: Deployment, api: Api, large_file: Path
) -> None:
    deployment.refuse = lambda part, _tries: 500 if part == 2 else 200
    with pytest.raises(
        Unreachable, match=r"Part 2 of large\.jsonl was not taken: S3 answered HTTP 500"
    ):
        upload_file(api, large_file, lambda _count: None)
    assert deployment.puts[2] == 5
    assert deployment.deleted == ["/v1/files/file-1"]
    assert not deployment.completed


def test_a_refused_signature_is_not_tried_again(
    deployment: Deployment, api: Api, large_file: Path
) -> None:
    deployment.refuse = lambda _part, _tries: 403
    with pytest.raises(CliError, match="HTTP 403"):
        upload_file(api, large_file, lambda _count: None)
    assert max(deployment.puts.values()) == 1


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no\.jsonl is not there"):
        check_input(tmp_path / "no.jsonl")


def test_a_folder_is_no_input(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no file"):
        check_input(tmp_path)


def test_an_empty_file_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(UsageError, match=r"empty\.jsonl is empty"):
        check_input(tmp_path / "empty.jsonl")
