"""Somebody who gets callbacks: a server on this machine, which the local cloud alone may send to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECONDS_MAX = 120.0


@dataclass(frozen=True)
class Received:
    path: str
    headers: Mapping[str, str]
    body: bytes


class Receiver(ThreadingHTTPServer):
    """Answers 200, or what `statuses` say of a path: one after the other, the last for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses: dict[str, list[int]] = {}
        self.received: list[Received] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def at(self, path: str) -> list[Received]:
        return [each for each in self.received if each.path == path]

    def wait_for(self, path: str, count: int = 1) -> list[Received]:
        """The first `count` that came there, as soon as they have."""
        until(lambda: len(self.at(path)) >= count, f"{count} callbacks at {path}")
        return self.at(path)[:count]

    def status(self, path: str) -> int:
        statuses = self.statuses.get(path, [200])
        return statuses.pop(0) if len(statuses) > 1 else statuses[0]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.send_response(self.server.status(self.path))
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.server.received.append(Received(self.path, headers, body))

    def log_message(self, format: str, *args: Any) -> None:
        """Quietly."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def until(reached: Callable[[], bool], what: str) -> None:
    give_up_at = time.monotonic() + SECONDS_MAX
    while not reached():
        assert time.monotonic() < give_up_at, f"not after {SECONDS_MAX:.0f} s: {what}"
        time.sleep(0.2)
