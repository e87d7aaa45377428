"""The door as it runs, on a port of this machine: ports in memory, and an HTTP server in API Gateway's place."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import uvicorn

from containers.door.app import create_app
from containers.door.ports import DoorPorts
from containers.door.settings import DoorSettings
from offpeak.local.processes import free_port
from tests.lambdas.api.client import World

WAIT_SECONDS_MAX = 60.0


class Behind(BaseHTTPRequestHandler):
    """Says what it was asked. `/moved` redirects to `/stored`, which keeps S3's manners about ranges."""

    protocol_version = "HTTP/1.1"
    stored = bytes(range(256)) * 4_000

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.endswith("/stored"):
            self._give_stored()
        elif path.endswith("/moved"):
            self._answer(302, b"", Location=f"http://{self.headers['Host']}/stored?signed=yes")
        elif path.endswith("/gone"):
            self._answer(302, b"", Location=f"http://{self.headers['Host']}/nothing?refuse=yes")
        elif "refuse=yes" in self.path:
            self._answer(403, b"<Error/>")
        else:
            self._tell(b"")

    def do_POST(self) -> None:
        self._tell(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST  # noqa: N815 - http.server's names

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "7")
        self.end_headers()

    def _tell(self, body: bytes) -> None:
        told = {
            "method": self.command, "path": self.path, "body": body[:100].decode("latin-1"),
            "bytes": len(body), "headers": {k.lower(): v for k, v in self.headers.items()},
        }  # fmt: skip
        self._answer(200, json.dumps(told).encode(), **{"Content-Type": "application/json"})

    def _give_stored(self) -> None:
        if "authorization" in self.headers:
            self._answer(400, b"two ways to authenticate")
            return
        start, _, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if not start:
            self._answer(200, self.stored, **{"x-amz-id-2": "internal", "ETag": '"e"'})
            return
        part = self.stored[int(start) : int(last) + 1]
        told = f"bytes {start}-{last}/{len(self.stored)}"
        self._answer(206, part, **{"Content-Range": told})

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silence."""


@contextmanager
def gateway() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Behind)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/stage"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Door:
    """A server in a thread. `stop` is what SIGTERM is to the process."""

    def __init__(self, ports: DoorPorts, gateway_url: str, **settings: Any) -> None:
        self.port = free_port()
        made = DoorSettings(gateway_url=gateway_url, port=self.port, **settings)
        self._server = uvicorn.Server(
            uvicorn.Config(
                create_app(ports, made), host="127.0.0.1", port=self.port, log_config=None,
                access_log=False, timeout_graceful_shutdown=made.drain_seconds,
            )
        )  # fmt: skip
        self._thread = threading.Thread(target=self._server.run)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Door:
        self._thread.start()
        until(lambda: self._server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.join()

    def stop(self) -> None:
        self._server.should_exit = True

    def join(self) -> None:
        self._thread.join(WAIT_SECONDS_MAX)
        assert not self._thread.is_alive()

    def call(self, method: str, path: str, key: str = "alice", **request: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer sk-{key}", **request.pop("headers", {})}
        return httpx.request(
            method, self.url + path, headers=headers, timeout=WAIT_SECONDS_MAX, trust_env=False,
            **request,
        )  # fmt: skip

    def begin(self, path: str, head: bytes, *, length: int) -> socket.socket:
        """A caller who has sent the beginning of a form, and is in no hurry."""
        caller = socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_SECONDS_MAX)
        request = (
            f"POST {path} HTTP/1.1\r\nHost: door\r\nAuthorization: Bearer sk-alice\r\n"
            f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
        )
        caller.sendall(request.encode() + head)
        return caller


def nothing_is_left(world: World) -> bool:
    files = world.files.list("acct_alice", limit=10, after=None, purpose=None, ascending=True)
    return not (world.multipart.open_ids or list(world.reader.list("")) or files.rows)


def until(happens: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + WAIT_SECONDS_MAX
    while not happens():
        assert time.monotonic() < give_up_at, "it has not happened"
        time.sleep(0.01)
