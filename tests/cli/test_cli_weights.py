"""`offpeak models stage`, from a server that speaks the hub's API to the emulator's S3."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import boto3
import pytest

from offpeak.cli.errors import CliError
from offpeak.cli.hub import Corrupt, HubFile, list_model, needed_files
from offpeak.cli.weights import copy_weights, stage_tokenizer, weights_prefix
from offpeak.core.layout import tokenizer_key
from offpeak.local.emulator import Emulator
from offpeak.local.processes import free_port

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NAME, COMMIT = "org/tiny", "c0ffee" * 6 + "1234"
LARGE = bytes(range(256)) * 40_000  # 10 MB
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "model-00001-of-00002.safetensors": LARGE,
    "model-00002-of-00002.safetensors": LARGE[::-1],
    "pytorch_model.bin": b"the same once more",
    "original/consolidated.00.pth": b"and again",
    "README.md": b"# tiny",
    ".gitattributes": b"",
}
NEEDED = sorted(name for name in FILES if name.startswith(("config", "tokenizer", "model-")))


class Hub(ThreadingHTTPServer):
    """`/api/models/…` and `/…/resolve/…`, as huggingface_hub asks for them. `breaks_after` cuts each answer short,
    `private` asks for a token, `swapped` are files whose bytes are others than those that it lists."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _HubHandler)
        self.downloads: Counter[str] = Counter()
        self.ranges: list[str] = []
        self.breaks_after: int | None = None
        self.gated = False
        self.swapped: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _HubHandler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        token = self.headers.get("Authorization")
        if self.server.gated and token != "Bearer hf_right":
            self._answer(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif re.fullmatch(rf"/api/models/{NAME}(/revision/(main|{COMMIT}))?", path):
            self._answer(
                200, json.dumps(self._info()).encode(), {"Content-Type": "application/json"}
            )
        elif path.startswith(f"/{NAME}/resolve/{COMMIT}/"):
            self._file(path.removeprefix(f"/{NAME}/resolve/{COMMIT}/"))
        else:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _info(self) -> dict[str, Any]:
        siblings = []
        for name, content in FILES.items():
            listed: dict[str, Any] = {
                "rfilename": name, "size": len(content), "blobId": hashlib.sha1(content).hexdigest(),
            }  # fmt: skip
            if name.endswith(("safetensors", "bin", "pth")):
                sha256 = hashlib.sha256(content).hexdigest()
                listed["lfs"] = {"size": len(content), "sha256": sha256, "pointerSize": 134}
            siblings.append(listed)
        return {"id": NAME, "modelId": NAME, "sha": COMMIT, "siblings": siblings, "tags": []}

    def _file(self, name: str) -> None:
        content = FILES[name]
        if name in self.server.swapped:
            content = content[::-1]
        self.server.downloads[name] += 1
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        if asked:
            self.server.ranges.append(asked[0])
        body = content[start:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.breaks_after])
        self.close_connection = True

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Quietly."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr("offpeak.cli.hub.backoff_seconds", lambda _: 0.0)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def s3(emulator: Emulator) -> S3Client:
    environment = emulator.environment
    return boto3.client(
        "s3", endpoint_url=emulator.url, region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip


@pytest.fixture
def bucket(s3: S3Client, request: pytest.FixtureRequest) -> str:
    name = "weights-" + hashlib.sha1(request.node.name.encode()).hexdigest()[:12]
    s3.create_bucket(Bucket=name)
    return name


def stored(s3: S3Client, bucket: str) -> dict[str, bytes]:
    prefix = f"weights/{NAME}/{COMMIT}/"
    found = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {
        each["Key"].removeprefix(prefix): s3.get_object(Bucket=bucket, Key=each["Key"])[
            "Body"
        ].read()
        for each in found
    }


def copy(s3: S3Client, bucket: str) -> int:
    return copy_weights(list_model(NAME, "main"), s3, bucket, lambda _: None)


def test_what_serving_needs_is_listed_at_its_commit(hub: Hub) -> None:
    model = list_model(NAME, "main")
    assert model.commit == COMMIT
    assert [file.path for file in model.files] == NEEDED
    assert weights_prefix(model) == f"weights/{NAME}/{COMMIT}"


def test_a_model_that_publishes_only_consolidated_weights_keeps_them() -> None:
    files = [
        HubFile(path=path, bytes=1, etag="e", sha256=None)
        for path in ("consolidated.safetensors", "params.json", "consolidated.pth", "README.md")
    ]
    kept = {file.path for file in needed_files(files)}
    assert {"consolidated.safetensors", "params.json"} <= kept
    assert "README.md" not in kept


def test_a_model_without_safetensors_keeps_what_it_has() -> None:
    files = [
        HubFile(path=path, bytes=1, etag="e", sha256=None)
        for path in ("pytorch_model.bin", "config.json")
    ]
    assert needed_files(files) == files


def test_a_model_that_is_not_there_is_said(hub: Hub) -> None:
    with pytest.raises(CliError, match="no org/none"):
        list_model("org/none", "main")


def test_a_hub_that_nobody_reaches_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("HF_ENDPOINT", nowhere)
    with pytest.raises(CliError, match=f"The hub at {nowhere} does not answer about {NAME}"):
        list_model(NAME, "main")


def test_a_gated_model_needs_the_token_of_who_accepted_its_terms(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.gated = True
    with pytest.raises(CliError, match="gated"):
        list_model(NAME, "main")
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert list_model(NAME, "main").files


@pytest.mark.cloud
def test_weights_arrive_whole_and_are_sent_once(hub: Hub, s3: S3Client, bucket: str) -> None:
    assert copy(s3, bucket) == len(NEEDED)
    assert stored(s3, bucket) == {name: FILES[name] for name in NEEDED}
    before = hub.downloads.total()
    assert copy(s3, bucket) == 0
    assert hub.downloads.total() == before


@pytest.mark.cloud
def test_the_tokenizer_is_copied_to_where_estimates_read_it(
    hub: Hub, s3: S3Client, bucket: str
) -> None:
    copy(s3, bucket)
    told = stage_tokenizer(s3, bucket, f"weights/{NAME}/{COMMIT}", bucket, "tiny")
    assert "count by its tokenizer" in told
    staged = s3.get_object(Bucket=bucket, Key=tokenizer_key("tiny"))["Body"].read()
    assert staged == FILES["tokenizer.json"]
    told = stage_tokenizer(s3, bucket, "weights/elsewhere", bucket, "other")
    assert "no tokenizer.json" in told
    told = stage_tokenizer(s3, bucket, f"weights/{NAME}/{COMMIT}", "nowhere-at-all", "tiny")
    assert "could not be copied to nowhere-at-all" in told


@pytest.mark.cloud
def test_a_large_file_goes_in_parts(
    hub: Hub, s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offpeak.cli.weights.PART_BYTES", 5 * 1024**2)
    copy(s3, bucket)
    key = f"weights/{NAME}/{COMMIT}/model-00001-of-00002.safetensors"
    assert s3.head_object(Bucket=bucket, Key=key)["ETag"].endswith('-2"')  # of two parts
    assert stored(s3, bucket)["model-00001-of-00002.safetensors"] == LARGE


@pytest.mark.cloud
def test_a_broken_line_goes_on_where_it_broke(hub: Hub, s3: S3Client, bucket: str) -> None:
    hub.breaks_after = 3_000_000
    copy(s3, bucket)
    assert stored(s3, bucket) == {name: FILES[name] for name in NEEDED}
    assert hub.ranges
    assert "bytes=0-" not in hub.ranges


@pytest.mark.cloud
def test_bytes_that_are_not_those_listed_are_not_kept(hub: Hub, s3: S3Client, bucket: str) -> None:
    hub.swapped = {"model-00002-of-00002.safetensors"}
    with pytest.raises(Corrupt, match="SHA-256"):
        copy(s3, bucket)
    assert "model-00002-of-00002.safetensors" not in stored(s3, bucket)
    hub.swapped = set()
    copy(s3, bucket)  # goes on with what is missing
    assert stored(s3, bucket) == {name: FILES[name] for name in NEEDED}
    assert hub.downloads["model-00001-of-00002.safetensors"] == 1


@pytest.mark.cloud
def test_a_hub_that_never_answers_is_given_up(hub: Hub, s3: S3Client, bucket: str) -> None:
    model = list_model(NAME, "main")
    hub.breaks_after = 0
    with pytest.raises(CliError, match="stopped at byte 0"):
        copy_weights(model, s3, bucket, lambda _: None)
    assert not {name for name in stored(s3, bucket) if name.endswith("safetensors")}
