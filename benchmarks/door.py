"""How fast, and in how much memory, the door takes one large file from an unmodified SDK.

    make bench-door GB=10

The real `containers.door.main` runs as a process of its own, with boto3 as on AWS. Rows are in the AWS emulator's
DynamoDB; in S3's place stands a process that speaks its multipart protocol, keeps each part's size and CRC-32 and
forgets the bytes, since an object in memory is what the emulator would make of 10 GB. The client is the OpenAI SDK in a
third process: `client.files.create(file=open(…))`. Every part's CRC is held against the file's.

The reference in the same run is the same file sent by plain httpx straight to that S3, without SDK and door.
`peak_rss_mb` is the door's (`VmHWM`); what the SDK took is printed beside it. All share this machine's processors.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx

from infra.storage import TABLES, Key
from offpeak.aws.connect import Aws
from offpeak.local.emulator import Emulator
from offpeak.local.processes import Process, answers, free_port
from offpeak.steps.create_key import create_key

ROOT = Path(__file__).parent.parent
STAGE, BUCKET = "bench", "bench"
BLOCK_BYTES = 1 << 20
REFERENCE_BYTES_MAX = 2 * 10**9
SECONDS_MAX = 3_600.0
PEPPER = f"{STAGE}-key-pepper"
TABLES_OF_THE_DOOR = ("accounts", "files", "idempotency")
UPLOAD = """
import json, resource, sys, time
from openai import OpenAI
client = OpenAI(timeout=3600, max_retries=0)
with open(sys.argv[1], "rb") as file:
    started = time.monotonic()
    made = client.files.create(file=file, purpose="batch")
    seconds = time.monotonic() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"bytes": made.bytes, "status": made.status, "seconds": seconds, "peak_rss_mb": peak}))
"""


# ── an S3 that keeps nothing ─────────────────────────────────────────────────────────────────────────────────────────


class Sink(BaseHTTPRequestHandler):
    """Objects by key: for each part its size and CRC-32. `GET /_parts` tells them as JSON."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer's head and body in one packet
    parts: dict[str, dict[int, tuple[int, int]]] = {}  # noqa: RUF012 - the server's, shared by its threads
    done: set[str] = set()  # noqa: RUF012
    lock = Lock()

    def handle_expect_100(self) -> bool:
        going_on = super().handle_expect_100()
        self.wfile.flush()  # botocore waits a second for it
        return going_on

    def do_PUT(self) -> None:
        key, query = self._asked()
        size, crc = self._swallow()
        with self.lock:
            self.parts.setdefault(key, {})[int(query.get("partNumber", "1"))] = (size, crc)
            if "partNumber" not in query:
                self.done.add(key)
        self._answer(200, b"", ETag=f'"{crc:032x}"')

    def do_POST(self) -> None:
        key, query = self._asked()
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "uploads" in query:
            self._answer(200, b"<R><UploadId>1</UploadId></R>")
            return
        with self.lock:
            self.done.add(key)
        self._answer(200, b'<R><ETag>"0"</ETag></R>')

    def do_DELETE(self) -> None:
        key, _ = self._asked()
        with self.lock:
            self.parts.pop(key, None)
        self._answer(204, b"")

    def do_HEAD(self) -> None:
        key, _ = self._asked()
        if key not in self.done:
            self._answer(404, b"")
            return
        size = sum(size for size, _ in self.parts[key].values())
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.send_header("ETag", '"0"')
        self.end_headers()

    def do_GET(self) -> None:
        with self.lock:
            told = {
                key: [parts[number] for number in sorted(parts)]
                for key, parts in self.parts.items()
            }
        self._answer(200, json.dumps(told).encode())

    def _asked(self) -> tuple[str, dict[str, str]]:
        url = urlsplit(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        return url.path, {name: values[0] for name, values in query.items()}

    def _swallow(self) -> tuple[int, int]:
        size = left = int(self.headers["Content-Length"])
        crc, buffer = 0, memoryview(bytearray(BLOCK_BYTES))
        while left:
            got = self.rfile.readinto(buffer[: min(left, BLOCK_BYTES)])
            if not got:
                raise ConnectionError("The part has broken off.")
            crc = zlib.crc32(buffer[:got], crc)
            left -= got
        return size, crc

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silence."""


def serve_sink(port: int) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", port), Sink)
    server.daemon_threads = True
    server.serve_forever()


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def blocks(size: int) -> Iterator[bytes]:
    """Blocks of 1 MiB, no two alike."""
    noise = os.urandom(BLOCK_BYTES - 8)
    for number in range(-(-size // BLOCK_BYTES)):
        block = number.to_bytes(8, "big") + noise
        yield block[: size - number * BLOCK_BYTES]


def write_file(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.writelines(blocks(size))


def wrong_parts(path: Path, parts: list[tuple[int, int]]) -> int:
    """How many parts are not what the file has at their place; a missing or a surplus byte is one more."""
    wrong = 0
    with path.open("rb") as file:
        for size, crc in parts:
            found = 0
            for start in range(0, size, BLOCK_BYTES):
                found = zlib.crc32(file.read(min(BLOCK_BYTES, size - start)), found)
            wrong += found != crc
        return wrong + (file.tell() != path.stat().st_size)


# ── the processes ────────────────────────────────────────────────────────────────────────────────────────────────────


def make_tables(environment: Mapping[str, str]) -> dict[str, str]:
    arguments: Any = _client_arguments(environment)
    dynamodb: Any = boto3.Session().client("dynamodb", **arguments)
    secrets: Any = boto3.Session().client("secretsmanager", **arguments)
    secrets.create_secret(Name=PEPPER, SecretString="pepper")
    for name in TABLES_OF_THE_DOOR:
        schema = TABLES[name]
        attributes = {
            each[0]: each[1] for key in (schema.key, *schema.indexes.values()) for each in _of(key)
        }
        indexes = [
            {"IndexName": index, "KeySchema": _schema(key), "Projection": {"ProjectionType": "ALL"}}
            for index, key in schema.indexes.items()
        ]
        dynamodb.create_table(
            TableName=f"{STAGE}-{name}",
            KeySchema=_schema(schema.key),
            AttributeDefinitions=[
                {"AttributeName": attribute, "AttributeType": kind}
                for attribute, kind in attributes.items()
            ],
            BillingMode="PAY_PER_REQUEST",
            **({"GlobalSecondaryIndexes": indexes} if indexes else {}),
        )
    tables = {f"OFFPEAK_TABLE_{name.upper()}": f"{STAGE}-{name}" for name in TABLES_OF_THE_DOOR}
    return {**tables, "OFFPEAK_KEY_PEPPER": PEPPER}


def _client_arguments(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        "endpoint_url": environment["AWS_ENDPOINT_URL"],
        "region_name": environment["AWS_REGION"],
        "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
    }


def _of(key: Key) -> list[tuple[str, str]]:
    return [key.partition, *([key.sort] if key.sort else [])]


def _schema(key: Key) -> list[dict[str, str]]:
    kinds = ("HASH", "RANGE")
    return [{"AttributeName": n, "KeyType": k} for (n, _), k in zip(_of(key), kinds, strict=False)]


def make_key(environment: Mapping[str, str]) -> str:
    os.environ.update(environment)
    aws = Aws(environment)
    made = create_key(
        "bench", "bench", make_account=True,
        clock=aws.clock, accounts=aws.accounts, changes=aws.changes,
        key_hashes=aws.key_hashes,
    )  # fmt: skip
    return made.secret


def upload(path: Path, door_port: int, secret: str) -> dict[str, float]:
    """By the OpenAI SDK, in a process of its own."""
    environment = {
        "PATH": os.environ["PATH"], "OPENAI_API_KEY": secret,
        "OPENAI_BASE_URL": f"http://127.0.0.1:{door_port}/v1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", UPLOAD, str(path)],
        env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"The upload failed:\n{done.stderr}")
    told: dict[str, float] = json.loads(done.stdout)
    return told


def straight(path: Path, size: int, sink_port: int) -> float:
    """Seconds for `size` bytes of the file, sent to the sink as they are."""

    def pieces() -> Iterator[bytes]:
        left = size
        with path.open("rb") as file:
            while left:
                piece = file.read(min(left, 64 * 1024))
                left -= len(piece)
                yield piece

    started = time.monotonic()
    url = f"http://127.0.0.1:{sink_port}/{BUCKET}/reference"
    headers = {"Content-Length": str(size)}
    httpx.put(url, content=pieces(), headers=headers, timeout=SECONDS_MAX, trust_env=False)
    return time.monotonic() - started


def peak_rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [peak] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(peak) / 1_024


def measure(gb: float, folder: Path) -> dict[str, float]:
    size = int(gb * 10**9)
    path = folder / "large.jsonl"
    print(f"writing {gb:g} GB to {folder}", flush=True)
    write_file(path, size)
    with ExitStack() as open_:
        emulator = open_.enter_context(
            Emulator(ROOT / ".offpeak/venvs/emulator/bin/python", folder / "emulator")
        )
        sink_port, door_port = free_port(), free_port()
        sink = Process(
            "The sink", [sys.executable, "-m", "benchmarks.door", "--sink", str(sink_port)],
            log=folder / "sink.log", environment={"PATH": "/usr/bin:/bin"}, cwd=ROOT,
        )  # fmt: skip
        open_.callback(sink.stop)
        environment = {
            **emulator.environment, **make_tables(emulator.environment), "OFFPEAK_BUCKET": BUCKET,
        }  # fmt: skip
        secret = make_key(environment)
        door = Process(
            "The door", [sys.executable, "-m", "containers.door.main"],
            log=folder / "door.log",
            environment={
                **environment, "PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1", "MALLOC_ARENA_MAX": "2",
                "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{sink_port}",
                "OFFPEAK_GATEWAY_URL": "http://127.0.0.1:9", "OFFPEAK_BIND_HOST": "127.0.0.1",
                "OFFPEAK_PORT": str(door_port),
            },
            cwd=ROOT,
        )  # fmt: skip
        open_.callback(door.stop)
        for process, port in ((sink, sink_port), (door, door_port)):
            process.wait_until(lambda port=port: answers(port), 60)  # type: ignore[misc]
        at_rest = peak_rss_mb(door.pid)
        told = upload(path, door_port, secret)
        peak = peak_rss_mb(door.pid)
        stored = httpx.get(f"http://127.0.0.1:{sink_port}/_parts", trust_env=False).json()
        [parts] = stored.values()
        if told["bytes"] != size or wrong_parts(path, parts):
            raise SystemExit(f"The object is not the file: {told}, {len(parts)} parts.")
        reference_bytes = min(size, REFERENCE_BYTES_MAX)
        reference = reference_bytes / straight(path, reference_bytes, sink_port) / 1e6
    speed = size / told["seconds"] / 1e6
    print(
        f"parts {len(parts)}, all of them the file's; the SDK's own peak {told['peak_rss_mb']:.0f} MB"
    )
    print(f"the door at rest {at_rest:.0f} MB, at its peak {peak:.0f} MB")
    print(
        f"{speed:.0f} MB/s; straight to the sink {reference:.0f} MB/s; ratio {speed / reference:.2f}"
    )
    return {"gb": gb, "mb_per_s": round(speed, 1), "peak_rss_mb": round(peak, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=10.0)
    parser.add_argument("--sink", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.sink:
        serve_sink(given.sink)
        return
    with tempfile.TemporaryDirectory(prefix="offpeak-bench-") as folder:
        print(json.dumps(measure(given.gb, Path(folder))))


if __name__ == "__main__":
    main()
