"""A container for tests of the stand-in: `/ping`, and an `/invocations` that does what the body says. With
`NEVER_READY` set, its health checks fail."""

from __future__ import annotations

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Worker(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        ready = "NEVER_READY" not in os.environ
        self._answer((200 if ready else 503) if self.path == "/ping" else 404, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        order = json.loads(body)
        time.sleep(order.get("seconds", 0))
        match order["do"]:
            case "die":
                os._exit(1)
            case "fail":
                self._answer(500, b"the engine is dead")
            case "chunk":
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"2\r\n{}\r\n0\r\n\r\n")
            case _:
                told = {"pid": os.getpid(), "environment": dict(os.environ), "order": order}
                self._answer(200, json.dumps(told | {"headers": dict(self.headers)}).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silence."""


if __name__ == "__main__":
    port = int(os.environ["SAGEMAKER_BIND_TO_PORT"])
    ThreadingHTTPServer((os.environ["OFFPEAK_BIND_HOST"], port), Worker).serve_forever()
