"""The echo, and any OpenAI-compatible server by its URL."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from offpeak.aws.destinations import HttpDestinations
from offpeak.core.destination import Reach
from offpeak.core.usage import Usage
from offpeak.local.processes import free_port
from offpeak.wire.usage import read_usage
from offpeak.worker.engine import Engine, EngineAnswer, EngineDead
from offpeak.worker.engines.echo import EchoEngine
from offpeak.worker.engines.openai_server import OpenAIServerEngine, ServerSettings
from tests.worker.world import CHAT, chat


def ask(engine: Engine, body: dict[str, Any], endpoint: str = CHAT) -> EngineAnswer:
    async def asked() -> EngineAnswer:
        await engine.start()
        try:
            return await engine.run(endpoint, body, priority=0)
        finally:
            await engine.stop()

    return asyncio.run(asked())


# ── the echo ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("endpoint", "body", "shape"),
    [
        (CHAT, chat("one two three"), ChatCompletion),
        ("/v1/completions", {"prompt": ["one", "two three"]}, Completion),
        ("/v1/embeddings", {"input": "one two three"}, CreateEmbeddingResponse),
        ("/v1/responses", {"input": [{"role": "user", "content": "one two three"}]}, Response),
    ],
)
def test_the_echo_s_answers_have_openai_s_shape_and_never_differ(
    endpoint: str, body: dict[str, Any], shape: Any
) -> None:
    answer = ask(EchoEngine("tiny"), body, endpoint)
    assert answer.status_code == 200
    assert answer.usage.input_tokens == 3
    shape.model_validate_json(answer.body, strict=True)
    assert json.loads(answer.body)["model"] == "tiny"
    assert ask(EchoEngine("tiny"), body, endpoint) == answer


def test_the_echo_reads_the_text_parts_of_a_message() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "image_url", "image_url": {"url": "x"}}]
    body = {"messages": [{"role": "user", "content": parts}]}
    answer = json.loads(ask(EchoEngine("tiny"), body).body)
    assert answer["choices"][0]["message"]["content"].strip() == "one"


@pytest.mark.parametrize("body", [{}, {"messages": []}, {"messages": ["x"]}, {"messages": 3}])
def test_the_echo_refuses_what_is_no_request(body: dict[str, Any]) -> None:
    answer = ask(EchoEngine("tiny"), body)
    assert answer.status_code == 400
    assert set(json.loads(answer.body)["error"]) == {"message", "type", "param", "code"}


def test_usage_is_read_from_what_engines_really_send() -> None:
    assert read_usage(
        b'{"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14,'
        b'"prompt_tokens_details":{"cached_tokens":4},'
        b'"completion_tokens_details":{"reasoning_tokens":2}}}'
    ) == Usage(input_tokens=9, cached_tokens=4, output_tokens=5, reasoning_tokens=2)
    assert read_usage(
        b'{"usage":{"input_tokens":9,"output_tokens":5,"input_tokens_details":{"cached_tokens":4}}}'
    ) == Usage(input_tokens=9, cached_tokens=4, output_tokens=5)
    assert (
        read_usage(b'{"usage":{"prompt_tokens":3,"prompt_tokens_details":null}}').input_tokens == 3
    )
    for strange in (b"", b"[]", b'{"usage":[]}', b'{"usage":{"prompt_tokens":"three"}}'):
        assert read_usage(strange) == Usage()


@pytest.mark.parametrize("tokens", [-1, -(10**40), 10**10, 10**40])
def test_tokens_that_no_answer_has_are_not_counted_and_nobody_pays_or_is_paid_for_them(
    tokens: int,
) -> None:
    assert read_usage(b'{"usage":{"prompt_tokens":3,"completion_tokens":%d}}' % tokens) == Usage()


def test_a_part_of_the_tokens_is_at_most_all_of_them() -> None:
    assert read_usage(
        b'{"usage":{"prompt_tokens":3,"completion_tokens":2,"prompt_tokens_details":'
        b'{"cached_tokens":9},"completion_tokens_details":{"reasoning_tokens":9}}}'
    ) == Usage(input_tokens=3, cached_tokens=3, output_tokens=2, reasoning_tokens=2)


# ── a server by its URL ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Server:
    """Answers as told, in turn: (status, headers), or this body under status 200; then 200. None hangs up."""

    faults: list[tuple[int, dict[str, str]] | bytes | None] = field(default_factory=list)
    requests: list[tuple[str, dict[str, Any], str | None]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send(200, {}, b'{"object":"list","data":[]}')

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.requests.append((self.path, body, self.headers.get("Authorization")))
            fault = server.faults.pop(0) if server.faults else (200, {})
            if fault is None:
                self.close_connection = True
                return
            if isinstance(fault, bytes):
                self.send(200, {}, fault)
                return
            status, headers = fault
            good = {"model": body["model"], "usage": {"prompt_tokens": 2, "completion_tokens": 1}}
            self.send(
                status, headers, json.dumps(good if status == 200 else {"error": {}}).encode()
            )

        def send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quietly."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        server.url = f"http://127.0.0.1:{http.server_port}"
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


QUICK = ServerSettings(attempts_max=4, retry_seconds=0.001, start_seconds_max=0.1)


def engine_of(url: str, settings: ServerSettings = QUICK, **more: Any) -> OpenAIServerEngine:
    return OpenAIServerEngine(
        url, "tiny", HttpDestinations(Reach.LOOPBACK), settings=settings, **more
    )


def test_a_request_reaches_the_server_under_the_name_it_knows() -> None:
    with serving(Server()) as server:
        engine = engine_of(server.url + "/v1/", server_model="theirs", api_key="k")
        answer = ask(engine, chat("hello"))
    ((path, body, authorization),) = server.requests
    assert (path, body["model"], authorization) == (CHAT, "theirs", "Bearer k")
    assert json.loads(answer.body)["model"] == "tiny"
    assert answer.usage == Usage(input_tokens=2, output_tokens=1)


@pytest.mark.parametrize("fault", [(429, {"Retry-After": "0.01"}), (500, {}), (503, {}), None])
def test_passing_faults_are_tried_again(fault: Any) -> None:
    with serving(Server(faults=[fault, fault])) as server:
        answer = ask(engine_of(server.url), chat("hello"))
    assert answer.status_code == 200
    assert len(server.requests) == 3


def test_a_fault_that_stays_is_answered_after_the_last_attempt() -> None:
    with serving(Server(faults=[(503, {})] * 9)) as server:
        answer = ask(engine_of(server.url), chat("hello"))
    assert answer.status_code == 503
    assert len(server.requests) == QUICK.attempts_max


def test_what_the_server_refuses_is_not_tried_again() -> None:
    with serving(Server(faults=[(400, {})])) as server:
        answer = ask(engine_of(server.url), chat("hello"))
    assert (answer.status_code, len(server.requests)) == (400, 1)


def test_a_server_that_hangs_up_for_good_is_a_dead_engine() -> None:
    with serving(Server(faults=[None] * 9)) as server, pytest.raises(EngineDead):
        ask(engine_of(server.url), chat("hello"))


@pytest.mark.parametrize(
    "body", [b"", b"<html>502 Bad Gateway</html>", b'{"choices":[', b"[1]", b'"words"', b"\xff\xfe",
             b"[" * 100_000]
)  # fmt: skip
def test_a_success_that_is_no_json_object_is_the_server_s_fault(body: bytes) -> None:
    with serving(Server(faults=[body])) as server:
        answer = ask(engine_of(server.url), chat("hello"))
    assert (answer.status_code, answer.usage) == (502, Usage())
    assert "no JSON object" in json.loads(answer.body)["error"]["message"]


def test_a_redirect_is_no_answer() -> None:
    with serving(Server(faults=[(302, {"Location": "/elsewhere"})])) as server:
        answer = ask(engine_of(server.url), chat("hello"))
    assert (answer.status_code, len(server.requests)) == (502, 1)


def test_an_answer_with_nan_in_it_is_one() -> None:
    with serving(Server(faults=[b'{"logprob":NaN}'])) as server:
        answer = ask(engine_of(server.url), chat("hello"))
    assert (answer.status_code, answer.body) == (200, b'{"logprob":NaN}')


def test_of_an_answer_without_an_end_no_more_than_the_limit_is_taken() -> None:
    short = replace(QUICK, answer_bytes_max=1_000)
    with serving(Server(faults=[b'{"a":"%b"}' % (b"x" * 990_000)])) as server:
        answer = ask(engine_of(server.url, settings=short), chat("hello"))
    assert answer.status_code == 502
    assert "more than 1,000 bytes" in json.loads(answer.body)["error"]["message"]


def test_what_claims_to_be_compressed_and_is_not_is_tried_again() -> None:
    with serving(Server(faults=[(200, {"Content-Encoding": "gzip"})])) as server:
        answer = ask(engine_of(server.url), chat("hello"))
    assert (answer.status_code, len(server.requests)) == (200, 2)


def test_where_nothing_answers_the_engine_does_not_start() -> None:
    engine = engine_of(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(EngineDead, match="Nothing answers"):
        ask(engine, chat("hello"))


@pytest.mark.parametrize(
    ("endpoint", "body", "limits"),
    [
        (CHAT, chat("hello"), {"max_tokens": 32}),
        (CHAT, chat("hello", max_tokens=None), {"max_tokens": 32}),
        (CHAT, chat("hello", max_tokens=5), {"max_tokens": 5}),
        (CHAT, chat("hello", max_completion_tokens=5), {"max_completion_tokens": 5}),
        ("/v1/responses", {"input": "hello"}, {"max_output_tokens": 32}),
        ("/v1/completions", {"prompt": "hello"}, {}),  # OpenAI's own default of 16 stands
        ("/v1/embeddings", {"input": "hello"}, {}),
    ],
)
def test_a_line_without_a_limit_gets_the_catalogue_s(
    endpoint: str, body: dict[str, Any], limits: dict[str, int]
) -> None:
    with serving(Server()) as server:
        engine = engine_of(server.url, completion_tokens_default=32)
        assert ask(engine, body, endpoint).status_code == 200
    [(_, sent, _)] = server.requests
    assert {name: value for name, value in sent.items() if "max_" in name} == limits


def test_a_limit_of_ours_that_the_context_has_no_room_for_is_taken_back() -> None:
    with serving(Server(faults=[(400, {})])) as server:
        engine = engine_of(server.url, completion_tokens_default=32)
        assert ask(engine, chat("hello")).status_code == 200
    first, second = (body for _, body, _ in server.requests)
    assert (first["max_tokens"], "max_tokens" in second) == (32, False)
