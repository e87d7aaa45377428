"""`offpeak` as a process: what a shell sees when its reader goes away, or somebody presses Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
LINES = 300_000
SLOW = {"id": "batch_slow", "status": "in_progress"}
DONE = {"id": "batch_done", "status": "completed", "output_file_id": "file-1"}


class _Handler(BaseHTTPRequestHandler):
    """Two batches, one of them without end, and a large output file."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.endswith("/content"):
            self._answer(b'{"custom_id": "x"}\n' * LINES)
            return
        batch = SLOW if self.path.endswith("slow") else DONE
        counts = {"total": LINES, "completed": 1, "failed": 0}
        self._answer(json.dumps({**batch, "request_counts": counts}).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are what these tests are about."""


@pytest.fixture
def url() -> Iterator[str]:
    with _Server(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def start(url: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "offpeak.cli.main", *arguments],
        env={"OFFPEAK_BASE_URL": url, "OFFPEAK_API_KEY": "sk-1", "PYTHONUNBUFFERED": "1"},
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=_hear_ctrl_c,  # noqa: PLW1509 - all it does is to set a signal's disposition
    )  # fmt: skip


def _hear_ctrl_c() -> None:
    """A shell starts what it puts into the background deaf to SIGINT, and the tests may run there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_reader_that_goes_away_is_no_reason_for_a_traceback(url: str) -> None:
    with start(url, "results", "batch_done") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b'{"custom_id": "x"}\n'
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 1
    assert said == b""


def test_ctrl_c_ends_a_watch_quietly(url: str) -> None:
    with start(url, "status", "batch_slow", "--watch") as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"batch_slow: in_progress")
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    assert b"Traceback" not in said
