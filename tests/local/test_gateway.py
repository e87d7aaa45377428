"""The gateway before a server that says what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from starlette.testclient import TestClient

from offpeak.local.gateway import GATEWAY_BYTES_MAX, Gateway, make_app
from offpeak.local.processes import free_port

ENVELOPE = {
    "ResponseType": "DEFAULT_4XX",
    "ResponseTemplates": {
        "application/json": '{"error":{"message":$context.error.messageString,"code":null}}'
    },
    "ResponseParameters": {"gatewayresponse.header.x-from": "'gateway'"},
}


class Behind(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        told = {"path": self.path, "bytes": len(body), "headers": dict(self.headers)}
        self._answer(200, json.dumps(told).encode())

    def do_GET(self) -> None:
        if self.path.endswith("/huge"):
            self._answer(200, b"x" * 6_300_000)
        elif self.path.endswith("/broken"):
            self._answer(502, b'{"message": "Worker init failed"}')
        elif self.path.endswith("/moved"):
            self._answer(302, b"", Location="http://elsewhere.test/object")
        else:
            self._answer(200, self.path.encode())

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silence."""


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Behind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/stage"
    server.shutdown()
    thread.join()
    server.server_close()


def _client(target: str, *answers: dict[str, Any], binary: tuple[str, ...] = ()) -> TestClient:
    gateway = Gateway(port=0, target=target, answers=answers, binary_types=binary)
    return TestClient(make_app(gateway), follow_redirects=False)


def test_path_query_and_headers_pass_untouched(target: str) -> None:
    with _client(target) as client:
        answer = client.post("/v1/a%2Fb?after=x%20y&limit=2", content=b"{}", headers={"X-A": "b"})
        told = answer.json()
    assert told["path"] == "/stage/v1/a%2Fb?after=x%20y&limit=2"
    assert told["bytes"] == 2
    assert told["headers"]["x-a"] == "b"


def test_a_redirect_is_the_clients_to_follow(target: str) -> None:
    with _client(target) as client:
        answer = client.get("/moved")
    assert (answer.status_code, answer.headers["location"]) == (
        302, "http://elsewhere.test/object",
    )  # fmt: skip


def test_a_body_over_the_gateways_limit_gets_the_gateways_answer(target: str) -> None:
    with _client(target, ENVELOPE) as client:
        answer = client.post("/v1/files", content=b"x" * (GATEWAY_BYTES_MAX + 1))
    assert answer.status_code == 413
    assert answer.json() == {"error": {"message": "Request Too Long", "code": None}}
    assert answer.headers["x-from"] == "gateway"


def test_a_binary_body_over_lambdas_limit_is_refused_and_one_under_it_passes(target: str) -> None:
    with _client(target, ENVELOPE, binary=("multipart/form-data",)) as client:
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        assert client.post("/f", content=b"x" * 4_800_000, headers=kind).status_code == 413
        assert client.post("/f", content=b"x" * 4_600_000, headers=kind).status_code == 200
        assert client.post("/f", content=b"x" * 4_800_000).status_code == 200


def test_an_answer_over_lambdas_limit_is_a_bad_gateway(target: str) -> None:
    with _client(target) as client:
        answer = client.get("/huge")
    assert (answer.status_code, answer.json()) == (502, {"message": "Internal server error"})


def test_a_gateway_that_is_gone_is_a_bad_gateway_in_the_envelope() -> None:
    fifth = ENVELOPE | {"ResponseType": "DEFAULT_5XX"}
    with _client(f"http://127.0.0.1:{free_port()}", fifth) as client:
        answer = client.get("/v1/models")
    assert answer.status_code == 502
    assert answer.json()["error"]["message"] == "Internal server error"


def test_the_root_says_what_this_is(target: str) -> None:
    with _client(target) as client:
        assert client.get("/").json()["service"] == "offpeak"


def test_chunked_uploads_are_bounded_too(target: str) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(200):
            yield b"x" * 100_000

    with _client(target, ENVELOPE) as client:
        assert client.post("/v1/files", content=endless()).status_code == 413


def test_what_broke_inside_a_function_stays_inside(target: str) -> None:
    fifth = ENVELOPE | {"ResponseType": "DEFAULT_5XX"}
    with _client(target, fifth) as client:
        answer = client.get("/broken")
    assert answer.status_code == 502
    assert answer.json()["error"]["message"] == "Internal server error"
